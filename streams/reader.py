"""Reads partitions from an offset to the end they had when asked: recovery, the roster at intake, rebuild, parity."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
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


async def follow(kafka: AIOKafkaConsumer, take: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Hand over what comes to the assigned partitions, for ever; a broker that is away is waited for."""
    while True:
        try:
            for records in (await kafka.getmany(timeout_ms=500)).values():
                await take(records)
        except KafkaError as error:
            topics = sorted({tp.topic for tp in kafka.assignment()})
            logger.warning("%s: cannot be read: %r", ", ".join(topics), error)
            await asyncio.sleep(1.0)
