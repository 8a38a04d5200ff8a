"""The students of a load, and the events that they send."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import orjson

from leap.load.schedule import Schedule
from schemas.activities import ACTIVITIES

SAMPLES_A_SECOND = 50
"""So many events a second are followed into Redis."""

_WATCHED = 1000
_DEPARTMENTS = 40
_COURSES = 400
_NAMES = [name.encode() for name in ACTIVITIES]


class Send(NamedTuple):
    """One event to be sent: when (seconds from the start), whose (a student's number), which activity (its code)."""

    due: float
    student: int
    activity: int


class Population:
    """Students ``load-0000000`` and on. The first ones (a tenth, a thousand at most) are watched.

    Watched students get the events that are followed and no others, so that Redis needs to be asked for these students
    only. They lie in all partitions like everybody.
    """

    def __init__(self, students: int) -> None:
        """Name how many there are (two at least)."""
        self.students = students
        self.watched = max(1, min(_WATCHED, students // 10))

    @staticmethod
    def key(student: int) -> bytes:
        """Return the id of a student."""
        return b"load-%07d" % student

    def entry(self, student: int) -> bytes:
        """Return the roster entry of a student."""
        return orjson.dumps(
            {
                "student": self.key(student).decode(),
                "department": f"load-{student % _DEPARTMENTS}",
                "course": f"load-{student % _COURSES}",
            }
        )

    def event(self, student: int, activity: int, at: bytes, name: bytes) -> bytes:
        """Return an event of the source ``events``; ``name`` is what makes it one."""
        return b'{"student":"%b","activity":"%b","at":"%b","id":"%b"}' % (
            self.key(student),
            _NAMES[activity],
            at,
            name,
        )

    def draw(self, schedule: Schedule, *, seed: int = 1) -> Iterator[list[Send]]:
        """Yield the events of a schedule second by second; one in so many is a watched student's."""
        every = max(1, math.ceil(schedule.expected / schedule.seconds / SAMPLES_A_SECOND))
        drawn = 0
        for second, times in enumerate(schedule.blocks()):
            rng = np.random.default_rng((seed, second, 1))
            students = rng.integers(self.watched, self.students, len(times))
            sampled = np.arange(drawn, drawn + len(times)) % every == 0
            students[sampled] = rng.integers(0, self.watched, int(sampled.sum()))
            activities = rng.integers(0, len(_NAMES), len(times))
            drawn += len(times)
            yield [Send(*one) for one in zip(times.tolist(), students.tolist(), activities.tolist(), strict=True)]
