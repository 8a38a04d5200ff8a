"""Which sources are paused, as every intake process knows it, and who pauses them: ``leap.source-states``, followed.

Each process judges a source by the records that it has dealt with itself (:mod:`streams.breaker`); what it finds it
says on the topic, and every process acts on that. So they all pause and go on alike, whoever has the partitions, and a
process that starts knows what was said before.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.cloudevents import headers
from schemas.source_states import VERSION, SourceState, SourceStateError, encode, read
from streams import metrics
from streams.breaker import Breaker
from streams.holds import Holds
from streams.producer import Producer
from streams.reader import connected, consumer, follow, read_to_end
from streams.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.5


class Known(NamedTuple):
    """A source's state as it stands on the topic: where, and when the broker had it (seconds since 1970)."""

    state: SourceState
    offset: int
    at: float

    @property
    def paused(self) -> bool:
        """Whether the source is paused."""
        return self.state.state == "paused"


class SourceStates:
    """The states of sources, kept up to date, and what follows from them; nothing is known before :meth:`start`."""

    def __init__(self, settings: Settings, producer: Producer, holds: Holds) -> None:
        """Take a started producer, and the holds of the role that reads the sources."""
        self._settings = settings
        self._topics = settings.topics
        self._producer = producer
        self._holds = holds
        self._kafka = consumer(settings, "source-states")
        self._known: dict[str, Known] = {}
        self._probed: dict[str, int] = {}
        self._overtaken: dict[str, SourceState] = {}
        """What an operator said just before a word of this process that did not know it."""
        self._breakers = {
            name: Breaker(settings.breaker_records, settings.breaker_share) for name in self._topics.sources
        }
        for name in self._breakers:
            metrics.source_paused.labels(name).set(0)

    async def start(self) -> None:
        """Connect and read what there is."""
        await self._kafka.start()
        async for records in _all(self._kafka, self._settings):
            self.take(records)

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()

    async def follow(self) -> None:
        """Take up what comes, for ever."""

        async def take(records: list[Any]) -> None:
            self.take(records)
            await self.say_again()

        await follow(self._kafka, take)

    def take(self, records: Iterable[Any]) -> None:
        """Take up records; one that is no state changes nothing (it stays on the topic, and its place is logged)."""
        for source, known, offset in _read(records):
            if source not in self._breakers:
                continue
            before, by_operator = self._known.get(source), known is not None and known.state.by == "operator"
            if before is None or before.offset <= offset:
                self._act(source, known, anew=before is None or before.offset < offset)
                if by_operator:
                    self._overtaken.pop(source, None)
            elif known is not None and by_operator:
                # What this process said itself it acted on at once; what stands before that on the topic comes later.
                self._overtaken[source] = known.state

    async def say_again(self) -> None:
        """Say again what an operator said while this process said something else: theirs holds.

        Raises:
            DeliveryError: the broker did not take it.
        """
        while self._overtaken:
            source, state = self._overtaken.popitem()
            await say(self._producer, self._settings, source, state)

    def of(self, source: str) -> Known | None:
        """Return what is known of a source; None: it runs."""
        return self._known.get(source)

    async def judge(self, source: str, began: Known | None, records: Sequence[Any], unusable: Collection[int]) -> None:
        """Judge a source by a batch that has been dealt with; returns when the broker has what follows from it.

        ``began``: its state when the batch began; if it was paused, this is the batch that was let through.
        ``unusable``: the offsets of those records that were.

        Raises:
            DeliveryError: the broker did not take it.
        """
        known, breaker = self._known.get(source), self._breakers[source]
        if _offset(known) != _offset(began):
            return  # somebody has said something else meanwhile, without this batch
        if known is not None and known.paused:
            again = breaker.exceeds(len(unusable), len(records))
            since = known.state.since if again else time.time()
            await self._say(source, "paused" if again else "running", since, len(unusable), len(records))
            return
        # Who lets a source go on has seen what waits: it passes as it is, and what comes afterwards is judged.
        passed = known.at * 1000 if known is not None and known.state.by == "operator" else 0.0
        last = records[-breaker.size :]
        breaker.add(record.offset in unusable for record in last if record.timestamp >= passed)
        if breaker.tripped:
            await self._say(source, "paused", time.time(), breaker.unusable, breaker.size)

    async def probe(self) -> None:
        """Let a batch of each source through that the breaker has paused for long enough, for ever."""
        while True:
            self.let_through(time.time())
            await asyncio.sleep(_LOOK_EVERY)

    def let_through(self, now: float) -> None:
        """Let one batch of each source through that is due, once a pause."""
        for source, known in self._known.items():
            due = known.paused and known.state.by == "breaker" and now >= known.at + self._settings.breaker_retry
            if due and self._probed.get(source) != known.offset:
                self._probed[source] = known.offset
                self._holds.let_one(self._topics.source(source).name)

    async def _say(
        self, source: str, state: Literal["paused", "running"], since: float, unusable: int, of: int
    ) -> None:
        said = SourceState(VERSION, state, "breaker", since, unusable, of)
        offset = await say(self._producer, self._settings, source, said)
        before = self._known.get(source)
        if before is None or before.offset < offset:
            self._act(source, Known(said, offset, time.time()), anew=True)

    def _act(self, source: str, known: Known | None, *, anew: bool) -> None:
        topic = self._topics.source(source).name
        if known is None:
            self._known.pop(source, None)
        else:
            self._known[source] = known
        if not anew:
            return
        paused = known is not None and known.paused
        self._breakers[source].clear()
        (self._holds.hold if paused else self._holds.release)(topic)
        metrics.source_paused.labels(source).set(paused)
        if known is not None:
            logger.warning("source %s: %s, by the %s%s", source, known.state.state, known.state.by, judged(known.state))


def judged(state: SourceState) -> str:
    """Return what the breaker judged by, as the end of a sentence.

    >>> judged(SourceState(1, "paused", "breaker", 0.0, 73, 100))
    ': 73 of 100 records could not be used'
    """
    return f": {state.unusable:,} of {state.of:,} records could not be used" if state.of else ""


async def say(producer: Producer, settings: Settings, source: str, state: SourceState) -> int:
    """Say a source's state; returns its place on the topic when the broker has it.

    Raises:
        DeliveryError: the broker did not take it.
    """
    event = headers("source-state", f"/leap/{state.by}", f"{source}/{time.time():.3f}")
    messages = [(source.encode(), encode(state), event)]
    ((offset, _),) = await producer.deliver(settings.topics.source_states.name, 0, messages)
    return offset


async def read_states(settings: Settings) -> dict[str, Known]:
    """Return what stands on the topic now, by source."""
    found: dict[str, Known] = {}
    async with connected(settings, "source-states") as kafka:
        async for records in _all(kafka, settings):
            for source, known, _ in _read(records):
                if known is None:
                    found.pop(source, None)
                else:
                    found[source] = known
    return found


async def _all(kafka: AIOKafkaConsumer, settings: Settings) -> AsyncIterator[list[Any]]:
    async for _, records in read_to_end(kafka, [TopicPartition(settings.topics.source_states.name, 0)]):
        yield records


def _read(records: Iterable[Any]) -> Iterable[tuple[str, Known | None, int]]:
    for record in records:
        try:
            source, state = read(record.key, record.value)
        except SourceStateError as error:
            logger.warning("%s-%d/%d: %s", record.topic, record.partition, record.offset, error)
            continue
        known = None if state is None else Known(state, record.offset, record.timestamp / 1000)
        yield source, known, record.offset


def _offset(known: Known | None) -> int:
    return -1 if known is None else known.offset
