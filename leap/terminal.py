"""Where a command writes: what it was asked for on standard output, everything else on standard error."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from schemas.activities import Activity

out = Console(highlight=False)
"""Standard output: the answer."""

err = Console(stderr=True, highlight=False)
"""Standard error: progress, notices, errors."""

BAND_STYLES = {
    "high": "#2e9e4f",
    "good": "#8cc152",
    "partial": "#e3b505",
    "low": "#ee7f1b",
    "very_low": "#d64545",
    "not_rated": "#8a8a8a",
}
"""The colour of each rating, the same on every screen."""

BAND_NAMES = {
    "high": "High",
    "good": "Good",
    "partial": "Partial",
    "low": "Low",
    "very_low": "Very low",
    "not_rated": "Not rated",
}
"""The ratings from the highest to the lowest, as people read them."""

ACTIVITY_NAMES: dict[Activity, str] = {
    "tap_in": "Tap-ins",
    "zoom": "Zoom",
    "moodle_login": "Moodle login",
    "moodle_course": "Moodle course",
    "moodle_mobile": "Moodle mobile",
    "faser_view": "FASER view",
    "faser_upload": "FASER upload",
    "library_loan": "Library loans",
    "listen_again": "Listen Again",
    "pc_login": "PC lab logins",
    "reading_list": "Reading lists",
}
"""The activities as people read them, in the order of the state."""


def print_json(data: Any) -> None:
    """Print one JSON document on one line of standard output."""
    out.print(orjson.dumps(data, default=str).decode(), soft_wrap=True, markup=False)


def command() -> str:
    """Return how the user called us, for hints: ``leap``, or its path where a shell would not find it."""
    called = Path(sys.argv[0])
    return "leap" if called.name != "leap" or shutil.which("leap") == str(called) else str(called)


@contextlib.contextmanager
def progress(*, unit: str = "records") -> Iterator[Progress]:
    """Give a progress display on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=not err.is_terminal) as shown:
        yield shown


def lines_in(file: Path) -> int:
    """Return how many line ends a file has: the total of a progress display."""
    with file.open("rb") as opened:
        return sum(block.count(b"\n") for block in iter(lambda: opened.read(1 << 20), b""))


def bar(share: float, width: int) -> str:
    """Return a bar of ``width`` cells filled to ``share`` (0 to 1), in eighths of a cell.

    >>> bar(0.5, 4)
    '██  '
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def sparkline(values: list[float]) -> str:
    """Return one character a value, scaled to the highest.

    >>> sparkline([0, 1, 2, 4])
    ' ▂▄█'
    """
    top = max(values, default=0.0)
    return "".join(" ▁▂▃▄▅▆▇█"[round(8 * value / top) if top else 0] for value in values)
