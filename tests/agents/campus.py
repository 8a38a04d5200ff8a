"""A small university for readable tests: say what happened on which day, close days, look at what was said."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from agents.decide import decide
from agents.draft import Draft
from agents.items import Item, Items
from agents.partition import Context, Partition
from schemas import log
from schemas.activities import ACTIVITIES
from schemas.policy import Policy, PolicySet
from windows.civil import CivilDays, number_of
from windows.scoring import Rules

LONDON = ZoneInfo("Europe/London")


def policy(**changes: Any) -> Policy:
    """Return a policy in which one tap-in fills half of a day, and ten course views the other half."""
    document: dict[str, Any] = {
        "policy": {
            "version": "t1",
            "owner": "somebody",
            "effective_from": date(2026, 1, 1),
            "zone": "Europe/London",
            "window_days": 7,
        },
        "activities": {
            "tap_in": {"weight": 1.0, "target": 1},
            "moodle_course": {"weight": 1.0, "target": 10},
            "reading_list": {},
        },
        "bands": {"high": 60, "good": 40, "partial": 20, "low": 5},
        "alerts": {"no_activity": {"days": [7, 14]}},
    }
    document["policy"] |= changes.pop("policy", {})
    return Policy.model_validate(document | changes)


class Campus:
    """One partition; ``outputs`` of the last step, ``said`` since the beginning."""

    def __init__(self, first: date, *policies: Policy) -> None:
        self.policies = PolicySet(policies or [policy()])
        self.partition = Partition(0, Context(Rules(self.policies), CivilDays("Europe/London")))
        self.offset = 0
        self.first = first
        self.ratings: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.days: list[dict[str, Any]] = []
        self.rejected: list[str] = []

    def at(self, day: date, hour: float = 12.0) -> float:
        midnight = datetime(day.year, day.month, day.day, tzinfo=LONDON)
        return (midnight + timedelta(hours=hour)).timestamp()

    def step(self, record: log.Record, key: bytes | None = None, appended: float | None = None) -> Draft:
        taken = record.recorded_at if appended is None else appended
        draft = decide(self.partition, Items.of([Item(self.offset, key, taken, record)]))
        for kind in ("ratings", "alerts", "days"):
            getattr(self, kind).extend(orjson.loads(value) for _, value, _ in getattr(draft.effects, kind))
        self.rejected += [r.reason for r in draft.effects.rejected]
        draft.commit()
        self.offset += 1
        return draft

    def enrol(self, student: str, **entry: Any) -> None:
        raw = orjson.dumps({"student": student, **entry})
        position = log.Position("roster-0", self.offset)
        self.step(log.StudentRecord(msgspec.Raw(raw), position, self.at(self.first, 0)), student.encode())

    def act(self, student: str, day: date, activity: Any = "tap_in", count: int = 1, **more: Any) -> None:
        at = more.pop("at", self.at(day))
        record = log.ActivityRecord(activity, at, log.Position("source-0", self.offset), at, count, **more)
        self.step(record, student.encode())

    def take_back(self, student: str, day: date, once: int, activity: Any = "tap_in", **more: Any) -> None:
        at = self.at(day)
        record = log.Retraction(activity, at, log.Position("source-0", self.offset), at, once, **more)
        self.step(record, student.encode())

    def counts(self, student: str, day: date) -> dict[str, int]:
        """Return what counts on a day of the window, by activity."""
        context = self.partition.context
        row = self.partition.rows[self.partition.index[student.encode()]]
        slot = number_of(day) - (int(row["anchor"]) - context.window + 1)
        return {ACTIVITIES[code]: n for code, n in enumerate(row["counts"][slot].tolist()) if n}

    def close(self, day: date, *, late: float = 300.0) -> None:
        ours = self.policies.on(day)
        now = self.at(day + timedelta(days=1), 0) + late
        self.step(log.DayClosed(day.isoformat(), ours.version, ours.checksum, now), appended=now)

    def close_through(self, first: date, last: date) -> None:
        for back in range((last - first).days + 1):
            self.close(first + timedelta(days=back))

    def rating(self, student: str) -> str | None:
        return next((r["rating"] or r["reason"] for r in reversed(self.ratings) if r["student"] == student), None)
