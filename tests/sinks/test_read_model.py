"""Whose records the read model takes first."""

from typing import Any

from aiokafka import TopicPartition

from sinks.read_model import ReadModel
from streams.role import Health
from streams.settings import Settings

CLOSED, LIVE = TopicPartition("leap.engagement", 0), TopicPartition("leap.engagement", 1)


class Fetched:
    """What an aiokafka consumer has fetched, handed over as it does: one partition after the other."""

    def __init__(self, held: dict[TopicPartition, int]) -> None:
        self.held = held

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> dict:
        found: dict[TopicPartition, list[Any]] = {}
        for tp in [tp for tp, n in self.held.items() if n and tp in partitions]:
            n = min(self.held[tp], max_records)
            self.held[tp] -= n
            max_records -= n
            if n:
                found[tp] = [None] * n
        return found


def reading(held: dict[TopicPartition, int]) -> ReadModel:
    model = ReadModel(Settings(_env_file=None, poll_records=100), Health("readmodel", 60.0))  # type: ignore[call-arg]
    model._positions = dict.fromkeys(held, "1:0")
    model._kafka = Fetched(held)
    return model


async def test_a_partition_with_very_many_records_lets_the_others_go_first() -> None:
    model = reading({CLOSED: 1000, LIVE: 0})
    assert {tp: len(records) for tp, records in (await model._fetch()).items()} == {CLOSED: 100}

    model._kafka.held[LIVE] = 7

    assert {tp: len(records) for tp, records in (await model._fetch()).items()} == {LIVE: 7, CLOSED: 20}


async def test_partitions_that_all_have_very_many_take_turns() -> None:
    model = reading({CLOSED: 1000, LIVE: 1000})
    taken = [await model._fetch() for _ in range(60)]

    assert {tp for some in taken[:6] for tp in some} == {CLOSED, LIVE}

    assert model._kafka.held == {CLOSED: 0, LIVE: 0}


async def test_a_partition_that_has_caught_up_is_one_of_the_others_again() -> None:
    model = reading({CLOSED: 100, LIVE: 0})
    await model._fetch()
    assert model._many == {CLOSED}

    assert await model._fetch() == {}
    assert model._many == set()
