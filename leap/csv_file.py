"""A CSV file for a command: its lines by number, and what became of them."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leap.errors import CHECK_FAILED, OK, CommandError
from leap.terminal import err, out, print_json

_SHOWN = 20


class Row(NamedTuple):
    """A line's fields without blanks around them, as many as there are columns."""

    number: int
    fields: list[str]


class Bad(NamedTuple):
    """A line that cannot be used, by its number in the file; the reason quotes nothing of it."""

    number: int
    reason: str


def rows(file: Path, columns: tuple[str, ...]) -> Iterator[Row | Bad]:
    """Yield the lines of a UTF-8 file whose first line names these columns; empty lines are none.

    Raises:
        CommandError: it is no such file; the message has the place.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            lines = csv.reader(opened, strict=True)
            if tuple(name.strip().lower() for name in next(lines, ())) != columns:
                raise CommandError(f"{file}: the first line must be: {','.join(columns)}")
            while True:
                try:
                    fields = next(lines)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Bad(lines.line_num, f"not CSV: {error}")
                    continue
                if len(fields) == len(columns):
                    yield Row(lines.line_num, [text.strip() for text in fields])
                elif fields:
                    yield Bad(lines.line_num, f"{len(fields)} columns, not {len(columns)}")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8") from error


@dataclass
class Report:
    """What became of a file's lines. ``done``: how many of each thing that was done, also where it is none."""

    file: Path
    done: Counter[str]
    lines: int = 0
    bad: list[Bad] = field(default_factory=list)

    def show(self, *, json: bool) -> int:
        """Print it, as text or as one JSON document; return the command's exit code."""
        if json:
            bad = [line._asdict() for line in self.bad]
            print_json({"file": str(self.file), "lines": self.lines, **self.done, "bad": bad})
        else:
            done = ", ".join(f"{n:,} {what}" for what, n in self.done.items())
            out.print(f"{self.lines:,} lines: {done}, {len(self.bad):,} not taken")
            for line in self.bad[:_SHOWN]:
                err.print(f"[red]line {line.number}:[/] {line.reason}", soft_wrap=True)
            if len(self.bad) > _SHOWN:
                err.print(f"and {len(self.bad) - _SHOWN:,} more: --json names them all")
        return CHECK_FAILED if self.bad else OK
