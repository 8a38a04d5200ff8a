"""What a run of the fault suite sends: events whose totals stand in the students' ids, repeats, late and bad ones, by day.

The days begin with tomorrow, because a close waits for what the broker had at that midnight, and by the broker's clock no
midnight of the past has anything before it. Everything follows from the seed, so that whoever checks a run works it out
again from the seed alone.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.integration import checker
from tests.integration.harness import Event, noon

REPEATED = 0.1
"""The share of events that are sent again, some of them a day later."""
LATE = 0.05
"""The share of events that come a day or two after their day, when it is closed."""
ANCIENT = 0.05
"""How many events of a month ago come of a student on a day: they are told apart by their place at the source only."""
MOVED = 0.03
"""The share of students whose department changes on a day."""
_BAD = (
    b"\x80 not JSON",
    b'{"student": "s0000", "activity": "daydreaming", "at": "2026-10-05T10:00:00Z", "id": "1"}',
    b'{"student": "nobody", "activity": "tap_in", "at": "2026-10-05T10:00:00Z", "id": "2"}',
)
DEPARTMENTS = ("cs", "law", "history")


@dataclass(frozen=True)
class Day:
    """What is sent on one day, in this order; ``moves`` are students with the department they move to."""

    date: date
    events: tuple[Event, ...]
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
        chance = random.Random(seed)
        due: dict[date, list[Event]] = {day: [] for day in dates}
        for event in self.events:
            on = event.at.date()
            late = chance.random() < LATE
            came = min(on + timedelta(days=chance.choice([1, 2])), dates[-1]) if late else on
            due[came].append(event)
            if chance.random() < REPEATED:
                due[min(came + timedelta(days=chance.choice([0, 0, 1])), dates[-1])].append(event)
        for number, day in enumerate(dates):
            if number:
                # What comes after its day comes any time of the day, not first.
                chance.shuffle(due[day])
            for student in self.ids:
                for n in range(int(ancient) + (chance.random() < ancient % 1)):
                    month_ago = noon(day - timedelta(days=30))
                    event = Event(student, "reading_list", month_ago, f"{student}/ancient/{number}/{n}")
                    due[day].insert(chance.randrange(len(due[day]) + 1), event)
        self.days = [
            Day(
                day,
                tuple(due[day]),
                tuple((s, chance.choice(DEPARTMENTS)) for s in self.ids if chance.random() < MOVED),
                tuple(chance.choice(_BAD) for _ in range(3)),
            )
            for day in dates
        ]

    @property
    def bad(self) -> list[bytes]:
        """Every record that must end in the dead letters."""
        return [value for day in self.days for value in day.bad]

    @property
    def sent(self) -> int:
        """How many events are sent, repeats too."""
        return sum(len(day.events) for day in self.days)


def tomorrow() -> date:
    """Return the first day that a run can use."""
    return datetime.now().astimezone().date() + timedelta(days=1)


def recorded(event: Event, day: date) -> datetime:
    """Return when the broker is said to have taken an event: then, or in the evening of the day on which it came late."""
    return event.at if event.at.date() == day else noon(day, 23, 59)
