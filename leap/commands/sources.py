"""``leap sources``: pausing a source, and letting it go on."""

import asyncio
import time
from typing import Annotated, Literal

from cyclopts import App, Parameter

from leap.connect import producing, reach_kafka
from leap.errors import UNREACHABLE, CommandError
from leap.options import Where
from leap.terminal import out, print_json
from schemas.source_states import VERSION, SourceState
from streams.producer import DeliveryError
from streams.settings import Settings
from streams.source_states import read_states, say

_NOWHERE = Where()

sources = App(
    name="sources",
    help="""\
Pause a source, and let it go on.

Intake pauses a source by itself when too many of its last records were unusable: `leap status` says so. The others go
on. What a paused source sends stays on its topic, and counts on its true day once the source goes on.

Look at `leap dead-letters list --source NAME` first, mend the cause, then resume. More: docs/breaker.md.

Example: `leap sources resume moodle`
""",
)


@sources.command
def pause(
    source: str,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    """Pause a source: intake deals with no more of its records, until somebody resumes it.

    Of a source that intake has paused it makes one that does not go on by itself.

    Example: `leap sources pause moodle`

    Parameters
    ----------
    source
        Its name, as in LEAP_SOURCES.
    """
    _print(asyncio.run(_change(where.settings(), source, "paused")), json=json)


@sources.command
def resume(
    source: str,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    """Let a paused source go on.

    What stands on its topic by now passes, unusable records too: they become dead letters, which can be sent again. It
    pauses again only if what comes afterwards is unusable.

    Example: `leap sources resume moodle`

    Parameters
    ----------
    source
        Its name, as in LEAP_SOURCES.
    """
    _print(asyncio.run(_change(where.settings(), source, "running")), json=json)


async def _change(
    settings: Settings, source: str, state: Literal["paused", "running"]
) -> tuple[str, SourceState, SourceState | None]:
    """Say a source's state unless it is that already; return its name, its state, and the one before if it differs."""
    if source not in settings.sources:
        raise CommandError(f"{source}: unknown; there are {', '.join(settings.sources)}")
    await reach_kafka(settings, only=settings.topics.source_states)
    known = (await read_states(settings)).get(source)
    now = time.time()
    before = SourceState(VERSION, "running", "operator", now) if known is None else known.state
    paused_by_intake = before.state == "paused" and before.by == "breaker"
    if before.state == state and not (state == "paused" and paused_by_intake):
        return source, before, None
    # It keeps since when, and what the breaker found.
    after = (
        SourceState(VERSION, state, "operator", before.since, before.unusable, before.of)
        if paused_by_intake and state == "paused"
        else SourceState(VERSION, state, "operator", now)
    )
    async with producing(settings, "sources") as producer:
        try:
            await say(producer, settings, source, after)
        except DeliveryError as error:
            msg = f"Kafka at {settings.kafka} did not take it ({error}). Run it again."
            raise CommandError(msg, UNREACHABLE) from error
    return source, after, before


def _print(changed: tuple[str, SourceState, SourceState | None], *, json: bool) -> None:
    source, after, before = changed
    if json:
        print_json({"source": source, "state": after.state, "changed": before is not None})
    elif before is None:
        out.print(f"{source} is {after.state} already")
    else:
        out.print(f"{source} is {after.state} now")
