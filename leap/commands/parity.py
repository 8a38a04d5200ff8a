"""``leap parity``: do Redis and Kafka agree?"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter
from redis.asyncio import Redis
from rich.progress import Progress, TaskID
from rich.table import Table

from leap.connect import reach_kafka, redis_client
from leap.errors import CHECK_FAILED, CONFIG, OK, UNREACHABLE, CommandError
from leap.options import Where
from leap.terminal import out, print_json, progress
from schemas.state import CodecError
from sinks import rebuild as sink
from sinks.rebuild import Report
from sinks.store import RedisDownError, RedisRefusedError, safe_url
from streams.reader import StalledError
from streams.settings import Settings

_NOWHERE = Where()
_OUTCOMES = ("agree", "missing", "older", "newer", "extra")


def parity(
    *, json: Annotated[bool, Parameter(help="Print one JSON document.")] = False, where: Where = _NOWHERE
) -> int:
    """Compare the last version of everything in Kafka with what stands in Redis (exit code 1: they differ).

    Example: `leap parity --json`
    """
    report = asyncio.run(_parity(where.settings()))
    if json:
        print_json(as_json(report))
    else:
        tell(report)
    return OK if report.same else CHECK_FAILED


async def _parity(settings: Settings) -> Report:
    await reach_kafka(settings)
    async with redis_client(settings) as redis:
        return await compare(settings, redis)


async def compare(settings: Settings, redis: "Redis") -> Report:
    """Compare, with progress bars."""
    with progress() as shown, explained(settings):
        return await sink.parity(settings, redis, told(shown, "compare"))


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn what may happen to Kafka and Redis on the way into a message for the user."""
    try:
        yield
    except RedisDownError as error:
        raise CommandError(f"Redis at {safe_url(settings.redis)} went away: {error}", UNREACHABLE) from error
    except RedisRefusedError as error:
        raise CommandError(f"Redis at {safe_url(settings.redis)}: {error}", CONFIG) from error
    except StalledError as error:
        raise CommandError(f"Kafka at {settings.kafka}: {error}", UNREACHABLE) from error
    except CodecError as error:
        raise CommandError(f"{settings.topics.engagement.name}: {error}", CONFIG) from error


def told(shown: Progress, what: str) -> Any:
    """Return what rebuild and parity call with a topic, how much of it is done, and how much there is."""
    tasks: dict[str, TaskID] = {}

    def tell_progress(topic: str, done: int, there_is: int) -> None:
        if topic not in tasks:
            tasks[topic] = shown.add_task(f"{what} {topic}", total=there_is)
        shown.update(tasks[topic], completed=done, total=there_is)

    return tell_progress


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain data, with the verdict first."""
    return {"same": report.same, **report.asdict()}


def tell(report: Report) -> None:
    """Print what a check found."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("in Redis")
    for name in _OUTCOMES:
        table.add_column(name, justify="right")
    for kind, counts in report.asdict().items():
        table.add_row(kind, *(f"{counts[name]:,}" for name in _OUTCOMES))
    out.print(table)
    if report.same:
        out.print("Redis has what Kafka has.")
    else:
        out.print("[red]Redis lacks something that Kafka has, or has something that Kafka has not.[/]")
        out.print("While the sink runs, what is older may be on its way; else mend it with: leap rebuild")
