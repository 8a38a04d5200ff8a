"""Over TLS, with a user a role: the whole way works, each may do its own and no more, and strangers are told why not.

One broker and one Redis for all of it, made with the files of deploy/ and with certificates made here.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from aiokafka import TopicPartition
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from deploy.servers import HOST, ApacheKafka, EmbeddedValkey, Tls, free_port, kafka_available
from leap.main import run
from schemas.redis_keys import Keys
from sinks.store import connect
from streams.admin import create_topics
from streams.connection import security
from streams.event_loop import Loop
from streams.producer import Producer
from streams.reader import consumer, read_to_end
from streams.rights import give, given, rights, users
from streams.settings import ROLES, Settings, variable
from tests.integration import test_gateway
from tests.integration.harness import Event, Installation, redis_users

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(not kafka_available(), reason="needs Java and Maven")]

PREFIX, OTHER, SOURCES = "leap", "campus", ("events", "oulad")
COMMON: dict[str, Any] = {"prefix": PREFIX, "sources": SOURCES, "partitions": 2, "hash_key": "a secret of the tests"}
CONFIG, UNREACHABLE = 78, 69
DATA = {"student": "28400", "activity": "tap_in", "at": "2026-10-05T09:00:00Z", "id": "reader-7/1842"}
CE = {"specversion": "1.0", "id": "1842", "source": "/readers/7", "type": "leap.source-event.v1"}


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
    """Other listeners of the broker: `old` has a certificate that has expired, `mutual` asks for one."""

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
    ports = {"old": free_port(), "mutual": free_port()}
    old = authority.issue("old", not_after=datetime.now(UTC) - timedelta(days=1))
    keystore = directory / "old.pem"
    keystore.write_text(old.key.read_text() + old.certificate.read_text())
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    kafka = ApacheKafka(
        directory / "kafka",
        tls=authority.issue("kafka"),
        users=passwords(),
        listeners={name.upper(): port for name, port in ports.items()},
        settings={
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,BROKERS:SSL,CONTROLLER:SSL,OLD:SASL_SSL,MUTUAL:SSL",
            "listener.name.old.ssl.keystore.type": "PEM",
            "listener.name.old.ssl.keystore.location": str(keystore),
            "listener.name.old.scram-sha-512.sasl.jaas.config": login,
            "listener.name.mutual.ssl.client.auth": "required",
        },
    )
    redis = None
    if binary := shutil.which("redis-server"):
        users = redis_users(directory, PREFIX)
        redis = EmbeddedValkey(directory / "redis", binary=binary, tls=authority.issue("redis"), users=users)
    with ExitStack() as servers:
        for server in filter(None, (kafka, redis)):
            servers.enter_context(server)
        yield Secured(kafka, redis, authority, ports)


def passwords() -> dict[str, str]:
    """Return name and password of every user of Kafka."""
    names = [name for prefix in (PREFIX, OTHER) for name in users(Settings(**COMMON | {"prefix": prefix}))]
    return {name: f"{name}-secret" for name in ("admin", *names)}


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


@asynccontextmanager
async def writing(secured: Secured, user: str) -> AsyncIterator[Producer]:
    """Give a producer of one user."""
    producer = Producer(Settings(**COMMON, **secured.settings(user)), "test")
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
        events = tmp_path / "events.jsonl"
        events.write_bytes(student.value())
        await done("replay", str(events), "--source", "events", **COMMON, **secured.settings("leap-source-events"))

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

        for worker in system.workers:
            assert "Not authorized" not in worker.log.read_text(), f"{worker} tries what it may not"

        operator = {**COMMON, **secured.settings("leap-operator"), **redis}
        status, rebuilt, _ = await asyncio.gather(
            done("status", "--json", **operator),
            done("rebuild", "--json", **operator),
            done("acls", "check", **COMMON, **secured.settings("admin")),
        )
        assert {lag["role"] for lag in json.loads(status)["lag"]} == {*ROLES} - {"clock"}
        assert {role: found["unread"] for role, found in json.loads(status)["readers"].items()} == {
            role: [] for role in ROLES if role != "clock"
        }
        assert json.loads(rebuilt)["same"]


async def test_the_gateway_writes_to_sources_with_a_user_who_may_do_nothing_else(
    secured: Secured, tmp_path: Path
) -> None:
    admin = {**COMMON, **secured.settings("admin"), "prefix": OTHER, "sources": test_gateway.SOURCES}
    async with Installation(directory=tmp_path, profile="apache", **admin) as system:
        topic = system.topics.source("events").name

        def login(user: str) -> dict[str, str]:
            settings = secured.settings(user)
            return {variable(name): str(settings[name]) for name in settings}

        stranger = test_gateway.start(system, **login(f"{PREFIX}-gateway"))
        assert await stranger.ended() == CONFIG
        assert f"{topic}: missing, if {PREFIX}-gateway may see it" in stranger.tail()

        await apply(system.settings)
        gateway = test_gateway.start(system, **login(f"{OTHER}-gateway"))
        await system.until(lambda: gateway.listening, "the gateway listens")
        url = f"http://127.0.0.1:{gateway.listening}/events"
        headers = {"Authorization": f"Bearer {test_gateway.TOKEN}-events"} | {f"ce-{k}": v for k, v in CE.items()}
        async with httpx.AsyncClient(timeout=30.0) as client:
            answer = await client.post(url, json=DATA, headers=headers)

        assert answer.status_code == 204, answer.text
        assert [record.json for record in await system.read(topic)] == [DATA]
        assert "uthoriz" not in gateway.log.read_text()


async def all_ready(system: Installation) -> bool:
    """Whether every process says that it is ready."""
    return all([(await worker.get("/ready"))[0] == 200 for worker in system.workers])


def test_a_tls_connection_in_use_is_closed_at_once(secured: Secured) -> None:
    """In the workers' event loop, and while the broker holds a fetch back: uvloop as it comes takes 30 s."""
    settings = Settings(**COMMON | {"prefix": OTHER}, **secured.settings("admin"))

    topic = settings.topics.clock.name

    async def write() -> None:
        await create_topics(settings)
        async with writing(secured, "admin") as producer:
            await producer.deliver(topic, 0, [(b"closed/0", b"{}", [])])

    async def read_and_stop() -> float:
        kafka = consumer(settings, "test")
        await kafka.start()
        async for _ in read_to_end(kafka, [TopicPartition(topic, 0)]):
            pass
        began = time.monotonic()
        await kafka.stop()
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(write())
        for _ in range(4):  # it is a race, which uvloop mostly loses
            assert runner.run(read_and_stop()) < 15


# -- who may do what --------------------------------------------------------------------------------------------------


async def test_each_user_may_do_what_the_table_says_and_nothing_else(secured: Secured) -> None:
    """Every user tries everything on every topic and group, its own and those of another installation."""
    settings = Settings(**COMMON | {"prefix": OTHER}, **secured.settings("admin"))
    neighbour = Settings(**COMMON, **secured.settings("admin"))
    await create_topics(settings)
    await apply(settings)
    topics = [topic.name for topic in (*settings.topics, *neighbour.topics)]
    groups = [
        f"{prefix}.{name}" for prefix in (OTHER, PREFIX) for name in (*ROLES, "waiting-room", "case-work", "mine")
    ]
    wanted = rights(settings)
    wanted |= {right._replace(operation="Describe") for right in wanted if right.operation in {"Read", "Write"}}

    tried = {user: await attempts(settings, secured.settings(user), topics, groups) for user in users(settings)}

    for user, succeeded in tried.items():
        assert succeeded == {right[1:] for right in wanted if right.user == user}, user


async def apply(settings: Settings) -> None:
    """Give everybody their rights; returns when they hold."""
    await give(settings, rights(settings))
    async with asyncio.timeout(30):
        while not rights(settings) <= await given(settings):  # noqa: ASYNC110 - the broker answers first, then applies
            await asyncio.sleep(0.05)


async def attempts(
    settings: Settings, login: dict[str, Any], topics: list[str], groups: list[str]
) -> set[tuple[str, str, str]]:
    """Try everything as one user; return what worked as (operation, resource, name)."""
    mine = settings.model_copy(update=login | {"kafka_password": SecretStr(login["kafka_password"])})
    host, _, port = mine.kafka.rpartition(":")
    connection = await create_conn(host, int(port), client_id="test", **security(mine))
    worked: set[tuple[str, str, str]] = set()

    def note(operation: str, resource: str, codes: Iterable[tuple[str, int]]) -> None:
        refusal = {"Topic": 29, "Group": 30, "Cluster": 31}[resource]
        worked.update((operation, resource, name) for name, code in codes if code != refusal)

    ask = connection.send
    try:
        wrote = await ask(ProduceRequest(None, -1, 5000, [(topic, [(0, a_batch())]) for topic in topics]))
        note("Write", "Topic", [(topic, parts[0][1]) for topic, parts in wrote.topics])
        read = await ask(FetchRequest(0, 0, 1 << 20, 0, [(topic, [(0, 0, 1 << 16)]) for topic in topics]))
        note("Read", "Topic", [(topic, parts[0][1]) for topic, parts in read.topics])
        ends = await ask(OffsetRequest(-1, 0, [(topic, [(0, -1)]) for topic in topics]))
        note("Describe", "Topic", [(topic, parts[0][1]) for topic, parts in ends.topics])
        configs = await ask(DescribeConfigsRequest([(2, topic, None) for topic in topics]))
        note("DescribeConfigs", "Topic", [(topic, code) for code, _, _, topic, _ in configs.resources])
        made = await ask(CreateTopicsRequest([(topic, 1, 1, [], []) for topic in topics], 5000, True))
        note("Create", "Topic", [(topic, code) for topic, code, *_ in made.topic_errors])
        altered = await ask(AlterConfigsRequest([(2, topic, [("retention.ms", "1")]) for topic in topics], True))
        note("AlterConfigs", "Topic", [(topic, code) for code, _, _, topic in altered.resources])
        deleted = await ask(DeleteTopicsRequest(topics, 5000))
        note("Delete", "Topic", [(topic, code) for topic, code, *_ in deleted.topic_error_codes])
        emptied = await ask(DeleteRecordsRequest([(topic, [(0, 0)]) for topic in topics], 5000))
        note("DeleteRecords", "Topic", [(topic, parts[0][2]) for topic, parts, *_ in emptied.topics])

        for group in groups:
            beat = await ask(HeartbeatRequest(group, -1, "nobody"))
            described = await ask(DescribeGroupsRequest([group]))
            gone = await ask(DeleteGroupsRequest([group]))
            note("Read", "Group", [(group, beat.error_code)])
            note("Describe", "Group", [(group, described.groups[0][0])])
            note("Delete", "Group", [(group, gone.results[0][1])])

        gave = await ask(CreateAclsRequest(2, topics[0], 3, "User:me", "*", 2, 3))
        looked = await ask(DescribeAclsRequest(1, None, 1, None, None, 1, 1))
        note("Alter", "Cluster", [("kafka", code) for code, _ in gave.creation_responses])
        note("Describe", "Cluster", [("kafka", looked.error_code)])
    finally:
        connection.close()
    return worked


def a_batch() -> bytes:
    """A record batch, as a producer sends it."""
    batch = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 10)
    batch.append(0, None, b"key", b"a test wrote this", [])
    return bytes(batch.build())


# -- who is not let in ------------------------------------------------------------------------------------------------

STRANGER, SYSTEM = "an authority that nobody here has a certificate of", None

KAFKA = {
    "a wrong password": ({"kafka_password": "wrong-secret"}, CONFIG, "refuses the user admin (SCRAM-SHA-512)"),
    "an unknown user": ({"kafka_user": "nobody"}, CONFIG, "refuses the user nobody"),
    "another mechanism": ({"kafka_mechanism": "SCRAM-SHA-256"}, CONFIG, "SCRAM-SHA-256"),
    "no TLS": ({"kafka_security": "sasl_plaintext", "kafka_ca_file": None}, UNREACHABLE, "LEAP_KAFKA_SECURITY"),
    "no user": (
        {"kafka_security": "ssl", "kafka_user": None, "kafka_password": None},
        UNREACHABLE,
        "LEAP_KAFKA_SECURITY",
    ),
    "another authority": ({"kafka_ca_file": STRANGER}, CONFIG, "is not trusted"),
    "the system's authorities": ({"kafka_ca_file": SYSTEM}, CONFIG, "is not trusted"),
    "another host name": ({"kafka": "127.0.0.1:{port}"}, CONFIG, "is not trusted: IP address mismatch"),
    "an old certificate": ({"kafka": "localhost:{old}"}, CONFIG, "is not trusted: certificate has expired"),
}
REDIS = {
    "a wrong password": ({"redis_password": "wrong-secret"}, CONFIG, "Redis refuses"),
    "an unknown user": ({"redis_user": "nobody"}, CONFIG, "Redis refuses"),
    "no user": ({"redis_user": None, "redis_password": None}, CONFIG, "Redis refuses"),
    "no TLS": ({"redis": "redis://localhost:{redis}", "redis_ca_file": None}, UNREACHABLE, "rediss://"),
    "another authority": ({"redis_ca_file": STRANGER}, CONFIG, "is not trusted"),
    "the system's authorities": ({"redis_ca_file": SYSTEM}, CONFIG, "is not trusted"),
    "another host name": ({"redis": "rediss://127.0.0.1:{redis}"}, CONFIG, "is not trusted: IP address mismatch"),
}


@pytest.fixture
def refused(
    secured: Secured, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Runs a command with settings of which one is wrong; checks what it says and how it ends."""

    def check(words: Sequence[str], right: dict[str, Any], wrong: dict[str, Any], code: int, reason: str) -> None:
        ports = {"port": secured.kafka.port, "redis": secured.redis and secured.redis.port, **secured.ports}
        given = {name: str(value).format(**ports) for name, value in (right | wrong).items() if value is not None}
        for name, value in given.items():
            monkeypatch.setenv(variable(name), str(Authority(tmp_path).file) if value == STRANGER else value)
        assert run([*words]) == code
        said = "".join(capsys.readouterr())
        assert reason in said
        assert (urlsplit(given["redis"]).netloc if "redis" in given else given["kafka"]) in said
        assert "secret" not in said
        assert "Traceback" not in said

    return check


@pytest.mark.parametrize("case", KAFKA)
def test_kafka_and_a_client_with_a_setting_too_wrong_part_with_a_reason(
    case: str, secured: Secured, refused: Callable[..., None]
) -> None:
    refused(["topics", "check"], {"prefix": PREFIX, **secured.settings("admin")}, *KAFKA[case])


@pytest.mark.parametrize("case", REDIS)
def test_redis_and_a_client_with_a_setting_too_wrong_part_with_a_reason(
    case: str, secured: Secured, refused: Callable[..., None]
) -> None:
    refused(["show", "s1"], {"prefix": PREFIX, **secured.redis_settings()}, *REDIS[case])


def test_a_redis_whose_certificate_has_expired_is_not_trusted(
    secured: Secured, tmp_path: Path, refused: Callable[..., None]
) -> None:
    right = secured.redis_settings()
    tls = secured.authority.issue("redis-of-old", not_after=datetime.now(UTC) - timedelta(days=1))
    with OldRedis(
        tmp_path / "old", binary=shutil.which("redis-server"), tls=tls, users=redis_users(tmp_path, PREFIX)
    ) as old:
        refused(["show", "s1"], right, {"redis": old.url}, CONFIG, "is not trusted: certificate has expired")


class OldRedis(EmbeddedValkey):
    """One that nobody trusts, so it is up when it takes connections."""

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=2.0):
            return True
        return False


async def test_mutual_tls_lets_in_who_has_a_certificate(secured: Secured, tmp_path: Path) -> None:
    """The name of the certificate is the user: a role works as that; without one nobody gets in."""
    roster = secured.authority.issue(f"{OTHER}-roster")
    address = f"localhost:{secured.ports['mutual']}"
    chosen = {**COMMON, **secured.settings("admin"), "prefix": OTHER}
    async with Installation(directory=tmp_path, profile="apache", **chosen) as system:
        await apply(system.settings)
        bare = {
            "LEAP_KAFKA": address,
            "LEAP_KAFKA_SECURITY": "ssl",
            "LEAP_KAFKA_USER": None,
            "LEAP_KAFKA_PASSWORD": None,
        }
        files = {"LEAP_KAFKA_CERTIFICATE_FILE": str(roster.certificate), "LEAP_KAFKA_KEY_FILE": str(roster.key)}
        worker = system.start("roster", **bare, **files)
        nobody = system.start("roster", **bare, LEAP_START_TIMEOUT="1")

        assert await nobody.ended() == UNREACHABLE, nobody.tail()
        assert f"no Kafka at {address} after 1 s" in nobody.log.read_text()
        assert "Traceback" not in nobody.log.read_text()
        await system.enrol(["student-4712"], datetime.now(UTC))
        await system.caught_up("roster")
        worker.terminate()
        assert await worker.ended() == 0, worker.tail()


async def test_a_worker_that_is_not_let_in_says_why_and_ends(secured: Secured, tmp_path: Path) -> None:
    """Wrong passwords, a user without the rights of the role: each with 78, and no traceback."""
    redis = secured.redis_settings()
    chosen = {**COMMON, **secured.settings("admin"), **redis, "prefix": OTHER}
    async with Installation(directory=tmp_path, profile="apache", **chosen) as system:
        await apply(system.settings)
        clock = {"LEAP_KAFKA_USER": f"{OTHER}-clock", "LEAP_KAFKA_PASSWORD": f"{OTHER}-clock-secret"}
        cases = [
            (system.start("roster", LEAP_KAFKA_PASSWORD="wrong-secret"), ["refuses the user admin"]),
            (
                system.start("readmodel", LEAP_REDIS_PASSWORD="wrong-secret"),
                ["Redis refuses: invalid username-password pair"],
            ),
            (
                system.start("engagement", **clock),
                [
                    f"{OTHER}.engagement: {OTHER}-clock has no right to Read this group",
                    f"{OTHER}.engagement: {OTHER}-clock has no right to Write this topic",
                ],
            ),
        ]
        for worker, words in cases:
            assert await worker.ended() == CONFIG, worker.tail()
            text = worker.log.read_text()
            for word in words:
                assert word in text
            assert "Traceback" not in text
