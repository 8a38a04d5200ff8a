"""The source systems: one adapter a system, one file an adapter.

An adapter turns a raw record into what it means. It is called by intake, one record after the other; it must not block,
keeps nothing between records, and may raise nothing: what it cannot use it says. All of them stand in
:mod:`streams.sources.registry`.

A record of a file is the file's header line and one of its rows, as they stand in the file: a file of one row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from schemas.activities import Activity


class Seen(msgspec.Struct, frozen=True, gc=False):
    """An activity as its source tells it.

    ``person``: the source's own key of the person (a user id, a card number, an e-mail address). It goes no further
    than intake, which knows the student by it. ``at``: seconds since 1970, UTC. ``event``: what makes it one event at
    its source; the same event sent twice has the same, and no other event of this source has it; where that would name
    the person or what they read, it is a hash. ``venue``: what the timetable knows the place by (a meeting, a reader),
    if it is an attendance that the timetable must confirm. ``attended``: the teaching event itself, where the source
    names it. ``taken_back``: the source says that it was not so; all else is as it was when it said that it was.
    """

    person: str
    activity: Activity
    at: float
    event: str
    count: int = 1
    venue: str | None = None
    attended: str | None = None
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class NotForUs:
    """A proper record that is no activity of a student; the reason is counted, the record is not kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record that cannot be used. The reason names the place in the record and never quotes a value.

    ``exchanged``: its date would be one with day and month exchanged. Then they may be so in all of its file, whose
    other dates are wrong without showing it.
    """

    reason: str
    exchanged: bool = False


def warnings(exchanged: int) -> list[str]:
    """Return what is to be said of a file so many of whose dates would be dates with day and month exchanged."""
    if not exchanged:
        return []
    rows = "1 row has a date" if exchanged == 1 else f"{exchanged:,} rows have dates"
    return [f"{rows} that cannot be; the others may have day and month exchanged: check how the file writes dates"]


Outcome = Seen | NotForUs | Unusable
Adapter = Callable[[bytes], Outcome]


@dataclass(frozen=True, slots=True)
class Options:
    """What differs from one institution to another in what its systems send.

    ``zone``: of time stamps without one. ``moodle_dates``: form of the dates in Moodle's report export, as for
    ``strptime``. ``least_watched``: seconds of a recording that are a viewing. ``remote_labs``: whether remote desktop
    sessions are work in a PC lab.
    """

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Europe/London"))
    moodle_dates: str = "%d/%m/%y, %H:%M"
    least_watched: float = 60.0
    remote_labs: bool = False


class Source(NamedTuple):
    """A source system: its adapter, and whether ``person`` is the student id already, which needs no identity."""

    read: Adapter
    knows_students: bool = False
