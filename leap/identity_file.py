"""A directory's file of identities: CSV with the columns source, key, student, from and to."""

from collections.abc import Container, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from leap.csv_file import Bad, rows
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


def read(file: Path, sources: Container[str]) -> Iterator[Line | Bad]:
    """Yield the lines of a file. ``sources``: those that give keys of their own.

    Raises:
        CommandError: it is no such file; the message has the place.
    """
    for row in rows(file, COLUMNS):
        yield row if isinstance(row, Bad) else _line(row.number, row.fields, sources)


def _line(number: int, fields: list[str], sources: Container[str]) -> Line | Bad:
    source, key, student, first, last = fields
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
