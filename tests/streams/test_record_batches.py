"""What the transport commits: no more than is done, all that is done, and for no batch that went with its partition."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from faust.types import TP

from streams.record_batches import App, Consumer, ConsumerThread, RecordBatch

LOG = TP("leap.student-log", 0)
GENERATION = 4


class Broker:
    """Takes commits, or refuses them."""

    def __init__(self) -> None:
        self.refuses = False
        self.committed: list[Mapping[TP, int]] = []

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        if not self.refuses:
            self.committed.append(dict(offsets))
        return not self.refuses


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def consumer(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    app = App("test", broker=["leap://127.0.0.1:1"], store="memory://", web_enabled=False)
    app.consumer_generation_id = GENERATION

    async def deliver(message: Any) -> None:
        delivered.append(message.offset)

    async def nothing(_: Any) -> None:
        """No rebalance is part of these tests."""

    delivered: list[int] = []
    made: Any = app.transport.create_consumer(
        callback=deliver, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    made.delivered = delivered
    monkeypatch.setattr(made, "_commit", broker.commit)
    monkeypatch.setattr(made, "assignment", lambda: {LOG})
    monkeypatch.setattr(app.topics, "acks_enabled_for", lambda _: True)
    monkeypatch.setattr(type(app), "producer", SimpleNamespace(flush=_flush), raising=False)
    return made  # type: ignore[no-any-return]


async def _flush() -> None:
    """Nothing of ours goes through Faust's producer."""


async def deliver(consumer: Any, offset: int, generation: int = GENERATION) -> Any:
    """Let a batch that ends at an offset reach the agent's stream; returns its message."""
    consumer.app.consumer_generation_id, now = generation, consumer.app.consumer_generation_id
    record = SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0, key=None, value=None)
    message = consumer._to_message(LOG, RecordBatch(LOG, [record]))
    consumer.app.consumer_generation_id = now
    await consumer._note_and_deliver(message)
    return message


async def test_a_batch_is_committed_when_all_before_it_are_done(consumer: Any, broker: Broker) -> None:
    """Three batches, the first and the last are done: only the first is committed, and everything once the second is."""
    one, two, three = [await deliver(consumer, offset) for offset in (99, 199, 299)]

    consumer.ack(one)
    consumer.ack(three)
    await consumer.commit()
    assert broker.committed == [{LOG: 100}]
    consumer.ack(two)
    await consumer.commit()
    assert broker.committed == [{LOG: 100}, {LOG: 300}]


async def test_a_batch_of_a_generation_that_is_over_is_dropped_and_holds_nothing_up(
    consumer: Any, broker: Broker
) -> None:
    """It was on its way when the partition went: nobody will acknowledge it, and what comes afterwards is committed."""
    await deliver(consumer, 99, generation=GENERATION - 1)
    new = await deliver(consumer, 199)

    assert consumer.delivered == [199]
    consumer.ack(new)
    await consumer.commit()
    assert broker.committed == [{LOG: 200}]


async def test_a_commit_that_failed_is_tried_again_although_nothing_more_comes(consumer: Any, broker: Broker) -> None:
    """The broker is away for a moment: the last batch of a quiet topic must not stay uncommitted."""
    consumer.ack(await deliver(consumer, 99))
    broker.refuses = True
    await consumer.commit()
    assert consumer._committed_offset[LOG] is None

    broker.refuses = False
    await consumer.commit()
    assert broker.committed == [{LOG: 100}]
    await consumer.commit()
    assert broker.committed == [{LOG: 100}], "what is committed is not committed again"


# -- full buffers -----------------------------------------------------------------------------------------------------


async def test_nobody_sleeps_because_buffers_are_full(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust sleeps for a second when all of them are, and waits as long for what has room when some are."""
    waited: list[float] = []

    async def getmany(_: set[TP], timeout: float) -> dict[TP, list[Any]]:  # noqa: ASYNC109 - Faust names it so
        waited.append(timeout)
        return {}

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    consumer._thread = SimpleNamespace(getmany=getmany)
    monkeypatch.setattr(consumer, "sleep", sleep)
    consumer.flow_active = True
    consumer._active_partitions = {LOG}
    await consumer._wait_next_records(1.0)
    assert waited == [1.0]

    consumer.on_buffer_full(LOG)
    await consumer._wait_next_records(1.0)
    consumer._active_partitions = {TP("leap.student-log", 1)}
    await consumer._wait_next_records(1.0)
    assert all(seconds < 0.05 for seconds in waited[1:])
    assert len(waited) == 3

    consumer.on_buffer_drop(LOG)
    await consumer._wait_next_records(1.0)
    assert waited[3:] == [1.0]


async def test_the_fetches_of_fausts_thread_are_kept_apart(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    started = SimpleNamespace(start=AsyncMock())
    thread = consumer._new_consumer_thread()
    monkeypatch.setattr(thread, "_create_consumer", lambda loop: started)
    monkeypatch.setattr(ConsumerThread, "thread_loop", None, raising=False)
    monkeypatch.setattr("streams.record_batches.keep_fetches_apart", kept.append)

    await thread.on_start()

    assert kept == [started]
    started.start.assert_awaited_once()


# -- topics that are held ---------------------------------------------------------------------------------------------

HELD = TP("leap.source.events", 0)


async def test_a_held_topic_is_not_fetched_whatever_faust_makes_active(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust makes every partition active after a rebalance, and one whose buffer has room again."""
    asked: list[set[TP]] = []

    async def getmany(active: set[TP], _: float) -> dict[TP, list[Any]]:
        asked.append(set(active))
        return {}

    consumer._thread = SimpleNamespace(getmany=getmany)
    monkeypatch.setattr(consumer.app, "fetched", lambda topic: topic != HELD.topic)
    for active in ({LOG, HELD}, {HELD}):
        await consumer._getmany(active, 1.0)
    monkeypatch.setattr(consumer.app, "fetched", lambda topic: True)
    await consumer._getmany({HELD}, 1.0)

    assert asked == [{LOG}, set(), {HELD}]


async def test_a_member_of_which_everything_is_held_asks_for_nothing_and_stays_in_its_group(consumer: Any) -> None:
    """aiokafka takes no partitions for all of them, and a consumer that is not polled leaves its group."""
    polls = []

    @contextmanager
    def polled() -> Iterator[None]:
        polls.append(True)
        yield

    kafka = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=SimpleNamespace(fetch_context=polled)))
    thread = ConsumerThread(consumer)

    assert await thread._fetch_records(kafka, set(), timeout=0.01) == {}
    assert polls == [True]


async def test_a_held_partition_is_not_called_stuck(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would log an error every second, for as long as the source is paused."""
    looked: list[TP] = []
    consumer._thread = SimpleNamespace(verify_event_path=lambda now, tp: looked.append(tp))
    monkeypatch.setattr(consumer.app, "fetched", lambda topic: topic != HELD.topic)
    for tp in (LOG, HELD):
        consumer.verify_event_path(0.0, tp)

    assert looked == [LOG]
