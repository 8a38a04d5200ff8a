"""What docs/gateway.md tells a source owner is so."""

import re
import tomllib
from pathlib import Path

import pytest

from streams.gateway.app import build
from streams.gateway.credentials import Credentials, read
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.settings import Settings, variable
from tests.streams.gateway.conftest import Kafka

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/gateway.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", TEXT))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


def test_every_setting_in_it_is_one() -> None:
    named = set(re.findall(r"\bLEAP_[A-Z_]*[A-Z]\b", TEXT))

    assert named <= {variable(name) for name in Settings.model_fields}
    assert {variable(name) for name in Settings.model_fields if name.startswith("gateway_")} <= named


def test_every_endpoint_and_status_is_in_it() -> None:
    entrance = Entrance(Credentials(()), Rate(1.0), Kafka(), {}, {}, 1, 1)
    described = build(entrance, "test").openapi()["paths"]

    named = {
        path.replace("<source>", "{source}") for path in re.findall(r"`(?:POST|GET|PUT)?[^`]*?(/[a-z/<>]+)`", TEXT)
    }
    statuses = {status for path in described.values() for way in path.values() for status in way["responses"]}
    assert described.keys() <= named
    assert {status for status in statuses if status >= "4"} == set(re.findall(r"^\| (4..|5..) \|", TEXT, re.MULTILINE))


def test_its_file_of_credentials_is_a_good_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "gateway.toml"
    file.write_text(example)

    sources = {credential["source"] for credential in tomllib.loads(example)["credential"]}
    assert read(file, sources).sources == sources
