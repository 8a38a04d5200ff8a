"""Random student logs for the property tests: everything that may come, around both clock changes."""

import random
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from agents.items import Item
from schemas import log
from schemas.activities import Activity
from schemas.policy import Policy, PolicySet

LONDON = ZoneInfo("Europe/London")
DAY = timedelta(days=1)
WEIGHTED: tuple[Activity, ...] = ("tap_in", "zoom", "moodle_login", "moodle_course", "library_loan")


def policies(rng: random.Random) -> tuple[PolicySet, date]:
    """Return one to three policies that follow each other within the log, and the log's first day."""
    window = rng.randint(3, 7)
    start = date(2026, rng.choice([3, 10]), 20)
    made = []
    for number in range(rng.randint(1, 3)):
        activities: dict[str, dict[str, float]] = {
            name: {"weight": rng.choice([1.0, 2.0, 0.5]), "target": rng.randint(1, 6)}
            for name in rng.sample(WEIGHTED, rng.randint(2, 5))
        }
        activities["reading_list"] = {}
        lowest = sorted(rng.sample(range(2, 70), 4))
        document: dict[str, Any] = {
            "policy": {
                "version": f"v{number}",
                "owner": "somebody",
                "effective_from": start - 6 * DAY + number * timedelta(days=7 + rng.randint(0, 4)),
                "zone": "Europe/London",
                "window_days": window,
            },
            "activities": activities,
            "bands": dict(zip(["low", "partial", "good", "high"], lowest, strict=True)),
            "alerts": {
                "max_hold_days": rng.randint(0, 3),
                "no_activity": {"days": sorted(rng.sample(range(1, 9), rng.randint(1, 3)))},
                "low_engagement": {"at_or_below": rng.choice(["very_low", "low", "partial"])},
            },
            "feeds": {"f1": {"expected_delay_hours": 1, "blocks_alerts": True}, "f2": {"expected_delay_hours": 1}},
        }
        made.append(document)
    longer = rng.choice([None, window + rng.randint(0, 3)])
    for document in made:
        if longer is not None:
            document["policy"]["part_time_window_days"] = longer
        if rng.random() < 0.5:
            first, last = start + rng.randint(-5, 4) * DAY, start + rng.randint(5, 20) * DAY
            document["terms"] = [{"name": "term", "first": first, "last": last}]
        if rng.random() < 0.4:
            first, last = start + rng.randint(0, 5) * DAY, start + rng.randint(6, 9) * DAY
            effect = rng.choice(["lowers", "leaves"])
            document["off"] = [{"activity": "moodle_course", "first": first, "last": last, "effect": effect}]
    return PolicySet([Policy.model_validate(document) for document in made]), start


class Writer:
    """Writes a random log, record by record, as time passes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.policies, self.start = policies(rng)
        self.items: list[Item] = []
        self.offset = rng.randint(0, 5)
        self.sources = {"a-0": 0, "a-1": 0, "roster-0": 0}
        self.students = [b"s%d" % i for i in range(rng.randint(1, 6))]
        self.now = datetime(self.start.year, self.start.month, self.start.day, rng.randint(0, 23), tzinfo=LONDON)
        self.closed = self.start - DAY
        self.sent: list[tuple[log.ActivityRecord, bytes]] = []
        self.removed: set[bytes] = set()

    def write(self) -> list[Item]:
        for student in self.students:
            if self.rng.random() < 0.85:
                self.enrol(student)
        steps = [
            self.act,
            self.repeat,
            self.attend,
            self.take_back,
            self.change_roster,
            self.say_feed,
            self.wait,
            self.close,
        ]
        for step in self.rng.choices(steps, [40, 5, 14, 10, 6, 4, 12, 10], k=self.rng.randint(20, 160)):
            step()
        return self.items

    def add(self, record: log.Record, key: bytes | None = None) -> None:
        self.offset += self.rng.choice([1, 1, 1, 2])
        self.items.append(Item(self.offset, key, self.now.timestamp(), record))

    def position(self, source: str) -> log.Position:
        self.sources[source] += self.rng.randint(1, 2)
        return log.Position(source, self.sources[source])

    def enrol(self, student: bytes) -> None:
        rng, start = self.rng, self.start
        entry: dict[str, object] = {"student": student.decode()}
        if rng.random() < 0.4:
            entry["first"] = str(start + rng.randint(-20, 10) * DAY)
        if rng.random() < 0.2:
            entry["last"] = str(start + rng.randint(3, 25) * DAY)
        if rng.random() < 0.1:
            entry["unrated"] = "placement"
        entry["part_time"] = rng.random() < 0.3
        if rng.random() < 0.4:
            entry["department"] = rng.choice("XY")
        if rng.random() < 0.3:
            first = start + rng.randint(-3, 15) * DAY
            kind = rng.choice(["exempt", "intermitting"])
            entry["absences"] = [{"kind": kind, "first": str(first), "last": str(first + rng.randint(0, 5) * DAY)}]
        self.say_roster(student, orjson.dumps(entry))

    def say_roster(self, student: bytes, raw: bytes) -> None:
        record = log.StudentRecord(msgspec.Raw(raw), self.position("roster-0"), self.now.timestamp())
        self.add(record, student)

    def change_roster(self) -> None:
        student = self.rng.choice(self.students)
        if student in self.removed:
            return
        if self.rng.random() < 0.25:
            self.removed.add(student)
            self.say_roster(student, b"null")
        else:
            self.enrol(student)

    def act(self) -> None:
        rng, at, draw = self.rng, self.now.timestamp(), self.rng.random()
        if draw < 0.2:
            at -= rng.random() * 86400 * rng.choice([1, 3, 10])
        elif draw < 0.25:
            at += rng.random() * 300
        elif draw < 0.3:
            midnight = datetime(self.now.year, self.now.month, self.now.day, tzinfo=LONDON)
            at = midnight.timestamp() + rng.choice([-1, 0, 1])
        record = log.ActivityRecord(
            activity=rng.choice([*WEIGHTED, "reading_list"]),
            at=at,
            position=self.position(rng.choice(["a-0", "a-1"])),
            recorded_at=self.now.timestamp(),
            count=rng.choice([1, 1, 1, 2, 5, 65000]),
            once=rng.choice([None, rng.randint(0, 40)]),
        )
        student = rng.choice(self.students)
        self.add(record, student)
        self.sent.append((record, student))

    def attend(self) -> None:
        """Evidence of one of two events of a student: of two kinds, and some pieces twice."""
        rng, at = self.rng, self.now.timestamp()
        i, event = rng.randrange(len(self.students)), rng.randint(0, 1)
        record = log.ActivityRecord(
            activity=rng.choice(["tap_in", "zoom"]),
            at=at - rng.choice([0, 0, 0, 86400, 2 * 86400, 9 * 86400]),
            position=self.position(rng.choice(["a-0", "a-1"])),
            recorded_at=at,
            once=1000 + 100 * i + 10 * event + rng.randint(0, 4),
            attendance=10 * i + event,
        )
        self.add(record, self.students[i])
        self.sent.append((record, self.students[i]))

    def take_back(self) -> None:
        """Take back something that was sent lately, or that nobody has sent (yet)."""
        rng = self.rng
        lately = [(record, student) for record, student in self.sent[-12:] if record.once is not None]
        if not lately:
            return
        sent, student = rng.choice(lately)
        once = rng.randint(0, 40) if rng.random() < 0.2 and sent.attendance is None else sent.once
        assert once is not None
        record = log.Retraction(
            activity=sent.activity,
            at=sent.at,
            position=self.position(rng.choice(["a-0", "a-1"])),
            recorded_at=self.now.timestamp(),
            once=once,
            count=sent.count,
            # The timetable may have changed since.
            attendance=999 if sent.attendance is not None and rng.random() < 0.1 else sent.attendance,
        )
        self.add(record, student)

    def repeat(self) -> None:
        if self.sent:
            record, student = self.rng.choice(self.sent[-10:])
            if self.rng.random() < 0.5:
                record = msgspec.structs.replace(record, position=self.position("a-0"))
            self.add(record, student)

    def say_feed(self) -> None:
        stale = self.rng.random() < 0.5
        feed = self.rng.choice(["f1", "f2"])
        self.add(log.FeedState(feed, "stale" if stale else "fresh", self.now.timestamp()))

    def wait(self) -> None:
        self.now += timedelta(hours=self.rng.choice([1, 5, 13]))

    def close(self) -> None:
        """Write the next close: due, too early, or of a later day than the next."""
        self.now += timedelta(hours=self.rng.choice([3, 10, 20]))
        day = self.closed + DAY
        if self.rng.random() < 0.15:
            day += DAY * self.rng.randint(1, 2)
        due = self.now.date() > day
        if due or self.rng.random() < 0.15:
            policy = self.policies.on(max(day, self.policies.policies[0].policy.effective_from))
            self.add(log.DayClosed(str(day), policy.version, policy.checksum, self.now.timestamp()))
            if due:
                self.closed = max(self.closed, day)
        if self.rng.random() < 0.05:
            self.now += timedelta(days=self.rng.randint(2, 6))
