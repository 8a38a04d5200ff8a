"""Fetches that bring something are kept apart."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams import reader

TURNS = 10
"""Turns of the event loop after which whatever does not wait has begun."""


class Fetcher:
    """aiokafka's fetcher, as far as it asks a node for 16 partitions; ``brings``: what comes of each request."""

    def __init__(self, *brings: bool) -> None:
        self.asked: list[str] = []
        self._brings = list(brings)

    async def _proc_fetch_request(self, _assignment: Any, _node: int, request: Any) -> bool:
        self.asked.append(request.name)
        return self._brings.pop(0)

    def ask(self, name: str, partitions: int = 16) -> "asyncio.Task[bool]":
        request = SimpleNamespace(name=name, topics=[("rows", [0] * 4), ("others", [0] * (partitions - 4))])
        return asyncio.create_task(self._proc_fetch_request(None, 1, request))


@pytest.fixture(autouse=True)
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that no test lives to see the end of."""
    monkeypatch.setattr(reader, "_APART", 3600.0)


async def apart(*brings: bool) -> Fetcher:
    fetcher = Fetcher(*brings)
    reader.keep_fetches_apart(SimpleNamespace(_fetcher=fetcher))  # type: ignore[arg-type]
    return fetcher


async def test_a_request_waits_after_one_that_brought_something() -> None:
    fetcher = await apart(True, True)
    assert await fetcher.ask("first")

    second = fetcher.ask("second")
    for _ in range(TURNS):
        await asyncio.sleep(0)

    assert fetcher.asked == ["first"]
    second.cancel()


async def test_the_more_partitions_are_asked_for_the_longer_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(reader, "_APART", 0.02)
    monkeypatch.setattr("streams.reader.asyncio.sleep", sleep)
    monkeypatch.setattr("streams.reader.time.monotonic", lambda: 100.0)
    fetcher = await apart(True, True, True)
    for partitions in (16, 16, 400):
        assert await fetcher.ask("some", partitions)

    assert slept == [pytest.approx(0.0216), pytest.approx(0.06)]


async def test_a_request_goes_at_once_after_one_that_brought_nothing() -> None:
    fetcher = await apart(False, True)
    assert not await fetcher.ask("first")

    assert await fetcher.ask("second")

    assert fetcher.asked == ["first", "second"]


async def test_a_request_that_is_cancelled_while_it_waits_has_brought_nothing() -> None:
    """aiokafka awaits what it has cancelled, and would pass the cancellation on to whoever closes the consumer."""
    fetcher = await apart(True)
    assert await fetcher.ask("first")
    second = fetcher.ask("second")
    for _ in range(TURNS):
        await asyncio.sleep(0)

    second.cancel()

    assert await second is False
    assert fetcher.asked == ["first"]
