"""Files of the Open University Learning Analytics Dataset, as rows to send and as students to enrol.

Days in the files are relative to the start of the course, so whoever reads them says which date day 0 is.
"""

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from leap.errors import CommandError
from schemas.students import Student
from streams.sources.oulad import Row

_Model = TypeVar("_Model", bound=BaseModel)

FOLDER = Path(__file__).parent / "data" / "oulad"
"""The extract that comes with the project."""


def rows(file: Path, start: date) -> Iterator[Row]:
    """Yield the rows of a ``studentVle.csv`` in its order, each with its number in the file and its site's type.

    The types are in ``vle.csv`` beside it.

    Raises:
        CommandError: a file is missing, or a line cannot be used; the message names the line.
    """
    types = {
        line["id_site"]: line["activity_type"]
        for _, line in _lines(file.with_name("vle.csv"), "id_site", "activity_type")
    }
    wanted = ("code_module", "code_presentation", "id_student", "id_site", "date", "sum_click")
    for number, line in _lines(file, *wanted):
        kind = types.get(line["id_site"])
        if kind is None:
            raise CommandError(f"{file}, line {number + 1}: id_site {line['id_site']} is not in vle.csv")
        yield _checked(
            Row,
            file,
            number + 1,
            presentation=f"{line['code_module']}-{line['code_presentation']}",
            row=number,
            id_student=line["id_student"],
            id_site=line["id_site"],
            activity_type=kind,
            day=_day(line["date"], start, file, number + 1),
            sum_click=line["sum_click"],
        )


def students(file: Path, start: date) -> Iterator[Student]:
    """Yield the roster entries that a ``studentRegistration.csv`` gives. The last day is the one before they left.

    Raises:
        CommandError: the file is missing, or a line cannot be used; the message names the line.
    """
    wanted = ("code_module", "code_presentation", "id_student", "date_registration", "date_unregistration")
    for number, line in _lines(file, *wanted):
        came, left = line["date_registration"], line["date_unregistration"]
        yield _checked(
            Student,
            file,
            number + 1,
            student=line["id_student"],
            first=_day(came, start, file, number + 1) if came else None,
            last=_day(left, start, file, number + 1) - timedelta(days=1) if left else None,
            department=line["code_module"],
            course=f"{line['code_module']}-{line['code_presentation']}",
        )


def _lines(file: Path, *columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (1, 2, ..., line by column); the file's own line number is one more, for the header."""
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            reader = csv.DictReader(opened)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise CommandError(f"{file}: no column {', '.join(missing)}; is it the right file?")
            for number, line in enumerate(reader, 1):
                if None in line or None in line.values():
                    raise CommandError(f"{file}, line {number + 1}: not as many columns as the header has")
                yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read: {error}") from error


def _day(text: str, start: date, file: Path, line: int) -> date:
    try:
        return start + timedelta(days=int(text))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{file}, line {line}: {text!r} is not a day relative to the start") from error


def _checked(model: type[_Model], file: Path, line: int, **values: object) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CommandError(f"{file}, line {line}: {place}: {first['msg']}") from error
