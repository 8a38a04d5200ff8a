"""``leap rebuild``: Redis from Kafka."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from leap.commands.parity import as_json, compare, explained, tell, told
from leap.connect import reach_kafka, redis_client
from leap.errors import CHECK_FAILED, OK
from leap.options import Where
from leap.terminal import err, print_json, progress
from sinks import rebuild as sink
from sinks.rebuild import Report
from streams.settings import Settings

_NOWHERE = Where()


def rebuild(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.")] = False, where: Where = _NOWHERE
) -> int:
    """Write the read model again, from what Kafka still holds, then check that the two agree (exit code 1: no).

    For a Redis that is new, was emptied or is in doubt. It may run beside the live sink: writes compare versions.

    Example: `leap rebuild --redis redis://new-redis:6379/0`
    """
    read, report = asyncio.run(_rebuild(where.settings()))
    if json:
        print_json({"records": read, **as_json(report)})
    else:
        err.print(f"{read:,} records of Kafka are in Redis")
        tell(report)
    return OK if report.same else CHECK_FAILED


async def _rebuild(settings: Settings) -> tuple[int, Report]:
    await reach_kafka(settings)
    async with redis_client(settings) as redis:
        with progress() as shown, explained(settings):
            read = await sink.rebuild(settings, redis, told(shown, "write"))
        return read, await compare(settings, redis)
