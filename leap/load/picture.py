"""A run as a picture: five panels over one time axis."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from leap.load.series import Second, Series

_WIDTH, _HEIGHT = 11.0, 13.0
_TICKS = (1.0, 2.0, 5.0)
_GRID = {"color": "#dddddd", "linewidth": 0.6}
_ORDER = ("generator", "broker", "intake", "roster", "engagement", "readmodel", "clock", "redis")
_COLOURS = {
    "generator": "#7f7f7f",
    "broker": "#8c564b",
    "intake": "#1f77b4",
    "roster": "#17becf",
    "engagement": "#2ca02c",
    "readmodel": "#ff7f0e",
    "clock": "#bcbd22",
    "redis": "#d62728",
}


def draw(series: Series, title: str, path: Path) -> None:
    """Write the picture (PNG, or what the name's suffix says)."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    panels: Any = figure.subplots(5, 1, sharex=True)
    seconds = series.seconds
    at = [second.second for second in seconds]

    panels[0].plot(at, [s.sent for s in seconds], label="sent", color=_COLOURS["generator"], linewidth=2.5, alpha=0.6)
    panels[0].plot(at, [s.counted for s in seconds], label="counted", color=_COLOURS["engagement"], linewidth=1.0)
    panels[0].set_ylabel("events a second")

    timed = [s for s in seconds if s.p50_ms is not None]
    panels[1].plot([s.second for s in timed], [s.p99_ms for s in timed], label="p99", color="#d62728", linewidth=1.0)
    panels[1].plot([s.second for s in timed], [s.p50_ms for s in timed], label="p50", color="#1f77b4", linewidth=1.0)
    panels[1].axhline(1000.0, color="#999999", linestyle="--", linewidth=0.8)
    panels[1].set_yscale("log")
    panels[1].set_ylabel("latency to Redis, ms\n(by time of sending)")

    _lines(panels[2], seconds, lambda s: s.lag)
    panels[2].set_yscale("symlog", linthresh=100)
    panels[2].set_ylim(bottom=0)
    panels[2].set_ylabel("lag, records")
    _lines(panels[3], seconds, lambda s: s.rss_mb)
    panels[3].set_yscale("log")  # so that a small process's growth shows beside a large one
    panels[3].set_ylabel("memory (RSS), MB")
    _lines(panels[4], seconds, lambda s: s.cpu)
    panels[4].set_ylabel("CPU, cores")
    panels[4].set_xlabel("seconds")

    for panel in panels:
        panel.grid(**_GRID)
        panel.set_axisbelow(True)
        if panel.get_yscale() == "linear":
            panel.set_ylim(bottom=0)
        else:
            panel.yaxis.set_major_formatter(FuncFormatter(_plain))
            panel.yaxis.set_minor_formatter(NullFormatter())
        if panel.get_yscale() == "log":
            panel.yaxis.set_major_locator(LogLocator(subs=_TICKS))
        panel.margins(x=0.01)
        for second, _ in series.marks:
            panel.axvline(second, color="#555555", linestyle=":", linewidth=1.0)
        if panel.get_legend_handles_labels()[1]:
            panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    # What happens again and again is named the first time: fifty midnights would hide one another.
    named = {what: second for second, what in reversed(series.marks)}
    for number, (what, second) in enumerate(named.items()):
        # In turn at two heights: marks may stand close together.
        panels[0].annotate(
            what,
            (second, 1.0 + 0.1 * (number % 2)),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=8,
        )
    figure.savefig(path, dpi=110)


def _plain(value: float, _: object) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def _lines(panel: Any, seconds: list[Second], values: Callable[[Second], dict[str, Any]]) -> None:
    names = {name for second in seconds for name in values(second)}
    for name in sorted(names, key=lambda name: (_ORDER.index(name.partition("-")[0]), name)):
        held = [(second.second, values(second)[name]) for second in seconds if name in values(second)]
        colour = _COLOURS[name.partition("-")[0]]
        panel.plot(*zip(*held, strict=True), label=name, color=colour, linewidth=1.2)
