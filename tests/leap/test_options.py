from pathlib import Path

import pytest
from pydantic import SecretStr

from leap.options import Where, as_environment, load_settings
from sinks.store import safe_url
from streams.settings import Settings


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAP_KAFKA", "from-the-environment:9092")

    assert Where().settings().kafka == "from-the-environment:9092"
    assert Where(kafka="given:9092").settings().kafka == "given:9092"


def test_a_child_gets_the_very_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        kafka="a:1,b:2", sources=("one", "two"), hash_key="s3cret", simulated_clock=True, policies=Path("/p"), epoch=3
    )

    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    theirs = Settings()

    assert theirs == settings
    assert theirs.hash_key == SecretStr("s3cret")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@host:6379/0", "redis://host:6379/0"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rediss://:p%40@host/1", "rediss://host/1"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert safe_url(url) == shown
