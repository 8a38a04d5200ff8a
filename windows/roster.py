"""The roster in columns: who is enrolled when, who has no rating, and which days count.

A day is *countable* for a student from the first to the last day of enrolment, outside agreed absences (vacation days
are countable). A student in the first days is so rated over the days since the start.
"""

from typing import Any

import numpy as np

from schemas.outputs import REASONS
from schemas.state import NEVER
from schemas.students import Student
from windows.civil import number_of
from windows.scoring import Bools, Codes, Rules

FOREVER = (1 << 31) - 1
_NO_REASON = -1

dtype = np.dtype(
    [("first", "<i4"), ("last", "<i4"), ("unrated", "i1"), ("part_time", "?"), ("absent", "?"), ("alive", "?")]
)
"""``alive``: on the roster. Rows of removed students stay where they are and take no part in anything."""

Table = np.ndarray[Any, np.dtype[np.void]]
Absences = list[list[tuple[int, int, bool]]]
"""A row's absences: first day, last day, intermitting."""

CODE = {reason: code for code, reason in enumerate(REASONS)}


def entry(student: Student | None) -> tuple[tuple[int, int, int, bool, bool, bool], list[tuple[int, int, bool]]]:
    """Return a student's row of the roster table and absences; None is somebody who is not on the roster."""
    if student is None:
        return (FOREVER, NEVER, _NO_REASON, False, False, False), []
    absences = [(number_of(a.first), number_of(a.last), a.kind == "intermitting") for a in student.absences]
    first = NEVER if student.first is None else number_of(student.first)
    last = FOREVER if student.last is None else number_of(student.last)
    unrated = _NO_REASON if student.unrated is None else CODE[student.unrated]
    return (first, last, unrated, student.part_time, bool(absences), True), absences


def countable(table: Table, absences: Absences, days: range) -> Bools:
    """Return (students, days): which days count for whom."""
    numbers = np.arange(days.start, days.stop, dtype=np.int32)
    result: Bools = (numbers >= table["first"][:, None]) & (numbers <= table["last"][:, None])
    for row in np.flatnonzero(table["absent"]):
        for first, last, _ in absences[row]:
            result[row] &= (numbers < first) | (numbers > last)
    return result


def away(table: Table, absences: Absences, day: int, *, intermitting: bool = False) -> Bools:
    """Return whose agreed absence covers the day (only intermissions, if asked)."""
    result = np.zeros(len(table), bool)
    for row in np.flatnonzero(table["absent"]):
        result[row] = any(first <= day <= last and (out or not intermitting) for first, last, out in absences[row])
    return result


def reasons(table: Table, absences: Absences, day: int, *, closed: bool) -> Codes:
    """Return why each student is not rated at the close of ``day``, -1 for those who are (if a day counts at all)."""
    found = np.full(len(table), _NO_REASON, np.int8)
    found[away(table, absences, day, intermitting=True)] = CODE["intermitting"]
    found[table["last"] < day] = CODE["withdrawn"]
    found[table["first"] > day] = CODE["not_started"]
    if not closed:
        found[:] = CODE["no_closed_day"]
    fixed = table["unrated"] != _NO_REASON
    found[fixed] = table["unrated"][fixed]
    return found


def idle_days(rules: Rules, table: Table, absences: Absences, last_active: Any, begun: int, day: int) -> Any:
    """Return each student's days without any activity up to ``day``: enrolled, in term, without agreed absence.

    They are counted from the day after the last activity, the first day of enrolment or the first day we observed
    (the day after ``begun``), whichever is latest: an alert must never rest on days nobody watched.
    """
    since = np.maximum(np.maximum(last_active, begun), table["first"].astype(np.int64) - 1)
    result = rules.taught_since(since, day)
    for row in np.flatnonzero(table["absent"]):
        # Not day by day: somebody may have been away, and silent, for years.
        for first, last in _merged(absences[row]):
            after, through = max(int(since[row]), first - 1), min(last, day)
            if after < through:
                result[row] -= rules.taught_since(after, through)
    return result


def _merged(absences: list[tuple[int, int, bool]]) -> list[tuple[int, int]]:
    """Return the days of absences as ranges that do not overlap."""
    ranges: list[tuple[int, int]] = []
    for first, last, _ in sorted(absences):
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], last)
        else:
            ranges.append((first, last))
    return ranges
