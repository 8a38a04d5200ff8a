"""What a run of the fault suite sends: events whose totals stand in the students' ids, repeats, late and bad ones, by day.

Events come in four ways: to a topic, as the generic source writes them; through the gateway, as CloudEvents and as xAPI
statements of Moodle; in a file, to which each day adds its rows. Moodle and the file know students by keys of their own,
and whose keys these are is said of a third before the run, of the others in the middle of it, so that records wait.

The days begin with tomorrow, because a close waits for what the broker had at that midnight, and by the broker's clock no
midnight of the past has anything before it. Everything follows from the seed, so that whoever checks a run works it out
again from the seed alone.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from schemas.cloudevents import TYPES
from tests.integration import checker
from tests.integration.harness import Event, noon

REPEATED = 0.1
"""The share of events that are sent again, some of them a day later."""
LATE = 0.05
"""The share of events that come a day or two after their day, when it is closed."""
ANCIENT = 0.05
"""How many events of a month ago come of a student on a day: they are told apart by their place at the source only."""
TAKEN_BACK = 0.15
"""The share of students of whom, on a day, an event comes that its source takes back, so that it counts nothing."""
MOVED = 0.03
"""The share of students whose department changes on a day."""
_BAD = (
    b"\x80 not JSON",
    b'{"student": "s0000", "activity": "daydreaming", "at": "2026-10-05T10:00:00Z", "id": "1"}',
    b'{"student": "nobody", "activity": "tap_in", "at": "2026-10-05T10:00:00Z", "id": "2"}',
)
DEPARTMENTS = ("cs", "law", "history")

Way = Literal["topic", "cloudevents", "xapi", "file"]
_WAYS: dict[str, Way] = {
    "tap_in": "cloudevents",
    "moodle_login": "xapi",
    "moodle_course": "xapi",
    "reading_list": "file",
}
"""By activity: the way of the events that do not come to the topic of the generic source."""
OTHER_WAYS = 0.3
"""The share of those."""
SOURCES: dict[Way, str] = {"topic": "events", "cloudevents": "events", "xapi": "moodle", "file": "reading-lists"}
_KNOWN_BEFORE = 1 / 3
HEAD = b"USERNAME\tOBJECT_ID\tTIMESTAMP\tACTIVITY_TYPE\n"


class Identity(NamedTuple):
    """A student's key at a source."""

    source: str
    student: str

    @property
    def key(self) -> str:
        """What the source calls the student."""
        return f"{self.source}-of-{self.student}"


@dataclass(frozen=True)
class Day:
    """What is sent on one day, in this order.

    ``events`` are those that come one by one, with identities that become known between them; ``rows`` what the day adds
    to the file; ``moves`` students with the department they move to.
    """

    date: date
    events: tuple[Event | Identity, ...]
    rows: tuple[Event, ...]
    moves: tuple[tuple[str, str], ...]
    bad: tuple[bytes, ...]


class Workload:
    """One run's input, made of a seed."""

    def __init__(
        self, seed: int, students: int, days: int, first: date, *, each: int = 20, ancient: float = ANCIENT
    ) -> None:
        """Make it; ``each`` is the most events that a student has of one activity."""
        self.ids = checker.students(students, seed, each)
        self.first = first
        dates = [first + timedelta(days=n) for n in range(days)]
        self.events = checker.events(self.ids, dates, seed)
        self._ways = _ways(self.events, seed)
        taken_back = random.Random(f"{seed} taken back")
        chance = random.Random(seed)
        due: dict[date, list[Event | Identity]] = {day: [] for day in dates}
        rows: dict[date, list[Event]] = {day: [] for day in dates}
        for event in self.events:
            on = event.at.date()
            late = chance.random() < LATE
            came = min(on + timedelta(days=chance.choice([1, 2])), dates[-1]) if late else on
            in_file = self.way(event) == "file"
            (rows if in_file else due)[came].append(event)
            if chance.random() < REPEATED:
                again = min(came + timedelta(days=chance.choice([0, 0, 1])), dates[-1])
                if not in_file:  # a row that is there twice is two events; the whole file comes again each day
                    due[again].append(event)
        for number, day in enumerate(dates):
            if number:
                # What comes after its day comes any time of the day, not first.
                chance.shuffle(due[day])
            for student in self.ids:
                for n in range(int(ancient) + (chance.random() < ancient % 1)):
                    month_ago = noon(day - timedelta(days=30))
                    event = Event(student, "reading_list", month_ago, f"{student}/ancient/{number}/{n}")
                    due[day].insert(chance.randrange(len(due[day]) + 1), event)
            for student in self.ids:
                if taken_back.random() < TAKEN_BACK:
                    event = Event(student, "library_loan", noon(day), f"{student}/taken-back/{number}")
                    later = dates[min(number + taken_back.choice([0, 0, 1]), days - 1)]
                    # On one day either of them may be the first.
                    for what, on in ((event, day), (event._replace(taken_back=True), later)):
                        due[on].insert(taken_back.randrange(len(due[on]) + 1), what)
        self.known_before, coming = _identities(self.events, self._ways, seed)
        for number, (identity, place) in enumerate(coming):
            those = due[dates[number * len(dates) // len(coming)]]
            those.insert(int(place * (len(those) + 1)), identity)
        self.days = [
            Day(
                day,
                tuple(due[day]),
                tuple(rows[day]),
                tuple((s, chance.choice(DEPARTMENTS)) for s in self.ids if chance.random() < MOVED),
                tuple(chance.choice(_BAD) for _ in range(3)),
            )
            for day in dates
        ]

    def way(self, event: Event) -> Way:
        """Return how an event comes."""
        return self._ways.get(event.id, "topic")

    @property
    def bad(self) -> list[bytes]:
        """Every record that must end in the dead letters."""
        return [value for day in self.days for value in day.bad]

    @property
    def sent(self) -> int:
        """How many events are sent, repeats too."""
        return sum(len(day.rows) + sum(isinstance(what, Event) for what in day.events) for day in self.days)


def _ways(events: Sequence[Event], seed: int) -> dict[str, Way]:
    """Return the ways of the events, by id, that do not come to a topic."""
    chance = random.Random(f"{seed} ways")
    return {event.id: _WAYS[event.activity] for event in events if chance.random() < OTHER_WAYS}


def _identities(
    events: Sequence[Event], ways: dict[str, Way], seed: int
) -> tuple[list[Identity], list[tuple[Identity, float]]]:
    """Return whose keys are known before the run, and the others, each with its place among what its day sends (0 to 1)."""
    chance = random.Random(f"{seed} identities")
    found = {
        Identity(SOURCES[way], event.student) for event in events if (way := ways.get(event.id)) in {"xapi", "file"}
    }
    some = sorted(found)
    chance.shuffle(some)
    before = round(len(some) * _KNOWN_BEFORE)
    return some[:before], [(identity, chance.random()) for identity in some[before:]]


def tomorrow() -> date:
    """Return the first day that a run can use."""
    return datetime.now().astimezone().date() + timedelta(days=1)


def recorded(event: Event, day: date) -> datetime:
    """Return when the broker is said to have taken an event: then, or in the evening of the day on which it came late."""
    return event.at if event.at.date() == day else noon(day, 23, 59)


# -- as the source systems write it ---------------------------------------------------------------------------------------

_MOODLE = "https://moodle.example.org"
_SAID: dict[str, dict[str, Any]] = {
    "moodle_login": {
        "verb": {"id": "https://brindlewaye.com/xAPITerms/verbs/loggedin/"},
        "object": {"id": _MOODLE, "definition": {"type": "http://id.tincanapi.com/activitytype/lms"}},
    },
    "moodle_course": {
        "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
        "object": {
            "id": f"{_MOODLE}/course/view.php?id=7",
            "definition": {"type": "http://adlnet.gov/expapi/activities/course"},
        },
    },
}


def cloudevents(events: Sequence[Event]) -> bytes:
    """Return a batch of CloudEvents."""
    fixed = {"specversion": "1.0", "source": "/readers/7", "type": TYPES["source"]}
    return json.dumps([{**fixed, "id": event.id, "data": json.loads(event.value())} for event in events]).encode()


def statements(events: Sequence[Event]) -> bytes:
    """Return xAPI statements of Moodle. They are told apart by the second: two events of a student may share a minute."""
    return json.dumps(
        [
            {
                "actor": {"account": {"homePage": _MOODLE, "name": Identity("moodle", event.student).key}},
                **_SAID[event.activity],
                "timestamp": event.at.replace(second=int(event.id.rpartition("/")[2])).isoformat(),
            }
            for event in events
        ]
    ).encode()


def row(event: Event) -> bytes:
    """Return a row of the file. It tells the day only: a student's rows of a day are equal, and each counts."""
    return f"{Identity('reading-lists', event.student).key}\tlist-7\t{event.at.date()}\tlist.view\n".encode()
