"""A directory's file of identities: CSV with the columns source, key, student, from and to."""

import csv
from collections.abc import Container, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from leap.errors import CommandError
from schemas.identities import IdentityError, check_days, check_student

COLUMNS = ("source", "key", "student", "from", "to")


class Line(NamedTuple):
    """A student's key at a source; both days included, None: since ever, for ever."""

    number: int
    source: str
    key: str
    student: str
    first: date | None
    last: date | None


class Bad(NamedTuple):
    """A line that cannot be used, by its number in the file; the reason quotes nothing of it."""

    number: int
    reason: str


def read(file: Path, sources: Container[str]) -> Iterator[Line | Bad]:
    """Yield the lines of a file. ``sources``: those that give keys of their own.

    Raises:
        CommandError: it is no such file; the message has the place.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.reader(opened, strict=True)
            header = tuple(name.strip().lower() for name in next(rows, ()))
            if header != COLUMNS:
                raise CommandError(f"{file}: the first line must be: {','.join(COLUMNS)}")
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Bad(rows.line_num, f"not CSV: {error}")
                    continue
                if row:
                    yield _line(rows.line_num, row, sources)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8") from error


def _line(number: int, row: list[str], sources: Container[str]) -> Line | Bad:
    if len(row) != len(COLUMNS):
        return Bad(number, f"{len(row)} columns, not {len(COLUMNS)}")
    source, key, student, first, last = (field.strip() for field in row)
    if source not in sources:
        return Bad(number, "source: none of those that give keys of their own (LEAP_SOURCES)")
    if not key:
        return Bad(number, "key: empty")
    try:
        line = Line(number, source, key, student, _day("from", first), _day("to", last))
        check_student(student)
        check_days(line.first, line.last)
    except IdentityError as error:
        return Bad(number, str(error))
    return line


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise IdentityError(f"{name}: not a date like 2026-10-05") from None
