"""What engagement says: closed days, rating changes and alerts. Each carries the evidence that explains it.

Every record has ``version`` (:mod:`schemas.version`): apply one only if its version is higher than what you hold for
the same key. A rating or an alert decides nothing: it tells a person where to look.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.activities import Activity

Band = Literal["very_low", "low", "partial", "good", "high"]
BANDS: tuple[Band, ...] = ("very_low", "low", "partial", "good", "high")
"""The five ratings from the lowest; the index of one is its code."""

Reason = Literal[
    "no_closed_day",
    "not_started",
    "withdrawn",
    "intermitting",
    "research",
    "year_abroad",
    "placement",
    "no_countable_day",
]
REASONS: tuple[Reason, ...] = (
    "no_closed_day",
    "not_started",
    "withdrawn",
    "intermitting",
    "research",
    "year_abroad",
    "placement",
    "no_countable_day",
)
"""Why a student is ``not_rated``; the index of one is its code."""

Counts = dict[Activity, Annotated[int, Field(ge=0, le=65535)]]
Score = Annotated[float, Field(ge=0, le=100)]


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True)


class DayScore(_Output):
    """One day as evidence: counts by activity (zeros left out), the day's score, and whether it counts in the mean."""

    day: date
    score: Score
    counts: Counts
    countable: bool = True


class Day(_Output):
    """A closed day of one student with activity; a day without a record is a zero day.

    ``restated``: this replaces an earlier record of the same day, whose values are in ``previous``.
    ``stale``: blocking feeds that were behind when the day closed.
    """

    student: str
    day: date
    counts: Counts
    score: Score
    policy: str
    version: int
    restated: bool = False
    previous: DayScore | None = None
    stale: tuple[str, ...] = ()


class LateActivity(_Output):
    """An activity of a day before the window: it changes no score, only the archive and the active days."""

    student: str
    day: date
    activity: Activity
    count: int
    version: int


class ClosedDay(_Output):
    """A partition closed a day; the last record of that close.

    ``cause`` outage: closed because a later day's activity came.
    """

    partition: int
    day: date
    policy: str
    cause: Literal["clock", "outage"]
    version: int
    stale: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


class Rating(_Output):
    """A student's live rating changed (or the department or course under which it is listed).

    ``rating`` null means not rated, and ``reason`` says why. ``score`` is the mean day score of the window that ends on
    ``window_end``. ``days`` are the evidence. ``cause`` correction: an activity was taken back. ``left`` lists indexes
    (department, course) the student is no longer in.
    """

    student: str
    rating: Band | None
    reason: Reason | None = None
    score: Score | None = None
    previous: Band | None = None
    previous_reason: Reason | None = None
    cause: Literal["activity", "late_activity", "correction", "close", "roster"]
    closed_day: date | None
    window_end: date | None = None
    policy: str
    days: tuple[DayScore, ...] = ()
    department: str | None = None
    course: str | None = None
    left_department: str | None = None
    left_course: str | None = None
    stale: tuple[str, ...] = ()
    version: int


class Alert(_Output):
    """Something for a person to look at: never a decision, a message to a student or a change of status.

    ``alert`` is the rule and the day it opened for (``no_activity_1.2026-10-12``): the topic is compacted by student
    and alert. ``superseded``: corrected data removed the reason. What was sent is never unsent.
    """

    student: str
    alert: str
    kind: Literal["no_activity", "low_engagement"]
    state: Literal["opened", "superseded", "closed"]
    opened_for: date
    closed_day: date
    version: int
    policy: str
    idle_days: int | None = None
    last_active: date | None = None
    rating: Band | None = None
    score: Score | None = None
    days: tuple[DayScore, ...] = ()
    priority: bool = False
    contact_opt_out: bool = False
    department: str | None = None
    course: str | None = None
