"""The plain oracle of engagement: one record at a time, dicts and dates, nothing of windows/ or agents/.

Slow and obviously right.

It follows the rules as the documentation states them. Tests hold the vectorised core against it.
"""

import math
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schemas import log
from schemas.outputs import BANDS
from schemas.policy import Policy, PolicySet
from schemas.students import Student

DAY = timedelta(days=1)


class Known:
    """What is known of one student."""

    def __init__(self, entry: Student) -> None:
        self.entry = entry
        self.counts: dict[date, dict[str, int]] = {}
        self.frozen: dict[date, float] = {}
        self.active: set[date] = set()
        self.last_active: date | None = None
        self.open: dict[str, date] = {}
        self.rating: tuple[str | None, str | None] = (None, None)
        self.score: float | None = None

    def active_on(self, day: date) -> bool:
        return any(self.counts.get(day, {}).values())

    def note_active(self, day: date) -> None:
        self.active.add(day)
        self.last_active = max(self.active)

    def note_idle(self, day: date) -> None:
        self.active.discard(day)
        self.last_active = max(self.active, default=None)


class Oracle:
    """Feed it records in log order; it collects days, ratings, alerts and what it rejected."""

    def __init__(self, policies: PolicySet, epoch: int = 1) -> None:
        self.policies = policies
        self.zone = ZoneInfo(policies.zone)
        self.epoch = epoch
        # Set by the first record.
        self.anchor: Any = None
        self.begun: Any = None
        self.closed = False
        self.reached: dict[str, tuple[int, int]] = {}
        self.stale: dict[str, date] = {}
        self.students: dict[str, Known] = {}
        self.once: set[tuple[date, int]] = set()
        self.taken_back: set[tuple[date, Any]] = set()
        self.evidence: dict[tuple[date, int], list[tuple[str, int]]] = {}
        self.days: list[dict[str, Any]] = []
        self.ratings: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.rejected: list[int] = []

    # -- time and rules

    def day_of(self, seconds: float) -> date:
        # Days begin on whole seconds; it would round a tenth of a microsecond before midnight to the next day.
        return datetime.fromtimestamp(math.floor(seconds), self.zone).date()

    def end_of(self, day: date) -> float:
        following = day + DAY
        return datetime(following.year, following.month, following.day, tzinfo=self.zone).timestamp()

    def first_policy_day(self) -> date:
        return self.policies.policies[0].policy.effective_from

    def policy_on(self, day: date) -> Policy:
        return self.policies.on(max(day, self.first_policy_day()))

    def day_score(self, day: date, counts: dict[str, int]) -> float:
        if day < self.first_policy_day():
            return 0.0
        policy = self.policy_on(day)
        weights = earned = 0.0
        for activity, indicator in policy.activities.items():
            effects = {off.effect for off in policy.off if off.activity == activity and off.first <= day <= off.last}
            if indicator.weight and "leaves" not in effects:
                weights += indicator.weight
                if "lowers" not in effects:
                    earned += indicator.weight * min(1.0, counts.get(activity, 0) / indicator.target)
        return 100.0 * earned / weights if weights else 0.0

    def score_on(self, known: Known, day: date) -> float:
        if day in known.frozen:
            return known.frozen[day]
        return self.day_score(day, known.counts.get(day, {}))

    def countable(self, entry: Student, day: date) -> bool:
        if entry.first is not None and day < entry.first:
            return False
        if entry.last is not None and day > entry.last:
            return False
        return not any(absence.first <= day <= absence.last for absence in entry.absences)

    def window_of(self, entry: Student) -> int:
        return self.policies.longest if entry.part_time else self.policies.window

    def mean(self, known: Known, end: date) -> float | None:
        days = [end - DAY * back for back in range(self.window_of(known.entry))]
        scores = [self.score_on(known, day) for day in days if self.countable(known.entry, day)]
        return round(sum(scores) / len(scores), 9) if scores else None

    def band(self, mean: Any) -> str:
        bands = self.policy_on(self.anchor).bands
        for name in ("high", "good", "partial", "low"):
            if mean >= getattr(bands, name):
                return name
        return "very_low"

    # -- ratings and alerts

    def why_not_rated(self, known: Known) -> str | None:
        entry = known.entry
        if entry.unrated is not None:
            return entry.unrated
        if not self.closed:
            return "no_closed_day"
        if entry.first is not None and entry.first > self.anchor:
            return "not_started"
        if entry.last is not None and entry.last < self.anchor:
            return "withdrawn"
        if any(a.kind == "intermitting" and a.first <= self.anchor <= a.last for a in entry.absences):
            return "intermitting"
        return "no_countable_day" if self.mean(known, self.anchor) is None else None

    def live(self, known: Known) -> tuple[str | None, str | None, float | None]:
        reason = self.why_not_rated(known)
        if reason is not None:
            return None, reason, None
        open_days = [self.anchor + DAY, self.anchor + 2 * DAY]
        last = max((day for day in open_days if known.active_on(day)), default=self.anchor)
        means = [self.mean(known, self.anchor)]
        means += [self.mean(known, day) for day in open_days if day <= last]
        best = max(mean for mean in means if mean is not None)
        return self.band(best), None, best

    def rate(self, name: str, known: Known, before: tuple, version: int, cause: str, *, moved: bool = False) -> None:
        rating, reason, score = self.live(known)
        known.rating, known.score = (rating, reason), score
        if (rating, reason) != before or moved:
            self.ratings.append(
                {
                    "student": name,
                    "rating": rating,
                    "reason": reason,
                    "score": score,
                    "previous": before[0],
                    "previous_reason": before[1],
                    "cause": cause,
                    "version": version,
                }
            )

    def teaching(self, day: date) -> bool:
        if day < self.first_policy_day():
            return True
        terms = self.policy_on(day).terms
        return not terms or any(term.first <= day <= term.last for term in terms)

    def idle_days(self, known: Known) -> int:
        starts = [known.last_active, self.begun, known.entry.first - DAY if known.entry.first else None]
        day, idle = max(start for start in starts if start is not None) + DAY, 0
        while day <= self.anchor:
            away = any(absence.first <= day <= absence.last for absence in known.entry.absences)
            idle += self.teaching(day) and not away
            day += DAY
        return idle

    def judge(self, name: str, known: Known, version: int, *, may_open: bool, ending: str) -> None:
        rules = self.policy_on(self.anchor).alerts
        rated = self.why_not_rated(known) is None
        holds: dict[str, bool] = {}
        if rules.no_activity is not None:
            idle = self.idle_days(known)
            for step, days in enumerate(rules.no_activity.days, start=1):
                holds[f"no_activity_{step}"] = rated and idle >= days
        if rules.low_engagement is not None:
            worst = BANDS.index(rules.low_engagement.at_or_below)
            holds["low_engagement"] = rated and BANDS.index(self.band(self.mean(known, self.anchor))) <= worst
        entry = known.entry
        paused = not self.teaching(self.anchor) or any(a.first <= self.anchor <= a.last for a in entry.absences)
        window_begins = self.anchor - DAY * (self.window_of(entry) - 1)
        watched = max(window_begins, entry.first or window_begins) > self.begun
        for rule in sorted(set(holds) | set(known.open)):
            if rule in known.open and not holds.get(rule):
                self.say_alert(name, rule, known.open.pop(rule), ending, version)
            elif holds.get(rule) and rule not in known.open and may_open and not paused:
                unwatched = rule == "low_engagement" and not watched
                if not unwatched:
                    known.open[rule] = self.anchor
                    self.say_alert(name, rule, self.anchor, "opened", version)

    def say_alert(self, name: str, rule: str, opened_for: date, state: str, version: int) -> None:
        self.alerts.append({"student": name, "alert": f"{rule}.{opened_for}", "state": state, "version": version})

    def held(self, day: date) -> bool:
        policy = self.policy_on(day)
        return any(
            feed in policy.feeds
            and policy.feeds[feed].blocks_alerts
            and (day - since).days < policy.alerts.max_hold_days
            for feed, since in self.stale.items()
        )

    # -- records

    def feed(self, offset: int, key: bytes | None, appended: float, record: log.Record) -> None:
        """Take one record of the log."""
        version = self.epoch << 48 | offset
        name = "" if key is None else key.decode()
        if self.anchor is None:
            self.anchor = self.begun = self.day_of(appended) - DAY
        if isinstance(record, log.ActivityRecord | log.Retraction | log.StudentRecord):
            place = (record.position.offset, record.position.index)
            if place <= self.reached.get(record.position.source, (-1, 0)):
                return
            self.reached[record.position.source] = place
        if isinstance(record, log.ActivityRecord):
            self.activity(name, version, offset, record)
        elif isinstance(record, log.Retraction):
            self.retraction(name, version, offset, record)
        elif isinstance(record, log.StudentRecord):
            self.roster(name, version, record)
        elif isinstance(record, log.FeedState):
            if record.state == "stale":
                self.stale.setdefault(record.feed, self.day_of(record.recorded_at))
            else:
                self.stale.pop(record.feed, None)
        elif isinstance(record, log.DayClosed):
            day = date.fromisoformat(record.day)
            if day > self.anchor and appended >= self.end_of(day):
                self.close_through(day, "clock", version)

    def activity(self, name: str, version: int, offset: int, record: log.ActivityRecord) -> None:
        known = self.students.get(name)
        if known is None:
            self.rejected.append(offset)
            return
        day = self.day_of(record.at)
        if day > self.anchor + 2 * DAY:
            self.close_through(day - 2 * DAY, "outage", version, trigger=name)
        window = self.policies.window
        if record.once is not None and day > self.anchor - window * DAY:
            if record.attendance is not None:
                before = self.attended_as(day, record.attendance)
                pieces = self.evidence.setdefault((day, record.attendance), [])
                if record.once not in [piece for _, piece in pieces]:
                    pieces.append((record.activity, record.once))
                if self.attended_as(day, record.attendance) == before:
                    return
            else:
                if (day, record.once) in self.once | self.taken_back:
                    return
                self.once.add((day, record.once))
        if day <= self.anchor:
            known.note_active(day)
        if day <= self.anchor - window * DAY:
            said = {"student": name, "day": str(day), "activity": record.activity, "count": record.count}
            self.days.append(said | {"version": version})
        else:
            self.count(name, known, day, version, record)
        cause = "activity" if day > self.anchor else "late_activity"
        self.rate(name, known, known.rating, version, cause)
        if day <= self.anchor and self.closed:
            self.judge(name, known, version, may_open=False, ending="superseded")

    def attended_as(self, day: date, attendance: int) -> str | None:
        """The activity of the first piece of evidence that stands."""
        pieces = self.evidence.get((day, attendance), [])
        return next((activity for activity, piece in pieces if (day, (attendance, piece)) not in self.taken_back), None)

    def evidence_of(self, day: date, record: log.Retraction) -> int | None:
        """The attendance of which the piece is evidence by what was said when it came, else by what is said now."""
        for (on, attendance), pieces in self.evidence.items():
            if record.attendance is not None and on == day and record.once in [piece for _, piece in pieces]:
                return attendance
        return record.attendance

    def retraction(self, name: str, version: int, offset: int, record: log.Retraction) -> None:
        known, day = self.students.get(name), self.day_of(record.at)
        if known is None or not self.anchor - self.policies.window * DAY < day <= self.anchor + 2 * DAY:
            self.rejected.append(offset)
            return
        attendance = self.evidence_of(day, record)
        what = record.once if attendance is None else (attendance, record.once)
        if (day, what) in self.taken_back:
            return
        if attendance is None:
            self.taken_back.add((day, what))
            changes: dict[str, int] = {record.activity: -record.count} if (day, record.once) in self.once else {}
        else:
            before = self.attended_as(day, attendance)
            self.taken_back.add((day, what))
            now = self.attended_as(day, attendance)
            changes = {} if before is None or before == now else {before: -1}
            if changes and now is not None:
                changes[now] = 1
        if changes:
            self.change(name, known, day, version, changes)
            if day <= self.anchor and not known.active_on(day):
                known.note_idle(day)
            self.rate(name, known, known.rating, version, "correction")
            if day <= self.anchor and self.closed:
                self.judge(name, known, version, may_open=False, ending="superseded")

    def count(self, name: str, known: Known, day: date, version: int, record: log.ActivityRecord) -> None:
        self.change(name, known, day, version, {record.activity: record.count})

    def change(self, name: str, known: Known, day: date, version: int, changes: dict[str, int]) -> None:
        counts = known.counts.setdefault(day, {})
        before = {"day": str(day), "score": self.day_score(day, counts), "counts": dict(counts)}
        for activity, change in changes.items():
            counts[activity] = min(65535, max(0, counts.get(activity, 0) + change))
            if not counts[activity]:
                del counts[activity]
        if day <= self.anchor:
            self.say_day(name, day, counts, version)
            self.days[-1] |= {"restated": True, "previous": before}

    def say_day(self, name: str, day: date, counts: dict[str, int], version: int) -> None:
        self.days.append(
            {
                "student": name,
                "day": str(day),
                "counts": dict(counts),
                "score": self.day_score(day, counts),
                "version": version,
                "restated": False,
            }
        )

    def roster(self, name: str, version: int, record: log.StudentRecord) -> None:
        if bytes(record.record) == b"null":
            gone = self.students.pop(name, None)
            if gone is not None:
                for rule, opened_for in gone.open.items():
                    self.say_alert(name, rule, opened_for, "superseded", version)
            return
        entry = Student.model_validate_json(bytes(record.record))
        known = self.students.get(name)
        listed = (None, None) if known is None else (known.entry.department, known.entry.course)
        if known is None:
            known = self.students[name] = Known(entry)
        known.entry = entry
        self.rate(name, known, known.rating, version, "roster", moved=listed != (entry.department, entry.course))
        if self.closed:
            self.judge(name, known, version, may_open=False, ending="superseded")

    def close_through(self, through: date, cause: str, version: int, trigger: str | None = None) -> None:
        before = {name: known.rating for name, known in self.students.items()}
        while self.anchor < through:
            day = self.anchor + DAY
            for name, known in self.students.items():
                if known.active_on(day):
                    self.say_day(name, day, known.counts[day], version)
                    known.note_active(day)
                leaving = day - self.policies.window * DAY
                known.frozen[leaving] = self.score_on(known, leaving)
            self.anchor, self.closed = day, True
            may_open = day == through and cause == "clock" and not self.held(day)
            for name, known in self.students.items():
                self.judge(name, known, version, may_open=may_open, ending="closed")
            self.days.append({"day": str(day), "cause": cause, "version": version})
        for name, known in self.students.items():
            if name != trigger:
                self.rate(name, known, before[name], version, "close")
