"""What docs/security.md tells an operator to use is there, and the files of deploy/ say what it relies on."""

import re
from pathlib import Path

import pytest

from leap.main import COMMANDS
from streams.rights import users
from streams.settings import Settings, variable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", TEXT))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


def test_every_setting_command_and_user_in_it_is_one() -> None:
    settings = {variable(name) for name in Settings.model_fields}
    named = set(re.findall(r"\bLEAP_[A-Z_]*[A-Z]\b", TEXT))
    commands = set(re.findall(r"(?<![\w./-])leap ([a-z-]+)", TEXT))
    redis = {line.split()[1] for line in (ROOT / "deploy/redis/users.acl").read_text().splitlines()}
    people = set(re.findall(r"\bleap-[a-z]+\b", TEXT))

    assert named <= settings
    assert commands <= {name for group in COMMANDS.values() for name in group}
    assert people <= {*users(Settings(prefix="leap")), *redis}
    assert {"LEAP_KAFKA_SECURITY", "LEAP_REDIS_PASSWORD_FILE"} <= named
    assert {"acls", "topics", "rebuild"} <= commands
    assert {"leap-operator", "leap-writer"} <= people


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (
            "kafka/server-tls.properties",
            [
                "allow.everyone.if.no.acl.found=false",
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "listener.security.protocol.map=CLIENTS:SASL_SSL,BROKERS:SSL,CONTROLLER:SSL",
                "listener.name.brokers.ssl.client.auth=required",
                "listener.name.controller.ssl.client.auth=required",
                "ssl.endpoint.identification.algorithm=https",
            ],
        ),
        ("redis/redis-tls.conf", ["port 0", "tls-port 6379", "aclfile /etc/redis/users.acl"]),
        ("redis/users.acl", ["user default off resetpass resetkeys resetchannels -@all"]),
    ],
)
def test_what_the_servers_must_not_lose_stands_in_their_files(file: str, lines: list[str]) -> None:
    assert set(lines) <= set((ROOT / "deploy" / file).read_text(encoding="utf-8").splitlines())
