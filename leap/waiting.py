"""Waiting until a role has dealt with everything there is."""

import asyncio
from collections.abc import Iterable

from aiokafka import TopicPartition

from streams.admin import Offsets
from streams.settings import Role, Settings

_ASK_EVERY = 0.05


async def lags(offsets: Offsets, settings: Settings, role: Role, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Return how many records of each partition a role has not committed yet."""
    partitions = await offsets.partitions(topics)
    ends = await offsets.ends(partitions)
    done = await offsets.committed(settings.group(role), partitions)
    starts = await offsets.starts(partitions)
    return {tp: max(0, ends[tp] - done.get(tp, starts[tp])) for tp in partitions}


async def caught_up(offsets: Offsets, settings: Settings, role: Role, topics: Iterable[str]) -> None:
    """Return when a role has committed everything that the topics have."""
    names = list(topics)
    while any((await lags(offsets, settings, role, names)).values()):  # noqa: ASYNC110 - the broker tells nobody
        await asyncio.sleep(_ASK_EVERY)
