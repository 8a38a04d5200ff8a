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


def test_a_secret_in_a_file_stays_there_and_what_is_not_set_is_not_inherited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    monkeypatch.setenv("LEAP_HASH_KEY", "of the environment")
    settings = load_settings(redis_user="me", redis_password_file=file, hash_key=None, kafka_user=None)

    environment = as_environment(settings)
    assert "s3cret" not in environment.values()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    theirs = Settings()

    assert theirs.redis_password == SecretStr("s3cret")
    assert theirs.hash_key is None


def test_the_secrets_of_a_parent_get_through_to_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    given = load_settings(
        kafka_security="sasl_plaintext",
        kafka_user="me",
        kafka_password="s3cret",
        redis="redis://you:s3cret@host:6379/0",
    )

    for name, value in as_environment(given).items():
        monkeypatch.setenv(name, value)
    theirs = Settings()

    assert theirs == given
    assert theirs.kafka_password == theirs.redis_password == SecretStr("s3cret")


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
