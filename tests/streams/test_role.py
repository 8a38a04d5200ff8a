"""Which batches a role deals with around a rebalance: those of the generation that it has, and none in between."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams.role import Handler, Health, Streaming
from streams.settings import Settings


class Taking(Handler):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def handle(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        self.taken += records


class Stream:
    """A stream of batches, as Faust gives it to an agent."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Any] = asyncio.Queue()
        self.acknowledged: asyncio.Queue[int] = asyncio.Queue()

    def noack(self) -> "Stream":
        return self

    async def events(self) -> Any:
        while True:
            yield await self.batches.get()

    async def ack(self, event: Any) -> None:
        await self.acknowledged.put(event.value[0])

    def put(self, record: int, generation: int) -> None:
        message = SimpleNamespace(tp=("topic", 0), topic="topic", partition=0, generation_id=generation)
        self.batches.put_nowait(SimpleNamespace(message=message, value=[record]))


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (4, 5)])
async def test_batches_of_the_new_generation_count_whatever_its_number(before: int, after: int) -> None:
    """A group that is new at the broker counts from its first number again, and a batch may be there before the word is."""
    taking, stream = Taking(), Stream()

    async def make() -> Handler:
        return taking

    role = Streaming(Settings(_env_file=None), "roster", ["topic"], Health("roster", 60.0), make)  # type: ignore[call-arg]
    role.app.consumer_generation_id = before
    agent = asyncio.create_task(role._agent(stream))

    await role._drain()
    stream.put(1, before)  # was on its way when the partition went
    await asyncio.sleep(0)
    role.app.consumer_generation_id = after
    stream.put(2, after)  # the flow goes on before it is said what was assigned
    await role._on_assigned(None, set())
    async with asyncio.timeout(5):
        await stream.acknowledged.get()

    assert taking.taken[-1] == 2
    assert before == after or taking.taken == [2]
    agent.cancel()
