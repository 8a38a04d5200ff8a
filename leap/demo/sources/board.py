"""What a run shows: how far each way in is while it runs, and the ledger in the end."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from leap.demo.sources.ledger import COLUMNS, Ledger
from leap.demo.sources.planting import WAYS_IN, Shipment
from leap.terminal import err


class Progress:
    """Lines that say what the run is at; while it sends, a bar for each of the three ways in below them."""

    def __init__(self) -> None:
        """Show nothing yet."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("records"))
        self._bars = Bars(*columns, console=err, disable=not err.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self.phase = ""

    def say(self, phase: str) -> None:
        """Say what the run is at."""
        self.phase = phase
        err.print(phase, style="dim", soft_wrap=True)

    @contextmanager
    def sending(self, shipments: Sequence[Shipment]) -> Iterator[None]:
        """Show bars while shipments are sent."""
        records: Counter[str] = Counter()
        for shipment in shipments:
            records[WAYS_IN[shipment.way]] += len(shipment.records)
        self._tasks = {way_in: self._bars.add_task(way_in, total=number) for way_in, number in records.items()}
        with self._bars:
            yield

    def sent(self, way_in: str, number: int) -> None:
        """Take that so many more records have been sent."""
        self._bars.advance(self._tasks[way_in], number)


def table(expected: Ledger, measured: Ledger) -> Table:
    """Return the ledger as measured; where a figure is not the planted one, that stands behind it in brackets."""
    differ = expected.as_json() != measured.as_json()
    caption = "in brackets: what was planted" if differ else None
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", caption=caption, caption_justify="left")
    shown.add_column("source", no_wrap=True)
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
        else Text(f"{measured[column]:,} ({expected[column]:,})", "red")
        for column in COLUMNS
    ]
