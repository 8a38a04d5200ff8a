"""``leap demo``: the whole pipeline, on this machine: with real data, or with the records of every source."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from leap.demo.run import Plan, Run, plan, played
from leap.errors import CHECK_FAILED, INTERRUPTED, OK, CommandError
from leap.supervisor import Supervisor, at_signal
from leap.terminal import command, err, out, print_json
from streams.settings import Settings

if TYPE_CHECKING:
    from leap.demo.sources.run import Run as SourcesRun

_START = date(2026, 10, 5)
_PACE = 2.0
_COURSE = Group("The course")
_SOURCES = Group("The sources")


def demo(
    *,
    once: Annotated[bool, Parameter(help="End when everything is in Redis.")] = False,
    json: Annotated[bool, Parameter(help="Print the outcome as one JSON document.")] = False,
    policy: Annotated[Path | None, Parameter(help="Rate by this policy file instead of the default one.")] = None,
    ratings: Annotated[
        Path | None, Parameter(help="Write every student's rating to this CSV file.", group=_COURSE)
    ] = None,
    start: Annotated[date, Parameter(help="The date on which the course starts.", group=_COURSE)] = _START,
    pace: Annotated[float, Parameter(help="Seconds that a day takes.", group=_COURSE)] = _PACE,
    sources: Annotated[
        bool, Parameter(help="Play every source system of a simulated university instead.", group=_SOURCES)
    ] = False,
    seed: Annotated[int, Parameter(help="Of everything that is chosen there.", group=_SOURCES)] = 1,
) -> int:
    """Play two weeks of a real course through the whole pipeline, and show the ratings as they change.

    383 students and 13,905 activities, anonymised, of the Open University Learning Analytics Dataset (CC BY 4.0).
    Starts a broker, Valkey and one process a role; nothing is installed or kept. After the last day it stays up until
    Ctrl-C, so that you can look around with `leap show` and `leap status`.

    With `--sources` a simulated university of 300 students sends what its systems would today, in the vendors' formats:
    over Kafka, over HTTP to the gateway, and as files. Repeats, late, broken and unwanted records are among them, and
    people whom nobody knows. Then it accounts for every record (exit code 1: not as planted); see docs/demo-sources.md.

    Example: `leap demo --policy my-policy.toml`, or `leap demo --sources --once`
    """
    if sources:
        if (ratings, start, pace) != (None, _START, _PACE):
            raise CommandError("--ratings, --start and --pace are of the course, which --sources does not play")
        return asyncio.run(_until_ended(partial(_account, seed, policy, once=once, json=json)))
    if pace < 0:
        raise CommandError("--pace: seconds, 0 or more")
    if ratings is not None and not ratings.parent.is_dir():
        raise CommandError(f"--ratings {ratings}: there is no folder {ratings.parent}")
    what = plan(start, policy, pace)
    return asyncio.run(_until_ended(partial(_play, what, once=once, json=json, ratings=ratings)))


async def _until_ended(play: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Play until it is over, or a signal comes; ``play`` is given what to set when the outcome is known."""
    over = asyncio.Event()
    playing = asyncio.ensure_future(play(over))
    at_signal(playing.cancel)
    try:
        return await playing
    except asyncio.CancelledError:
        return OK if over.is_set() else INTERRUPTED


async def _play(what: Plan, over: asyncio.Event, *, once: bool, json: bool, ratings: Path | None) -> int:
    async with played(what) as run:
        if ratings is not None:
            run.outcome.write_ratings(ratings)
        if not once:
            _invite(run)
        if json:
            print_json(run.outcome.as_json())
        elif not err.is_terminal:
            _print(run)
        over.set()
        if not once:
            await asyncio.Event().wait()
    return OK


async def _account(seed: int, policy: Path | None, over: asyncio.Event, *, once: bool, json: bool) -> int:
    from leap.demo.sources import board  # noqa: PLC0415 - the adapters take a while to import
    from leap.demo.sources.run import accounted  # noqa: PLC0415 - the same

    err.print("A simulated university: nobody in it exists. What is sent, and what becomes of it, is planted.")
    async with accounted(seed, policy) as run:
        outcome = run.outcome
        if json:
            print_json(outcome.as_json())
        else:
            out.print(board.table(outcome.expected, outcome.measured))
        for difference in outcome.differences:
            err.print(f"[red]not as planted:[/] {difference}", soft_wrap=True)
        over.set()
        if not once:
            _invite_to_sources(run)
            with contextlib.suppress(asyncio.CancelledError):  # or the signal would hide the differences
                await asyncio.Event().wait()
    return CHECK_FAILED if outcome.differences else OK


def _print(run: Run) -> None:
    """Print the outcome as lines, where there was no board."""
    for name, value in run.outcome.as_json().items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        out.print(f"{name.replace('_', ' ')}: {shown}")


def _invite(run: Run) -> None:
    """Say where everything is, and what to try."""
    _show_around(run.settings, run.supervisor, [f"show {run.outcome.standings[0].student}", "status"])


def _invite_to_sources(run: "SourcesRun") -> None:
    """Say the same of the sources."""
    named = "[" + ",".join(f'"{source}"' for source in run.settings.sources) + "]"
    err.print(f"\nThe gateway listens at http://{run.settings.gateway_host}:{run.settings.gateway_port}/openapi.json")
    tries = ["show sim-0001", "status", "dead-letters list"]
    _show_around(run.settings, run.supervisor, tries, f" LEAP_SOURCES='{named}'")


def _show_around(settings: Settings, supervisor: Supervisor, tries: Sequence[str], more: str = "") -> None:
    metrics = "\n".join(f"  {supervisor.metrics_url(role)}   {role}" for role in supervisor.ports)
    where = f"LEAP_KAFKA={settings.kafka} LEAP_REDIS={settings.redis} LEAP_PROFILE=embedded{more}"
    err.print("\n[bold]All of it is still up.[/] In another terminal:\n")
    for line in (f"export {where}", *(f"{command()} {what}" for what in tries)):
        err.print(f"  {line}", soft_wrap=True, markup=False)
    err.print(f"\nMetrics:\n{metrics}\n\nCtrl-C ends it.", soft_wrap=True)
