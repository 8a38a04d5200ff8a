"""What a run shows: how far each way in is while it runs, and the ledger in the end."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from leap.demo.sources.ledger import COLUMNS, Ledger
from leap.demo.sources.planting import WAYS_IN, Shipment
from leap.terminal import err

_PHASE = "{task.description}"


class Progress:
    """Bars of the three ways in, below what the run is at; lines where there is no terminal."""

    def __init__(self) -> None:
        """Show nothing yet."""
        columns = (TextColumn(_PHASE), BarColumn(), MofNCompleteColumn(), TextColumn("records"), TimeElapsedColumn())
        self._bars = Bars(*columns, console=err, disable=not err.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self.phase = ""

    def __enter__(self) -> Self:
        """Begin."""
        self._bars.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Leave what is shown where it is."""
        self._bars.stop()

    def say(self, phase: str) -> None:
        """Say what the run is at."""
        self.phase = phase
        err.print(phase, style="dim", soft_wrap=True)

    def expect(self, shipments: Sequence[Shipment]) -> None:
        """Take what is going to be sent."""
        records: Counter[str] = Counter()
        for shipment in shipments:
            records[WAYS_IN[shipment.way]] += len(shipment.records)
        self._tasks = {way_in: self._bars.add_task(way_in, total=number) for way_in, number in records.items()}

    def sent(self, way_in: str, number: int) -> None:
        """Take that so many more records have been sent."""
        self._bars.advance(self._tasks[way_in], number)


def table(expected: Ledger, measured: Ledger) -> Table:
    """Return the ledger as measured; a figure that is not the expected one has that beside it."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("source")
    for column in COLUMNS:
        shown.add_column(column.replace("_", " "), justify="right")
    for source in sorted({*expected.sources, *measured.sources}):
        shown.add_row(source, *_cells(expected.line(source), measured.line(source)))
    shown.add_section()
    shown.add_row("total", *_cells(expected.total(), measured.total()), style="bold")
    return shown


def _cells(expected: dict[str, int], measured: dict[str, int]) -> list[Text]:
    return [
        Text(f"{measured[column]:,}")
        if measured[column] == expected[column]
        else Text(f"{measured[column]:,} (planted {expected[column]:,})", "red")
        for column in COLUMNS
    ]
