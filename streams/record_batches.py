"""The record-batch transport: a Faust driver that hands over a partition's fetch as one message.

A Faust event per record costs two tasks and a sleep (3.9 k events/s with a table write each); one per fetch is what
lets the engagement role work in columns. The message's value is all of them, its offset the offset of the last one.

Three more things differ from Faust's own driver, each because of a loss or a stall that was measured or read in it:

* *Commits are contiguous.* Faust skips a single missing offset at the head of what was acknowledged, so that a message
  which was never acknowledged is lost. Here a message's offset is committed only when every message delivered before it
  is done.
* *Gaps are not filled in.* Offsets between two messages are the records of the second one, not a gap.
* *Revocation is bounded.* Faust drops acknowledgements before it waits for what is in hand, and waits without end. Here
  the flow stops first, the batch in hand may end within a bounded time, what it acknowledged is committed, and then
  partitions go.
"""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import faust
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from faust.app import base
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams import heartbeats as _heartbeats  # noqa: F401 - makes them end
from streams import inflation as _inflation  # noqa: F401 - bounds every fetch
from streams.reader import keep_fetches_apart
from streams.records import Records, joined, of_objects

SCHEME = "leap"
"""URL scheme of the broker setting that selects this driver (``leap://host:port``)."""

TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"


_WHOLE = math.inf
"""As the most records of a fetch: unpack whole record batches. Only our own consumer asks for that."""


def _whole_batches(self: Any, max_records: float | None = None) -> Any:
    """Unpack a fetch by whole record batches, into columns.

    aiokafka's own loop resumes a generator and builds a frozen dataclass for each record.
    """
    if max_records != _WHOLE:
        return _one_by_one(self, max_records)
    if not self.check_assignment(self._topic_partition) or not self.has_more():
        return ()
    source = self._partition_records
    fetched, following = source._records, source.next_fetch_offset
    unpacked: list[Records] = []
    while fetched.has_next():
        batch = fetched.next_batch()
        if source._check_crcs and not batch.validate_crc():
            msg = f"{self._topic_partition}: a record batch does not match its checksum"
            raise CorruptRecordException(msg)
        if not batch.is_control_batch:
            # The broker sends whole batches, so the first one may begin before the offset we asked for.
            unpacked.append(batch.columns().since(following))
        following = batch.next_offset
    source.next_fetch_offset = following
    self._update_position()
    # It refers to itself by its iterator: so it would stay, with all its bytes, until the garbage collector comes, and
    # that we let run seldom.
    source._records_iterator = None
    self._partition_records = None
    return joined(unpacked)


# aiokafka has no hook for it. We write no transactions, so there are no aborted records to leave out.
_one_by_one = fetcher.FetchResult.getall
fetcher.FetchResult.getall = _whole_batches


async def seek_to_committed(consumer: Any) -> dict[Any, int | None]:
    """Go back to what is committed; in a partition of which nothing is, to its beginning. Returns what is committed.

    aiokafka would leave such a partition where it is. A fetch that began before a rebalance may bring records of the
    new assignment, and Faust drops them, because it seeks when the rebalance is over: without this, nobody would ever
    deal with the first records of a topic.
    """
    committed: dict[Any, int | None] = await consumer.seek_to_committed()
    untouched = [tp for tp, offset in committed.items() if not offset]
    if untouched:
        await consumer.seek_to_beginning(*untouched)
    return committed


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, asking for whole record batches unless the settings cap the records of a fetch."""

    async def on_start(self) -> None:
        """Called by Faust in the thread."""
        await super().on_start()
        keep_fetches_apart(self._consumer)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - the base class names it so
        max_records: int | None = None,
    ) -> Any:
        if not active_partitions:
            # aiokafka would take it for all of them. It must be polled nevertheless, or we would leave the group.
            with consumer._fetcher._subscriptions.fetch_context():
                await asyncio.sleep(timeout or 0.0)
            return {}
        most = cast("int", _WHOLE) if max_records is None else max_records
        return await super()._fetch_records(consumer, active_partitions, timeout, most)

    async def seek_to_committed(self) -> Any:
        """Called by Faust when a rebalance is over, and where it has dropped what it fetched."""
        return await self.call_thread(seek_to_committed, self._ensure_consumer())

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust fixes it at 1.5 s. A broker answers as soon as there is data, but the embedded one only when it is over.
        consumer._fetch_max_wait_ms = int(cast("App", self.app).fetch_wait * 1000)
        return consumer


class RecordBatch:
    """A partition's fetch in the form in which Faust expects one record; ``value`` is all of its records."""

    __slots__ = ("offset", "partition", "timestamp", "timestamp_type", "topic", "value")

    checksum: ClassVar[None] = None
    headers: ClassVar[tuple[()]] = ()
    key: ClassVar[None] = None
    serialized_key_size: ClassVar[int] = 0
    serialized_value_size: ClassVar[int] = 0

    def __init__(self, tp: TP, records: Sequence[Any]) -> None:
        """Take over the records of one fetch (at least one): in columns, or as objects where their number is capped."""
        self.value = records if isinstance(records, Records) else of_objects(records)
        last = self.value[-1]
        self.topic, self.partition, self.offset = tp.topic, tp.partition, last.offset
        self.timestamp, self.timestamp_type = last.timestamp, last.timestamp_type


class App(faust.App):
    """A Faust app over this driver: it says when what is in hand is done, opens no port and keeps nothing on disk."""

    class BootStrategy(base.BootStrategy):
        """Faust would open a web port even when told not to, and serve state on it."""

        enable_web = False

    fetch_wait = 0.5
    """How long a fetch may wait at the broker, in seconds."""

    async def drain(self) -> None:
        """Return when no batch is in hand, or when waiting longer would cost the group.

        Called when partitions are about to go.
        """

    def fetched(self, topic: str) -> bool:  # noqa: ARG002
        """Say whether more of a topic is to be fetched now."""
        return True

    def _create_directories(self) -> None:
        """State lives in Kafka."""


_FULL = 0.01
"""Seconds for which a fetch waits while a buffer is full: it will have room again any moment.

Faust sleeps for a second when all are, and waits as long for the partitions that have room when some are: then nothing
counts in one second, and thousands do in the next (docs/reliability.md).
"""


class Consumer(driver.Consumer):
    """Faust's consumer with one message a fetch and contiguous commits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with nothing delivered."""
        super().__init__(*args, **kwargs)
        self._delivered: defaultdict[TP, deque[int]] = defaultdict(deque)
        self._reached: dict[TP, int] = {}
        self._deliver, self.callback = self.callback, self._note_and_deliver

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _note_and_deliver(self, message: Any) -> None:
        """Note a message just before it is delivered to the agent's stream.

        One of the generation before may still be on its way here when its partition is gone. Nobody will deal with it,
        so once noted it would hold up every commit of the partition, should it come back.
        """
        if message.generation_id == self.app.consumer_generation_id:
            self._delivered[message.tp].append(message.offset)
            await self._deliver(message)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, set[TP] | None]:  # noqa: ASYNC109
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            await self.sleep(_FULL)
            return {}, set()
        found: tuple[Any, set[TP] | None] = await super()._wait_next_records(timeout)
        return found

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:  # noqa: ASYNC109
        if self._buffered_partitions:
            timeout = min(timeout, _FULL)
        # Not Faust's own pausing: it resumes all partitions at each rebalance, and one whose buffer has room again.
        wanted = {tp for tp in active_partitions or () if cast("App", self.app).fetched(tp.topic)}
        fetched = await super()._getmany(wanted, timeout)
        return {tp: [RecordBatch(tp, records)] for tp, records in fetched.items() if records}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look for what stands still, and log it; a held partition is meant to."""
        if cast("App", self.app).fetched(tp.topic):
            super().verify_event_path(now, tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets between two fetches are the records of the second one."""

    def _new_offset(self, tp: TP) -> int | None:
        """Return one past the last message of the unbroken run of acknowledged ones, or None.

        It is returned until there is a higher one: a commit that failed is tried again, also when nothing more comes.
        """
        delivered, acknowledged = self._delivered[tp], self._acked_index[tp]
        while delivered and delivered[0] in acknowledged:
            last = delivered.popleft()
            acknowledged.discard(last)
            self._reached[tp] = last + 1
        self._acked[tp] = list(acknowledged)
        return self._reached.get(tp)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit; what could not be committed stays to be committed, where Faust takes it for done."""
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            self._committed_offset.update(before)
        return done

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End what is in hand, commit it, then let the partitions go."""
        self.stop_flow()
        await cast("App", self.app).drain()
        await self.commit()
        self._delivered.clear()
        self._reached.clear()
        await super().on_partitions_revoked(revoked)


class Transport(driver.Transport):
    """The driver behind ``leap://``."""

    Consumer: ClassVar[type[Consumer]] = Consumer
