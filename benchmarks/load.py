"""Fills topics for the benchmarks: a roster and a log of activities, in the form in which our own roles write them."""

import asyncio
import random
import time
from collections import defaultdict

import msgspec
import orjson

from benchmarks.processes import WAIT
from schemas import log
from schemas.activities import Activity
from schemas.cloudevents import headers
from streams.admin import Offsets
from streams.intake import partition_of
from streams.producer import Message, Producer
from streams.settings import Settings

STUDENTS = 17_000
_ACTIVITIES: tuple[Activity, ...] = ("moodle_course", "moodle_login", "tap_in", "listen_again", "library_loan")
_CHUNK = 100_000


def student(number: int) -> bytes:
    """Return the key of a student."""
    return b"s%06d" % number


async def fill_roster(settings: Settings, producer: Producer, offsets: Offsets) -> None:
    """Write the roster of the students, and return when the roster role, which must be running, has passed it on."""
    by_place: defaultdict[int, list[Message]] = defaultdict(list)
    for i in range(STUDENTS):
        entry = orjson.dumps({"student": student(i).decode()})
        place = partition_of(student(i), settings.partitions)
        by_place[place].append((student(i), entry, headers("student", "/bench", str(i))))
    for place, messages in by_place.items():
        await producer.deliver(settings.topics.students.name, place, messages)
    partitions = await offsets.partitions([settings.topics.students.name])
    async with asyncio.timeout(WAIT):
        while sum((await offsets.committed(settings.group("roster"), partitions)).values()) < STUDENTS:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def fill_log(settings: Settings, producer: Producer, events: int, seed: int = 1) -> int:
    """Write a roster and ``events`` activities of today into the student log; returns how many records that made."""
    rng = random.Random(seed)  # noqa: S311 - made-up data, the same every time
    now = time.time()
    places = [partition_of(student(i), settings.partitions) for i in range(STUDENTS)]
    topic = settings.topics.student_log.name
    roster: defaultdict[int, list[Message]] = defaultdict(list)
    for i, place in enumerate(places):
        entry = log.StudentRecord(
            msgspec.Raw(orjson.dumps({"student": student(i).decode()})), log.Position("bench.students-0", i), now
        )
        roster[place].append((student(i), log.encode(entry), headers("student", "/leap/roster", f"r/{i}")))
    for place, messages in roster.items():
        await producer.deliver(topic, place, messages)
    written = 0
    while written < events:
        out: defaultdict[int, list[Message]] = defaultdict(list)
        for i in range(written, min(written + _CHUNK, events)):
            number = rng.randrange(STUDENTS)
            record = log.ActivityRecord(
                activity=rng.choice(_ACTIVITIES),
                at=now,
                position=log.Position("bench.source.events-0", i),
                recorded_at=now,
                once=rng.getrandbits(62),
            )
            out[places[number]].append(
                (student(number), log.encode(record), headers("activity", "/leap/intake", f"bench.source.events-0/{i}"))
            )
        for place, messages in out.items():
            await producer.deliver(topic, place, messages)
        written = min(written + _CHUNK, events)
    return STUDENTS + events
