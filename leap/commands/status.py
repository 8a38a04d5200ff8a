"""``leap status``: how far everything is, from Kafka and Redis alone."""

import asyncio
from itertools import groupby
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from leap.connect import offsets, reach_kafka, redis_client
from leap.options import Where
from leap.progress import Status, read_status
from leap.terminal import err, out, print_json
from streams.settings import Settings

_NOWHERE = Where()
_NAMED = 6
_NUMBERS = {"partition", "lag", "processes", "records", "waiting"}


def status(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.")] = False, where: Where = _NOWHERE
) -> None:
    """Show how far each role is behind and who reads, how fresh each source is, what is paused, waits, is closed.

    It asks Kafka and Redis, not the processes: so it also answers when none of them does.

    Example: `leap status --kafka kafka:9092`
    """
    found = asyncio.run(_status(where.settings()))
    if json:
        print_json(found.as_json())
    else:
        _print(found)


async def _status(settings: Settings) -> Status:
    await reach_kafka(settings)
    async with offsets(settings) as known, redis_client(settings) as redis:
        return await read_status(settings, known, redis)


def _print(found: Status) -> None:
    roles = _table("role", "topic", "lag", "by partition")
    for (role, topic), lags in groupby(found.lag, key=lambda lag: (lag.role, lag.topic)):
        left = [lag.records for lag in lags]
        style = "red" if any(left) else ""
        roles.add_row(role, topic, f"{sum(left):,}", " ".join(f"{n:,}" for n in left), style=style)
    readers = _table("role", "processes", "partitions that nobody reads")
    for name, (processes, unread) in found.readers.items():
        more = f" and {len(unread) - _NAMED:,} more" if len(unread) > _NAMED else ""
        readers.add_row(
            name, f"{processes:,}", ", ".join(unread[:_NAMED]) + more or "none", style="red" if unread else ""
        )
    sources = _table("source", "records", "last record")
    for source, (records, last) in found.sources.items():
        sources.add_row(source, f"{records:,}", last or "none")
    paused = _table("paused source", "since", "by", "why")
    for source, (since, by, unusable, of) in found.paused.items():
        why = f"{unusable:,} of {of:,} records unusable" if of else ""
        paused.add_row(source, since, by, why, style="red")
    waiting = _table("source", "waiting", "since")
    for source, (records, since) in found.waiting.items():
        waiting.add_row(source, f"{records:,}", since, style="yellow")
    days = _table("partition", "closed by the clock", "closed by engagement", "in Redis")
    for partition, closed in found.closed.items():
        days.add_row(str(partition), *(day or "none" for day in closed))
    for table in (roles, readers, sources, paused, waiting, days):
        if table.rows:
            out.print(table)
    if found.paused:
        err.print("docs/breaker.md says what to do about a paused source (leap sources --help)")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    return table
