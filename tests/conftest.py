"""What every test may ask for: real servers of the session, and names of its own on them.

Servers start when the first test asks and are named by the environment if it has better ones:
`KAFKA_BOOTSTRAP_SERVERS`, `REDIS_URL`. The latter's databases 1 to 15 are flushed: name a server
that is there for tests only.
"""

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import redis

from deploy.servers import ApacheKafka, EmbeddedBroker, EmbeddedValkey, kafka_available

_MARK_OF_FOLDER = {"integration": "integration", "contract": "integration", "chaos": "chaos"}
_SERVERS = {"kafka", "redis_url"}
_redis_tests = count()

Profile = Literal["apache", "embedded"]


class Broker(NamedTuple):
    """The broker of the session: where it is, and what it is."""

    address: str
    profile: Profile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, so that `-m unit` needs no marks in the files; one that asks for a server is none."""
    tests = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(tests):
            folder = item.path.relative_to(tests).parts[0]
            asks = not _SERVERS.isdisjoint(getattr(item, "fixturenames", ()))
            item.add_marker(_MARK_OF_FOLDER.get(folder, "integration" if asks else "unit"))


@pytest.fixture(autouse=True)
def left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes a test fail that leaves a connection open, and not whichever test the collector comes by in."""
    yield
    if request.node.get_closest_marker("unit") is None:
        gc.collect()


@pytest.fixture(scope="session")
def _broker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Broker]:
    if address := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Broker(address, "apache")
    elif kafka_available():
        with ApacheKafka(tmp_path_factory.mktemp("kafka")) as kafka:
            yield Broker(kafka.address, "apache")
    elif os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(
            "CI tests against real Kafka: install Java and Maven, or name a broker in KAFKA_BOOTSTRAP_SERVERS",
            pytrace=False,
        )
    else:
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("No Java and Maven, so these tests use the embedded broker instead of Apache Kafka.")
        with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
            yield Broker(broker.address, "embedded")


@pytest.fixture(scope="session")
def kafka(_broker: Broker) -> str:
    """Bootstrap address of the session's broker."""
    return _broker.address


@pytest.fixture(scope="session")
def kafka_profile(_broker: Broker) -> Profile:
    """What the session's broker is: tests of what only Apache Kafka does skip on "embedded"."""
    return _broker.profile


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's Redis or Valkey, without a database number."""
    if url := os.environ.get("REDIS_URL"):
        yield url.rstrip("/")
    else:
        directory = tmp_path_factory.mktemp("redis")
        with EmbeddedValkey(directory, binary=shutil.which("redis-server")) as server:
            yield server.url


@pytest.fixture
def redis_db(redis_url: str) -> str:
    """URL of a database that is empty and this test's own."""
    return _empty_database(redis_url)


@pytest.fixture(scope="module")
def redis_db_of_module(redis_url: str) -> str:
    """URL of a database that is empty and this module's own."""
    return _empty_database(redis_url)


def _empty_database(redis_url: str) -> str:
    url = f"{redis_url}/{1 + next(_redis_tests) % 15}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def topic_prefix() -> str:
    """Begins the names of this test's topics and groups, so that tests share a broker."""
    return new_prefix()


def new_prefix() -> str:
    """Return what begins the names of topics and groups that nobody else has."""
    return f"t{uuid.uuid4().hex[:12]}."
