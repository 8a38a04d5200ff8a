"""Reads partitions from an offset to the end they had when asked: recovery, the roster at intake, rebuild, parity."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import connection
from streams import heartbeats as _heartbeats  # noqa: F401 - makes them end
from streams import inflation as _inflation  # noqa: F401 - bounds every fetch
from streams.settings import Settings

logger = logging.getLogger(__name__)

METADATA_AGE_MS = 5_000
"""How old a group member's knowledge of the topics may be.

A broker that has just started may not know all of them when partitions are given out: then nobody gets those, until
somebody looks again. aiokafka's default is five minutes.
"""

_APART = 0.03
"""Seconds between a fetch that brought something and the next one.

A fetch returns as soon as there is anything: a few records at a time, and most of what few cost is the batch. But at
each of three hops a record waits for half of it on average. At 2,000 events a second (`leap bench --only latency`) the
median to Redis is 77 ms with 30 ms, 110 with 50 and 46 to 67 with 20; at 5,000, which fill two cores, it is 577 with 20
and 261 with 50.
"""

_A_PARTITION = 0.0001
"""Seconds more for each partition that is asked for.

Every fetch names all of them, there and back, so the read model of 100 partitions (400 with those of its other topics)
would spend its time on asking.
"""

_SILENCE = 30.0


class StalledError(Exception):
    """The broker stopped sending a partition before the end that it had named."""


def consumer(settings: Settings, name: str, **options: Any) -> AIOKafkaConsumer:
    """Return a consumer without a group (or with the options of one), not yet started."""
    return AIOKafkaConsumer(
        **connection.kafka(settings),
        client_id=f"{settings.prefix}.{name}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=settings.fetch_bytes,
        fetch_max_wait_ms=int(settings.fetch_wait * 1000),
        **options,
    )


@contextlib.asynccontextmanager
async def connected(settings: Settings, name: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a started consumer (as `consumer` makes it), and stop it in the end, even if it never came to start.

    Raises:
        aiokafka.errors.KafkaError: the broker cannot be reached, or refuses us.
    """
    kafka = consumer(settings, name, **options)
    try:
        await kafka.start()
        await asyncio.sleep(0)  # its tasks must have begun: aiokafka raises the cancellation of one that has not
        yield kafka
    finally:
        await kafka.stop()


def keep_fetches_apart(kafka: AIOKafkaConsumer) -> None:
    """Make a started consumer wait after a fetch that brought something, before it asks for more.

    It is the request that waits. aiokafka asks for the next records when those before are taken, so a caller that took
    them later would get what came first in the pause, and leave the rest for yet another fetch.
    """
    fetcher = kafka._fetcher
    fetch, brought = fetcher._proc_fetch_request, -math.inf

    async def later(assignment: Any, node: int, request: Any) -> bool:
        nonlocal brought
        partitions = sum(len(asked) for _, asked in request.topics)
        try:
            if (early := brought + _APART + partitions * _A_PARTITION - time.monotonic()) > 0.0:
                await asyncio.sleep(early)
        except asyncio.CancelledError:
            # As aiokafka's own says it: who cancels it awaits it, and takes nothing else.
            return False
        something: bool = await fetch(assignment, node, request)
        if something:
            brought = time.monotonic()
        return something

    # aiokafka has no hook for it.
    fetcher._proc_fetch_request = later


async def read_to_end(
    kafka: AIOKafkaConsumer,
    partitions: Iterable[TopicPartition],
    *,
    since: Mapping[TopicPartition, int] | None = None,
    silence: float = _SILENCE,
) -> AsyncGenerator[tuple[TopicPartition, list[Any]], None]:
    """Assign ``partitions`` and yield their records, fetch by fetch, up to the ends they have now.

    ``since``: the first offset wanted of a partition; otherwise all that it has.

    A compacted or deleted tail is no reason to wait: what counts is the position, not the last record seen.

    Raises:
        StalledError: nothing came for ``silence`` seconds although the end was not reached.
    """
    wanted = list(partitions)
    kafka.assign(wanted)
    ends: dict[TopicPartition, int] = dict(await kafka.end_offsets(wanted))
    starts: dict[TopicPartition, int] = dict(await kafka.beginning_offsets(wanted))
    for tp, offset in (since or {}).items():
        starts[tp] = max(starts[tp], offset)
    for tp in wanted:
        kafka.seek(tp, starts[tp])
    left = {tp for tp in wanted if starts[tp] < ends[tp]}
    unheard = set(left)
    heard = time.monotonic()
    while left:
        fetched = await kafka.getmany(*left, timeout_ms=500)
        for tp, records in fetched.items():
            heard = time.monotonic()
            if tp in unheard:
                # The embedded broker names the beginning of the last batch as the end; what it sends says better.
                unheard.discard(tp)
                ends[tp] = max(ends[tp], kafka.highwater(tp) or 0)
            yield tp, [record for record in records if record.offset < ends[tp]]
        for tp in list(left):
            if await kafka.position(tp) >= ends[tp]:
                left.discard(tp)
        if time.monotonic() - heard > silence:
            names = ", ".join(f"{tp.topic}-{tp.partition} up to offset {ends[tp]}" for tp in sorted(left))
            msg = f"the broker sent nothing for {silence:.0f} s; still missing {names}"
            raise StalledError(msg)


class Stalls:
    """Notices a partition of which a consumer gets nothing more although the broker has more.

    A consumer may stall when its broker was away (seen in the fault suite): it fetches on, and nothing ever comes. Then
    whoever follows a topic would know for ever what it knew then. Asks the broker once in ``silence`` seconds.
    """

    def __init__(self, kafka: AIOKafkaConsumer, silence: float = _SILENCE) -> None:
        """Take a started consumer."""
        self._kafka = kafka
        self._silence = silence
        self._looked = time.monotonic()
        self._behind: dict[TopicPartition, int] = {}

    async def look(self, partitions: Iterable[TopicPartition]) -> None:
        """Call it after each fetch, with the partitions that were fetched from. Waits for the broker at most seconds.

        Raises:
            StalledError: a partition stands where it stood at the look before, and has had more since then.
            aiokafka.errors.KafkaError: the broker cannot be asked.
        """
        if time.monotonic() - self._looked < self._silence:
            return
        before, self._behind = self._behind, {}
        wanted = list(partitions)
        ends = await self._kafka.end_offsets(wanted) if wanted else {}
        try:
            async with asyncio.timeout(self._silence):
                stands = {tp: await self._kafka.position(tp) for tp in ends}
        except TimeoutError:
            raise StalledError(f"nobody knows where to read on after {self._silence:.0f} s") from None
        self._behind = {tp: offset for tp, offset in stands.items() if offset < ends[tp]}
        self._looked = time.monotonic()
        for tp, offset in self._behind.items():
            if before.get(tp) == offset:
                raise StalledError(f"{tp.topic}-{tp.partition} stands at {offset} and has {ends[tp]}: nothing comes")


async def follow(
    kafka: AIOKafkaConsumer, take: Callable[[list[Any]], Awaitable[None]], silence: float = _SILENCE
) -> None:
    """Hand over what comes to the assigned partitions, for ever; a broker that is away is waited for.

    Raises:
        StalledError: nothing came for ``silence`` seconds and more although there was more.
    """
    stalls = Stalls(kafka, silence)
    while True:
        try:
            for records in (await kafka.getmany(timeout_ms=500)).values():
                await take(records)
            await stalls.look(kafka.assignment())
        except KafkaError as error:
            topics = sorted({tp.topic for tp in kafka.assignment()})
            logger.warning("%s: cannot be read: %r", ", ".join(topics), error)
            await asyncio.sleep(1.0)
