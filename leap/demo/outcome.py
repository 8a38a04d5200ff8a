"""What a run led to: counted at its end, ratings as they stand in Redis."""

import asyncio
import csv
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from leap.demo.course import Course
from leap.demo.play import Play
from leap.demo.watch import Watch
from leap.errors import CommandError
from leap.progress import read_lags
from leap.views import View, read_views
from schemas.redis_keys import Keys
from streams.admin import Offsets
from streams.settings import Settings


@dataclass(frozen=True)
class Standing:
    """Where a student stands at the end. ``rating`` None: not rated, for ``reason``."""

    student: str
    rating: str | None
    score: float | None
    reason: str | None


@dataclass(frozen=True)
class Outcome:
    """The end of a run. ``counted`` by engagement itself: None if a process began anew, and its counters with it."""

    standings: tuple[Standing, ...]
    day: date
    events: int
    counted: int | None
    alerts: dict[str, int]
    dead_letters: int
    lag: int
    latency: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return what ``leap demo --json`` prints."""
        rated = [standing for standing in self.standings if standing.rating is not None]
        return {
            "events": self.events,
            "counted": self.counted,
            "students": len(self.standings),
            "rated": len(rated),
            "not_rated": dict(Counter(s.reason for s in self.standings if s.rating is None)),
            "ratings": dict(Counter(s.rating for s in rated)),
            "alerts": self.alerts,
            "last_closed_day": self.day,
            "dead_letters": self.dead_letters,
            "lag": self.lag,
            "latency_p50_ms": _ms(self.latency, 0),
            "latency_p99_ms": _ms(self.latency, 1),
        }

    def write_ratings(self, file: Path) -> None:
        """Write a line of CSV a student."""
        try:
            with file.open("w", newline="", encoding="utf-8") as opened:
                writer = csv.writer(opened)
                writer.writerow(["student", "rating", "score", "day", "reason"])
                for s in self.standings:
                    score = "" if s.score is None else f"{s.score:.6f}"
                    writer.writerow([s.student, s.rating or "not_rated", score, self.day.isoformat(), s.reason or ""])
        except OSError as error:
            raise CommandError(f"--ratings {file}: cannot be written: {error}") from error


def _ms(latency: tuple[float, float] | None, index: int) -> float | None:
    return None if latency is None else round(latency[index] * 1000, 1)


async def read_outcome(
    settings: Settings, course: Course, play: Play, watch: Watch, offsets: Offsets, redis: "Redis"
) -> Outcome:
    """Wait until Redis has everything, then read how it ended."""
    students = [student.student for student in course.students]
    while any(await _behind(settings, offsets, redis)):  # noqa: ASYNC110 - Redis tells nobody
        await asyncio.sleep(0.05)
    views = await read_views(redis, Keys(settings.prefix), students)
    lag = sum(await _behind(settings, offsets, redis))
    await watch.catch_up()
    await watch.scrape()
    return Outcome(
        standings=tuple(_standing(student, views.get(student)) for student in students),
        day=course.days[-1],
        events=play.sent,
        counted=None if watch.picture.restarts else int(watch.counted),
        alerts=dict(watch.picture.opened),
        dead_letters=watch.picture.dead_letters,
        lag=lag,
        latency=watch.picture.latency,
    )


async def _behind(settings: Settings, offsets: Offsets, redis: "Redis") -> list[int]:
    """Return what is left to do, a role and partition each."""
    return [lag.records for lag in await read_lags(settings, offsets, redis)]


def _standing(student: str, view: View | None) -> Standing:
    """Return where a student stands after the last close: the official rating."""
    if view is None:
        return Standing(student, None, None, "not in Redis")
    return Standing(student, view.closed_rating, view.closed_score, None if view.closed_rating else view.reason)
