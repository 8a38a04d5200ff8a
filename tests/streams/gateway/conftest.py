"""The real application over ASGI; only who brings its records to Kafka is stood in for."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
import pytest_asyncio

from streams.gateway.app import build
from streams.gateway.credentials import Credential, Credentials
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.producer import DeliveryError, Message
from streams.sources import Options
from streams.sources.registry import sources

SECRET, OLDER = "zoom-secret-of-the-tests", "zoom-secret-that-is-replaced"
LIBRARY = "alma-secret-of-the-tests"
NOW = 1_790_000_000.0
TOKENS = {source: f"token-of-{source}-0123456789" for source in ("hub", "moodle", "events", "taps", "tap-ins")}
CREDENTIALS = Credentials(
    [
        Credential(source="zoom", kind="hmac", secrets=(SECRET, OLDER)),
        Credential(source="library", kind="hmac", secrets=(LIBRARY,)),
        Credential(source="hub", kind="basic", user="hub", secrets=("password-of-the-hub",)),
        *(Credential(source=source, kind="bearer", secrets=(token,)) for source, token in TOKENS.items()),
    ]
)


class Kafka:
    """Stands in for the producer: keeps what it is given, or fails as it is told."""

    def __init__(self) -> None:
        self.records: defaultdict[str, list[Message]] = defaultdict(list)
        self.failure: DeliveryError | None = None
        self.silent = False

    async def put(self, topic: str, messages: Sequence[Message]) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.records[topic] += messages

    def values(self, source: str) -> list[bytes | None]:
        """What a source's topic has."""
        return [value for _, value, _ in self.records[f"leap.source.{source}"]]


@pytest.fixture
def kafka_of_the_gateway() -> Kafka:
    return Kafka()


@pytest.fixture
def entrance(kafka_of_the_gateway: Kafka) -> Entrance:
    """What the endpoints have in common, at a fixed time."""
    names = ("zoom", "library", "hub", "moodle", "events", "taps", "tap-ins")
    topics = {source: f"leap.source.{source}" for source in names}
    readers = sources(Options())
    rate = Rate(1000.0)
    return Entrance(CREDENTIALS, rate, kafka_of_the_gateway, topics, readers, 100_000, 200_000, now=lambda: NOW)


@pytest_asyncio.fixture
async def client(entrance: Entrance) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    transport = httpx.ASGITransport(build(entrance, "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as found:
        yield found


def bearer(source: str) -> dict[str, str]:
    """The header of a source's token."""
    return {"Authorization": f"Bearer {TOKENS[source]}"}
