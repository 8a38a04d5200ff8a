"""Which batches a role deals with (its generation's, none in between, none that is held), and with what code it ends."""

import asyncio
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError, TopicAuthorizationFailedError

from deploy.servers import free_port
from streams import metrics
from streams.connection import RefusedError
from streams.holds import Holds
from streams.producer import DeliveryError
from streams.records import Records, of_objects
from streams.role import Handler, Health, Streaming, exit_code
from streams.settings import Settings

ROOT = Path(__file__).parents[2]


class Taking(Handler):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.batches: list[int] = []
        """How many records each had."""
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def handle(self, topic: str, partition: int, records: Records) -> None:
        self.taken += records.offsets.tolist()
        self.batches.append(len(records))
        await self.goes_on.wait()


class Batch(Records):
    """A batch's records, of which it can be told whether they are still there."""


def records(first: int, n: int = 1) -> Batch:
    """Return a batch of records, of which the offset is what matters."""
    made = of_objects(
        [
            SimpleNamespace(offset=first + i, timestamp=0, timestamp_type=0, key=None, value=None, headers=[])
            for i in range(n)
        ]
    )
    return Batch(
        *(getattr(made, name) for name in ("offsets", "timestamps", "keys", "values", "_batches", "_of", "_number"))
    )


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
        await self.acknowledged.put(event.value[0].offset)

    def put(self, record: int, generation: int, topic: str = "topic", n: int = 1) -> "weakref.ref[Batch]":
        """Put a batch, usually of one record; returns what says whether it is still held by anybody."""
        message = SimpleNamespace(tp=(topic, 0), topic=topic, partition=0, generation_id=generation)
        batch = records(record, n)
        self.batches.put_nowait(SimpleNamespace(message=message, value=batch))
        return weakref.ref(batch)


def streaming(taking: Taking, holds: Holds | None = None, settings: Settings | None = None) -> Streaming:
    """Return a role that hands its batches to `taking`."""

    async def make() -> Handler:
        return taking

    settings = settings or Settings(_env_file=None)  # type: ignore[call-arg]
    return Streaming(settings, "roster", ["topic"], Health("roster", 60.0), make, holds)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (4, 5)])
async def test_batches_of_the_new_generation_count_whatever_its_number(before: int, after: int) -> None:
    """A group that is new at the broker counts from its first number again, and a batch may be there before the word is."""
    taking, stream = Taking(), Stream()
    role = streaming(taking)
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


# -- how a process ends -----------------------------------------------------------------------------------------------


def ends(code: str) -> subprocess.CompletedProcess[str]:
    """Run a role in a process of its own, as it ends by ending it."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )


def test_a_broker_that_goes_while_a_role_starts_ends_it_with_its_reason_and_no_traceback() -> None:
    """It answered when it was asked whether the topics are right, and then Faust finds nobody."""
    done = ends(
        "from tests.streams.test_role import Taking, streaming\n"
        "from streams.settings import Settings\n"
        f"raise SystemExit(streaming(Taking(), settings=Settings(_env_file=None, kafka='127.0.0.1:{free_port()}')).run())"
    )

    assert done.returncode == 69
    assert "leap: Kafka: Unable to bootstrap" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KafkaConnectionError("gone"), 69),
        (RequestTimedOutError(), 69),
        (TopicAuthorizationFailedError("not yours"), 70),
        (RefusedError("who are you?"), 78),
        (ValueError("nobody thought of it"), 70),
    ],
)
def test_the_exit_code_says_whether_the_broker_was_away(error: Exception, code: int) -> None:
    """Also where our own error names one of aiokafka's as its cause."""
    wrapped = DeliveryError("not taken")
    wrapped.__cause__ = error

    assert exit_code(error) == code
    assert exit_code(wrapped) == (code if code == 69 else 70)


# -- small batches ----------------------------------------------------------------------------------------------------


async def test_small_batches_that_wait_are_dealt_with_as_one(running: "Running") -> None:
    """In their order, each acknowledged; what is not small, or came under another generation, is not among them."""
    running.taking.goes_on.clear()
    running.stream.put(0, 1)
    await running.rest()
    for n in range(1, 10):
        running.stream.put(n, 1)
    running.stream.put(10, 1, n=990)
    running.stream.put(1000, 1, n=5)
    await running.rest()
    running.taking.goes_on.set()

    assert await running.acknowledged(12) == [*range(11), 1000]
    assert running.taking.taken == list(range(1005))
    assert running.taking.batches == [1, 999, 5]


async def test_of_small_batches_that_wait_those_of_a_partition_that_has_gone_are_dropped(running: "Running") -> None:
    running.taking.goes_on.clear()
    running.stream.put(0, 1)
    await running.rest()
    running.stream.put(1, 1)
    await running.rest()
    running.role.app.consumer_generation_id = 2
    running.stream.put(2, 2)
    running.taking.goes_on.set()

    assert await running.acknowledged(2) == [0, 2]
    assert running.taking.taken == [0, 2]


# -- held topics ------------------------------------------------------------------------------------------------------


class Running:
    """A role that runs, with a topic that is held."""

    def __init__(self) -> None:
        self.taking, self.stream, self.holds = Taking(), Stream(), Holds()
        self.role = streaming(self.taking, self.holds)
        self.role.app.consumer_generation_id = 1
        self.holds.hold("held")
        self.agent = asyncio.create_task(self.role._agent(self.stream))

    async def acknowledged(self, n: int) -> list[int]:
        async with asyncio.timeout(5):
            return [await self.stream.acknowledged.get() for _ in range(n)]

    async def rest(self) -> None:
        """Let everything happen that can."""
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    found = Running()
    await found.role._on_assigned(None, set())
    yield found
    found.agent.cancel()


async def test_a_topic_that_is_held_holds_up_no_other_and_keeps_its_order(running: Running) -> None:
    """More batches of it wait than a lane takes; all go, as they came, once it is released."""
    for n in range(20):
        running.stream.put(n, 1, "held")
    for n in range(100, 110):
        running.stream.put(n, 1)

    assert await running.acknowledged(10) == list(range(100, 110))
    assert running.taking.taken == list(range(100, 110))
    running.holds.release("held")
    assert await running.acknowledged(20) == list(range(20))


async def test_what_is_in_hand_when_its_topic_is_held_ends_and_what_follows_waits(running: Running) -> None:
    """Also if the agent stood at the full lane at that moment: it would stand there until the topic is released."""
    running.holds.release("held")
    running.taking.goes_on.clear()
    for n in range(8):
        running.stream.put(1000 * n, 1, "held", n=600)
    running.stream.put(100_000, 1)
    await running.rest()
    assert running.taking.batches == [600], "one is in hand, and the agent stands at the lane"

    running.holds.hold("held")
    running.taking.goes_on.set()
    assert sorted(await running.acknowledged(2)) == [0, 100_000]
    await running.rest()
    assert sorted(running.taking.batches) == [1, 600]


async def test_one_batch_is_let_through_and_no_more(running: Running) -> None:
    """One that waits; and if none does, the next that comes."""
    for n in range(3):
        running.stream.put(n, 1, "held")
    await running.rest()

    assert not running.holds.fetched("held")
    running.holds.let_one("held")
    assert running.holds.fetched("held")
    await running.rest()
    assert running.taking.taken == [0]
    assert not running.holds.fetched("held")
    running.holds.let_one("other")
    assert "other" not in running.holds, "a topic that is not held is not held by being let through"


async def test_a_rebalance_does_not_wait_for_what_is_held_and_drops_it(running: Running) -> None:
    """It is not acknowledged, so whoever has the partition next reads it again, and nobody deals with it twice."""
    for n in range(5):
        running.stream.put(n, 1, "held")
    await running.rest()

    async with asyncio.timeout(1):  # the drain itself would wait for three seconds
        await running.role._drain()
    running.role.app.consumer_generation_id = 2
    await running.role._on_assigned(None, set())
    running.holds.release("held")
    running.stream.put(7, 2, "held")
    assert await running.acknowledged(1) == [7]
    assert running.taking.taken == [7]


async def test_what_a_rebalance_dropped_takes_no_room_and_is_not_the_one_that_is_let_through(running: Running) -> None:
    """The topic is still held when the partition is here again: a fetch is megabytes, and a try is one batch."""
    dropped = [running.stream.put(n, 1, "held") for n in range(5)]
    await running.rest()

    await running.role._drain()
    running.role.app.consumer_generation_id = 2
    await running.role._on_assigned(None, set())
    running.stream.put(7, 2, "held")
    await running.rest()
    assert [batch() for batch in dropped] == [None] * 5
    running.holds.let_one("held")
    assert await running.acknowledged(1) == [7]


async def test_what_a_rebalance_dropped_does_not_use_up_the_try(running: Running) -> None:
    """It is said between the rebalance and its end, when what was read before it still waits."""
    running.stream.put(1, 1, "held")
    await running.rest()
    running.role.app.consumer_generation_id = 2
    running.stream.put(7, 2, "held")

    running.holds.let_one("held")
    assert await running.acknowledged(1) == [7]


async def test_what_is_held_is_not_behind_but_its_lag_is_told(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog would end the process for the records that it leaves alone on purpose."""
    lags = {TopicPartition("held", 0): 30, TopicPartition("topic", 0): 0}
    consumer = SimpleNamespace(assignment=lambda: set(lags), _committed_offset={})
    monkeypatch.setattr(type(running.role.app), "consumer", consumer, raising=False)
    seen: list[bool] = []
    monkeypatch.setattr(running.role._health, "behind", lambda *, behind: seen.append(behind))

    async def ends(_: Any) -> Any:
        return lags

    for held, other in ((30, 0), (30, 7), (0, 7)):
        lags[TopicPartition("held", 0)], lags[TopicPartition("topic", 0)] = held, other
        await running.role._measure(SimpleNamespace(ends=ends))  # type: ignore[arg-type]
        assert metrics.lag_records.labels("roster", "held", 0)._value.get() == held
    assert seen == [False, True, True]


async def test_a_partition_that_has_gone_is_told_of_no_more(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last lag would stand there for ever, beside that of the process that has it now."""
    lags = {TopicPartition("topic", 0): 30, TopicPartition("topic", 1): 40}
    consumer = SimpleNamespace(assignment=lambda: set(lags), _committed_offset={})
    monkeypatch.setattr(type(running.role.app), "consumer", consumer, raising=False)

    async def ends(_: Any) -> Any:
        return lags

    def told() -> dict[str, float]:
        (family,) = metrics.lag_records.collect()
        return {s.labels["partition"]: s.value for s in family.samples if s.labels["topic"] == "topic"}

    await running.role._measure(SimpleNamespace(ends=ends))  # type: ignore[arg-type]
    assert told() == {"0": 30, "1": 40}

    del lags[TopicPartition("topic", 1)]
    await running.role._measure(SimpleNamespace(ends=ends))  # type: ignore[arg-type]
    assert told() == {"0": 30}
