"""What the board shows: kept from the rating and alert records as they come, without any I/O."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_NOT_RATED = "not_rated"


class Change(NamedTuple):
    """A rating that changed: the bands (or ``not_rated``) before and after."""

    student: str
    before: str
    after: str
    score: float | None
    cause: str


class Notice(NamedTuple):
    """An alert that opened."""

    student: str
    rule: str
    day: str


@dataclass
class Picture:
    """The state of the board. Records may come twice or late: what counts is their version."""

    students: int
    rows: int
    days: int
    phase: str = "starting"
    now: float = 0.0
    day: int = 0
    sent: int = 0
    ratings: dict[str, tuple[int, str]] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=60))
    open_alerts: dict[tuple[str, str], int] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=30))
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=120))
    latency: tuple[float, float] | None = None
    lag: int = 0
    dead_letters: int = 0
    restarts: int = 0

    @property
    def bands(self) -> Counter[str]:
        """How many students have each rating; a student of whom nothing was said yet is not rated."""
        found = Counter(band for _, band in self.ratings.values())
        found[_NOT_RATED] += self.students - len(self.ratings)
        return found

    @property
    def open_by_rule(self) -> Counter[str]:
        """How many alerts stand open, by rule (``no_activity_7`` is the first step of that rule)."""
        return Counter(rule_of(alert) for _, alert in self.open_alerts)

    def rating(self, record: dict[str, Any]) -> None:
        """Take a record of ``leap.ratings``."""
        student, version = record["student"], record["version"]
        after = record["rating"] or _NOT_RATED
        known, before = self.ratings.get(student, (-1, _NOT_RATED))
        if version <= known:
            return
        self.ratings[student] = (version, after)
        if before != after:
            self.changes.appendleft(Change(student, before, after, record["score"], record["cause"]))

    def alert(self, record: dict[str, Any]) -> None:
        """Take a record of ``leap.alerts``."""
        key = (record["student"], record["alert"])
        if record["version"] <= self.versions.get(key, -1):
            return
        self.versions[key] = record["version"]
        if record["state"] == "opened":
            self.open_alerts[key] = record["version"]
            self.opened[record["kind"]] += 1
            self.notices.appendleft(Notice(key[0], rule_of(key[1]), record["opened_for"]))
        else:
            self.open_alerts.pop(key, None)


def rule_of(alert: str) -> str:
    """Return the rule in an alert's name.

    >>> rule_of("no_activity_1.2026-10-12")
    'no_activity_1'
    """
    return alert.partition(".")[0]
