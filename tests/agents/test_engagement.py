"""The engagement agent: what a partition's close does to the others."""

import asyncio
import threading
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition

from agents import engagement as module
from agents.decide import decide
from agents.engagement import Engagement, Owned
from agents.partition import Context, Partition
from schemas import log
from schemas.policy import read_policies
from streams import metrics
from streams.records import of_objects
from streams.role import Health
from streams.settings import Settings
from windows.civil import CivilDays, date_of
from windows.scoring import Rules

DAY = 20_731  # 2026-10-05


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int = 0
    timestamp_type: int = 1
    headers: tuple = ()


class Broker:
    """Takes everything; no server is needed for what is tested here."""

    async def send(self, *_: Any) -> list:
        return []

    async def write(self, messages: Any) -> None:
        self.written = messages


async def test_the_other_partitions_go_on_while_one_closes_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(_env_file=None, simulated_clock=True)  # type: ignore[call-arg]
    policies = read_policies(settings.policies)
    context = Context(Rules(policies), CivilDays(policies.zone))
    broker: Any = Broker()
    engagement = Engagement(settings, context, broker, broker, Health("engagement", 60.0))

    async def owned() -> Owned:
        return Owned(Partition(0, context), broker)

    engagement._owned[0] = asyncio.create_task(owned())
    loop_went_on = threading.Event()

    def slow(partition: Partition, items: Any) -> Any:
        assert loop_went_on.wait(5), "the event loop stood still while the day closed"
        return decide(partition, items)

    monkeypatch.setattr(module, "decide", slow)
    policy = policies.on(date_of(DAY))
    end = context.civil.end_of(DAY)
    record = log.DayClosed(date_of(DAY).isoformat(), policy.version, policy.checksum, end + 300.0, ())
    begun = log.FeedState("events", "fresh", end - 3600.0)
    closing = asyncio.create_task(
        engagement.handle(
            "log", 0, of_objects([Record(0, None, log.encode(begun)), Record(1, None, log.encode(record))])
        )
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop_went_on.set()
    await asyncio.wait_for(closing, 60)

    partition = (await engagement._owned[0]).partition
    assert partition.meta is not None
    assert partition.meta.anchor == DAY


@pytest.mark.parametrize("closes", [True, False])
async def test_no_more_than_four_large_batches_are_in_hand_and_the_small_ones_go_on(closes: bool) -> None:
    """Each holds what it says of everybody until it is delivered: of a hundred partitions that was gigabytes."""
    settings = Settings(_env_file=None, simulated_clock=True)  # type: ignore[call-arg]
    policies = read_policies(settings.policies)
    context = Context(Rules(policies), CivilDays(policies.zone))
    end, policy = context.civil.end_of(DAY), policies.on(date_of(DAY))
    begun = log.FeedState("events", "fresh", end - 3600.0)
    close = log.DayClosed(date_of(DAY).isoformat(), policy.version, policy.checksum, end + 300.0, ())
    under_way, most, others = 0, 0, 0
    goes_on = asyncio.Event()

    class Slow(Broker):
        async def write(self, messages: Any) -> None:
            nonlocal under_way, most, others
            if len(messages) == 1:  # no day: the partition's row alone
                others += 1
                return
            under_way += 1
            most = max(most, under_way)
            await goes_on.wait()
            under_way -= 1

    broker: Any = Slow()
    engagement = Engagement(settings, context, broker, broker, Health("engagement", 60.0))

    async def owned(number: int) -> Owned:
        return Owned(Partition(number, context), broker)

    engagement._owned = {n: asyncio.create_task(owned(n)) for n in range(8)}
    small = of_objects([Record(0, None, log.encode(begun))])

    def enrolled(n: int) -> Record:
        entry = log.StudentRecord(
            msgspec.Raw(b'{"student":"s%d"}' % n), log.Position("roster-0", n), recorded_at=end - 3600.0
        )
        return Record(n, b"s%d" % n, log.encode(entry))

    large = [enrolled(1), Record(2, None, log.encode(close))] if closes else [enrolled(n) for n in range(1, 1_001)]
    working = [asyncio.create_task(engagement.handle("log", n, of_objects(large))) for n in range(7)]
    await asyncio.wait_for(engagement.handle("log", 7, small), 5)
    async with asyncio.timeout(10):  # four are under way
        while under_way < 4:  # noqa: ASYNC110 - they decide in threads
            await asyncio.sleep(0.01)
    for _ in range(100):
        await asyncio.sleep(0)
    goes_on.set()
    await asyncio.wait_for(asyncio.gather(*working), 30)

    assert (most, others) == (4, 1)


async def test_a_partition_is_told_of_from_its_recovery_until_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays of one that has gone grows old: in a day it would say that its days do not close."""
    settings = Settings(_env_file=None, simulated_clock=True)  # type: ignore[call-arg]
    policies = read_policies(settings.policies)
    context = Context(Rules(policies), CivilDays(policies.zone))
    broker: Any = Broker()

    async def recover(owned: Owned) -> None:
        policy = policies.on(date_of(DAY))
        end = context.civil.end_of(DAY)
        record = log.DayClosed(date_of(DAY).isoformat(), policy.version, policy.checksum, end + 300.0, ())
        begun = log.FeedState("events", "fresh", end - 3600.0)
        batch = of_objects([Record(0, None, log.encode(begun)), Record(1, None, log.encode(record))])
        decide(owned.partition, Engagement._decode(engagement, batch)[0]).commit()

    monkeypatch.setattr(Owned, "recover", recover)
    engagement = Engagement(settings, context, broker, broker, Health("engagement", 60.0))

    def told() -> dict[str, set[str]]:
        gauges = (metrics.students, metrics.once_keys, metrics.evidence, metrics.last_closed_day)
        return {
            family.name: {sample.labels["partition"] for sample in family.samples}
            for gauge in gauges
            for family in gauge.collect()
        }

    async def assign(*numbers: int, generation: int) -> None:
        await engagement.assigned({TopicPartition("log", number) for number in numbers}, generation)
        await asyncio.gather(*engagement._owned.values())

    await assign(100, 101, generation=1)
    assert all(known >= {"100", "101"} for known in told().values())
    closed = metrics.last_closed_day.labels(100)._value.get()
    assert closed == context.civil.end_of(DAY)

    await assign(100, generation=2)
    assert all("100" in known and "101" not in known for known in told().values())
