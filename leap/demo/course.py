"""The course that the demo plays: its students, and its rows by day."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from leap.oulad import FOLDER, rows, students
from schemas.students import Student
from streams.sources.oulad import Row

FIRST_DAY, LAST_DAY = -10, 2
"""The days that the extract has, relative to the start of the course."""


@dataclass(frozen=True)
class Course:
    """Students and rows, on the dates they get when the course starts on ``start``."""

    start: date
    students: tuple[Student, ...]
    rows: dict[date, list[Row]]

    @property
    def days(self) -> list[date]:
        """Every day of the play, also one without a row."""
        return [self.start + timedelta(days=number) for number in range(FIRST_DAY, LAST_DAY + 1)]


def read_course(start: date, folder: Path = FOLDER) -> Course:
    """Read the course from its files."""
    by_day: defaultdict[date, list[Row]] = defaultdict(list)
    for row in rows(folder / "studentVle.csv", start):
        by_day[row.day].append(row)
    return Course(start, tuple(students(folder / "studentRegistration.csv", start)), dict(by_day))
