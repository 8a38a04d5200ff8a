"""A follower that gets nothing more although there is more is noticed; one that only has to wait is not."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streams import waiting_room
from streams.event_loop import where
from streams.reader import StalledError, Stalls, follow
from streams.settings import Settings
from streams.waiting_room import WaitingRoom

ONE, TWO = TopicPartition("topic", 0), TopicPartition("topic", 1)


class Consumer:
    """Stands somewhere; says where the broker's partitions end."""

    def __init__(self) -> None:
        self.stands = {ONE: 5, TWO: 5}
        self.ends = {ONE: 5, TWO: 5}
        self.away = False
        self.lost = False

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return {tp: self.ends[tp] for tp in partitions}

    async def position(self, tp: TopicPartition) -> int:
        if self.lost:
            await asyncio.Event().wait()
        return self.stands[tp]

    def assignment(self) -> set[TopicPartition]:
        return set(self.stands)

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        return {}


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def stalls(consumer: Consumer) -> Stalls:
    return Stalls(consumer, silence=0.0)  # type: ignore[arg-type]


async def test_a_partition_of_which_nothing_comes_is_named(consumer: Consumer, stalls: Stalls) -> None:
    consumer.ends[TWO] = 9
    await stalls.look([ONE, TWO])
    with pytest.raises(StalledError, match="topic-1 stands at 5 and has 9"):
        await stalls.look([ONE, TWO])


async def test_one_that_moves_or_has_no_more_is_none(consumer: Consumer, stalls: Stalls) -> None:
    for step in range(4):
        consumer.stands[TWO], consumer.ends[TWO] = 5 + step, 9 + step
        await stalls.look([ONE, TWO])
    consumer.stands[TWO] = consumer.ends[TWO]
    await stalls.look([ONE, TWO])
    consumer.ends[TWO] += 1  # this moment; it was not behind before
    await stalls.look([ONE, TWO])


async def test_a_broker_that_was_away_is_no_stall(consumer: Consumer, stalls: Stalls) -> None:
    consumer.ends[TWO] = 9
    await stalls.look([ONE, TWO])
    consumer.away = True
    with pytest.raises(KafkaConnectionError):
        await stalls.look([ONE, TWO])
    consumer.away = False
    await stalls.look([ONE, TWO])


async def test_who_does_not_know_where_to_read_on_has_stalled(consumer: Consumer) -> None:
    consumer.lost = True
    stalls = Stalls(consumer, silence=0.01)  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    with pytest.raises(StalledError, match="where to read on"):
        await stalls.look([ONE])


async def test_who_follows_ends_with_it(consumer: Consumer) -> None:
    consumer.ends[ONE] = 9

    async def take(_: list[Any]) -> None:
        """Nothing ever comes."""

    with pytest.raises(StalledError):
        await asyncio.wait_for(follow(consumer, take, silence=0.01), 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", ["start", "getmany"])
async def test_a_waiting_room_that_stands_still_says_where(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    class Client:
        async def start(self) -> None:
            if at == "start":
                await asyncio.Event().wait()

        def subscribe(self, *_: Any, **__: Any) -> None:
            """Subscribed."""

        async def getmany(self, **_: Any) -> None:
            await asyncio.Event().wait()

    for name in ("consumer", "Offsets"):
        monkeypatch.setattr(waiting_room, name, lambda *_, **__: Client())
    settings = Settings(_env_file=None, stuck_after=1.0)  # type: ignore[call-arg]
    nothing: Any = SimpleNamespace()
    room = WaitingRoom(settings, nothing, nothing, nothing, nothing, nothing)
    running = asyncio.create_task(room.run())
    with pytest.raises(StalledError, match=rf"WaitingRoom\.run:\d+ > .*{at}:\d+ > .*Event\.wait:\d+"):
        await asyncio.wait_for(room.watch(), 10)
    running.cancel()


async def test_where_a_task_waits_is_told_through_generators() -> None:
    async def numbers() -> Any:
        await asyncio.Event().wait()
        yield 1

    async def outer() -> None:
        async for _ in numbers():
            pass

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    assert "outer:" in where(task)
    task.cancel()
