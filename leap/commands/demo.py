"""``leap demo``: the whole pipeline, on this machine, with real data."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from leap.demo.run import Plan, Run, plan, played
from leap.errors import INTERRUPTED, OK, CommandError
from leap.supervisor import at_signal
from leap.terminal import command, err, out, print_json

_START = date(2026, 10, 5)


def demo(
    *,
    once: Annotated[bool, Parameter(help="End when the last day is closed and everything is in Redis.")] = False,
    json: Annotated[bool, Parameter(help="Print the outcome as one JSON document.")] = False,
    ratings: Annotated[Path | None, Parameter(help="Write every student's rating to this CSV file.")] = None,
    policy: Annotated[Path | None, Parameter(help="Rate by this policy file instead of the default one.")] = None,
    start: Annotated[date, Parameter(help="The date on which the course starts.")] = _START,
    pace: Annotated[float, Parameter(help="Seconds that a day takes.")] = 2.0,
) -> int:
    """Play two weeks of a real course through the whole pipeline, and show the ratings as they change.

    383 students and 13,905 activities, anonymised, of the Open University Learning Analytics Dataset (CC BY 4.0).
    Starts a broker, Valkey and one process a role; nothing is installed or kept. After the last day it stays up until
    Ctrl-C, so that you can look around with `leap show` and `leap status`.

    Example: `leap demo --policy my-policy.toml`
    """
    if pace < 0:
        raise CommandError("--pace: seconds, 0 or more")
    if ratings is not None and not ratings.parent.is_dir():
        raise CommandError(f"--ratings {ratings}: there is no folder {ratings.parent}")
    return asyncio.run(_demo(plan(start, policy, pace), once=once, json=json, ratings=ratings))


async def _demo(what: Plan, *, once: bool, json: bool, ratings: Path | None) -> int:
    over = asyncio.Event()

    async def play() -> None:
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

    playing = asyncio.create_task(play())
    at_signal(playing.cancel)
    try:
        await playing
    except asyncio.CancelledError:
        return OK if over.is_set() else INTERRUPTED
    return OK


def _print(run: Run) -> None:
    """Print the outcome as lines, where there was no board."""
    for name, value in run.outcome.as_json().items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        out.print(f"{name.replace('_', ' ')}: {shown}")


def _invite(run: Run) -> None:
    """Say where everything is, and what to try."""
    settings, student = run.settings, run.outcome.standings[0].student
    metrics = "\n".join(f"  {run.supervisor.metrics_url(role)}   {role}" for role in run.supervisor.ports)
    err.print(
        f"\n[bold]All of it is still up.[/] In another terminal:\n\n"
        f"  export LEAP_KAFKA={settings.kafka} LEAP_REDIS={settings.redis} LEAP_PROFILE=embedded\n"
        f"  {command()} show {student}\n"
        f"  {command()} status\n\n"
        f"Metrics:\n{metrics}\n\nCtrl-C ends it.",
        soft_wrap=True,
    )
