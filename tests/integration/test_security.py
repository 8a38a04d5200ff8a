"""Over TLS, with a user a role: the whole way works, each may do its own and no more, and strangers are told why not.

One broker and one Redis for all of it, made with the files of deploy/ and with certificates made here.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from deploy.servers import ApacheKafka, EmbeddedValkey, Tls, kafka_available
from schemas.redis_keys import Keys
from sinks.store import connect
from streams.producer import Producer
from streams.rights import users
from streams.settings import ROLES, Settings
from tests.integration.harness import Event, Installation, redis_users

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(not kafka_available(), reason="needs Java and Maven")]

PREFIX, SOURCES = "leap", ("events", "oulad")
CONFIG, UNREACHABLE = 78, 69


class Authority:
    """Makes certificates, as PEM files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, host: str = "localhost", **options: Any) -> Tls:
        made = self._ca.issue_cert(host, common_name=name, **options)
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        form = serialization.PrivateFormat.PKCS8  # the only one that Kafka reads
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        files = Tls(self._directory / f"{name}-{host}.crt", self._directory / f"{name}-{host}.key", self.file)
        files.key.write_bytes(text)
        files.certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        return files


class Secured(NamedTuple):
    """The servers of this module, and what leads to them."""

    kafka: ApacheKafka
    redis: EmbeddedValkey | None
    authority: Authority
    ports: dict[str, int]

    def settings(self, user: str) -> dict[str, Any]:
        """Settings of one user of Kafka (passwords are "<user>-secret")."""
        return {
            "kafka": self.kafka.address,
            "kafka_security": "sasl_ssl",
            "kafka_user": user,
            "kafka_password": f"{user}-secret",
            "kafka_ca_file": self.authority.file,
        }

    def redis_settings(self, user: str = "leap-writer") -> dict[str, Any]:
        """Settings of one user of Redis."""
        if self.redis is None:
            pytest.skip("the Valkey of the lock has no TLS: install redis-server")
        return {
            "redis": f"{self.redis.url}/0",
            "redis_user": user,
            "redis_password": f"{user}-secret",
            "redis_ca_file": self.authority.file,
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker and a Redis that let in only whom they know."""
    directory = tmp_path_factory.mktemp("secured")
    authority = Authority(directory)
    names = ["admin", *users(Settings(_env_file=None, prefix=PREFIX, sources=SOURCES))]
    kafka = ApacheKafka(
        directory / "kafka", tls=authority.issue("kafka"), users={name: f"{name}-secret" for name in names}
    )
    binary = shutil.which("redis-server")
    redis = EmbeddedValkey(
        directory / "redis", binary=binary, tls=authority.issue("redis"), users=redis_users(directory, PREFIX)
    )
    with kafka:
        if binary is None:
            yield Secured(kafka, None, authority, {})
        else:
            with redis:
                yield Secured(kafka, redis, authority, {})


def leap(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as its own process, with these settings alone."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LEAP_")}
    for name, value in settings.items():
        env[f"LEAP_{name.upper()}"] = json.dumps(value) if isinstance(value, tuple | bool) else str(value)
    command = [sys.executable, "-m", "leap.main", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


async def done(*words: str, **settings: Any) -> str:
    """Run a command that must succeed; return what it printed."""
    ran = await asyncio.to_thread(leap, *words, **settings)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


COMMON: dict[str, Any] = {"prefix": PREFIX, "sources": SOURCES, "partitions": 2, "hash_key": "a secret of the tests"}


@asynccontextmanager
async def writing(secured: Secured, user: str) -> AsyncIterator[Producer]:
    """Give a producer of one user."""
    producer = Producer(Settings(_env_file=None, **COMMON, **secured.settings(user)), "test")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_everything_runs_over_tls_with_a_user_a_role(secured: Secured, tmp_path: Path) -> None:
    """As an operator sets it up: rights, topics, roles. A tap-in arrives in Redis, and so does a close by the clock."""
    redis = secured.redis_settings()
    await done("acls", "apply", **COMMON, **secured.settings("admin"))
    await done("topics", "create", **COMMON, **secured.settings("leap-operator"))
    chosen = {**COMMON, **secured.settings("admin"), **redis, "simulated_clock": False, "close_grace": 0.0}
    now = datetime.now(UTC)
    async with Installation(directory=tmp_path, profile="apache", **chosen) as system:
        topics, keys = system.topics, Keys(PREFIX)
        # As if the clock had been away yesterday, so that there is a day to close.
        memory = [
            (f"closed/{n}".encode(), f'{{"day": "{now.date() - timedelta(days=2)}"}}'.encode(), []) for n in (0, 1)
        ]
        await system.producer.deliver(topics.clock.name, 0, memory)
        for role in ROLES:
            secret = tmp_path / f"{role}.secret"
            secret.write_text(f"{PREFIX}-{role}-secret\n")
            system.private.add(f"{PREFIX}-{role}-secret")
            system.start(
                role, LEAP_KAFKA_USER=f"{PREFIX}-{role}", LEAP_KAFKA_PASSWORD=None, LEAP_KAFKA_PASSWORD_FILE=str(secret)
            )
        student = Event("student-4711", "tap_in", now, "reader-7/1")
        system.private.add(student.student)
        async with writing(secured, "leap-records") as records:
            entry = (student.student.encode(), b'{"student": "student-4711"}', [])
            await records.deliver(topics.students.name, system.partition_of(student.student), [entry])
        async with writing(secured, "leap-source-events") as source:
            await source.deliver(topics.source("events").name, 0, [(None, student.value(), [])])

        async with connect(system.settings, "test") as client:

            async def arrived() -> bool:
                view = json.loads(await client.hget(keys.view(student.student), "doc") or b"{}")
                closed = {await client.hget(keys.closed(number), "day") for number in (0, 1)}
                return (
                    bool(view)
                    and view["days"][-1]["counts"] == {"tap_in": 1}
                    and len(closed) == 1
                    and None not in closed
                )

            await system.until(arrived, "the tap-in and the close of both partitions are in Redis")
        await system.until(lambda: all_ready(system), "every role is ready")

        operator = {**COMMON, **secured.settings("leap-operator"), **redis}
        status = json.loads(await done("status", "--json", **operator))
        assert {role["role"] for role in status["lag"]} == {*ROLES} - {"clock"}
        assert json.loads(await done("rebuild", "--json", **operator))["same"]
    await done("acls", "check", **COMMON, **secured.settings("admin"))


async def all_ready(system: Installation) -> bool:
    """Whether every process says that it is ready."""
    return all([(await worker.get("/ready"))[0] == 200 for worker in system.workers])
