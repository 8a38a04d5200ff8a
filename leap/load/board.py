"""A run while it runs: a table on a terminal, a line every ten seconds elsewhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leap.load.run import Run
from leap.measure import quantile
from leap.terminal import err, sparkline

_REFRESH = 0.5
_LINE_EVERY = 10.0
_LATELY = 60
_SECONDS_BACK = 3


def lines(run: Run) -> list[tuple[str, str]]:
    """Return what there is to say now, as names and values."""
    seconds = run.series.seconds
    if not seconds:
        return [("", run.phase)]
    last, end = seconds[-1], len(seconds)
    # The last second's events may still be under way.
    lately = [ms for second in range(end - _SECONDS_BACK, end) for ms in run.sampler.by_second.get(second, ())]
    latency = f"p50 {quantile(0.5, lately):,.0f} ms, p99 {quantile(0.99, lately):,.0f} ms" if lately else "nothing yet"
    return [
        ("", f"{run.phase}; {end:,} of {run.plan.seconds:,.0f} s"),
        ("sent", f"{run.generator.sent:,} ({last.sent:,}/s)"),
        ("counted", f"{run.outcomes['counted']:,} ({last.counted:,}/s)"),
        ("latency", f"{latency} (last {_SECONDS_BACK} s)"),
        ("lag", ", ".join(f"{role} {records:,}" for role, records in last.lag.items())),
        ("memory", ", ".join(f"{name} {value:,.0f}" for name, value in last.rss_mb.items()) + " MB"),
        ("CPU", ", ".join(f"{name} {value:.0%}" for name, value in last.cpu.items())),
    ]


@asynccontextmanager
async def shown(run: Run) -> AsyncIterator[None]:
    """Show the run from its first second on."""
    telling = asyncio.create_task(_draw(run) if err.is_terminal else _say(run))
    try:
        yield
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling


async def _draw(run: Run) -> None:
    while not run.series.seconds:  # noqa: ASYNC110 - before it, progress bars are shown
        await asyncio.sleep(_REFRESH)
    with Live(_table(run), console=err, auto_refresh=False) as live:
        while True:
            live.update(_table(run), refresh=True)
            await asyncio.sleep(_REFRESH)


def _table(run: Run) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, value in lines(run):
        table.add_row(Text(name, "bold"), value)
    counted = [float(second.counted) for second in run.series.seconds[-_LATELY:]]
    return Group(table, Text(sparkline(counted), "cyan"))


async def _say(run: Run) -> None:
    said = ""
    while True:
        text = "; ".join(f"{name} {value}".strip() for name, value in lines(run)[:5])
        if text != said:
            err.print(text, soft_wrap=True)
            said = text
        await asyncio.sleep(_LINE_EVERY)
