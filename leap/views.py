"""A student's view, read from Redis as a dashboard would: by the keys of :mod:`schemas.redis_keys`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import Field, TypeAdapter
from redis.asyncio import Redis

from leap.errors import CHECK_FAILED, CommandError
from schemas.outputs import BANDS
from schemas.redis_keys import NOT_RATED, Keys
from schemas.version import MAX_VERSION

_CHUNK = 500


class UnreadableError(CommandError):
    """What stands in Redis of a student is not what the read model writes; the message says what mends it."""


@dataclass(frozen=True)
class Day:
    """One of the seven days: counts by activity, and the score once it is closed (0 where nothing was done)."""

    day: str
    counts: dict[str, Annotated[int, Field(ge=0, le=65535)]]
    score: float | None


@dataclass(frozen=True)
class View:
    """What is known of a student. ``rating`` None: not rated, for ``reason``; the same for ``closed_rating``.

    ``explained`` is the last record of ``leap.ratings``: the rating change with its evidence.
    """

    student: str
    rating: str | None
    reason: str | None
    score: float | None
    since: str
    closed_day: str | None
    closed_rating: str | None
    closed_score: float | None
    window_end: str | None
    last_active: str | None
    recorded_at: str | None
    department: str | None
    course: str | None
    stale: dict[str, str]
    days: tuple[Day, ...]
    alerts: tuple[dict[str, Any], ...]
    explained: dict[str, Any] | None
    version: Annotated[int, Field(ge=0, le=MAX_VERSION)]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


async def read_views(redis: "Redis", keys: Keys, students: Sequence[str]) -> dict[str, View]:
    """Return the views of those students that have one.

    Raises:
        UnreadableError: somebody else wrote into one.
    """
    views: dict[str, View] = {}
    closed: dict[str, dict[str, str]] = {}
    for start in range(0, len(students), _CHUNK):
        some = students[start : start + _CHUNK]
        pipe = redis.pipeline(transaction=False)
        for student in some:
            pipe.hgetall(keys.view(student))
            pipe.hget(keys.rating(student), "doc")
            pipe.hgetall(keys.days(student))
            pipe.hgetall(keys.alerts(student))
        found = await pipe.execute()
        for index, student in enumerate(some):
            view, rating, days, alerts = found[4 * index : 4 * index + 4]
            head = _texts(view)
            if "version" not in head or "removed" in head:
                continue
            partition = head.get("partition", "")
            if partition not in closed:
                closed[partition] = _texts(await redis.hgetall(keys.closed(partition)))
            stored = Stored(student, head, rating, _texts(days), alerts.values(), closed[partition])
            views[student] = put_together(stored)
    return views


class Stored(NamedTuple):
    """What stands in Redis of a student, and of the days that their partition has closed."""

    student: str
    head: dict[str, str]
    rating: bytes | None
    days: dict[str, str]
    alerts: Iterable[bytes]
    closed: dict[str, str]


def put_together(stored: Stored) -> View:
    """Put a view together from what stands in Redis.

    Raises:
        UnreadableError: it is not what the read model writes.
    """
    try:
        return _checked(_view(stored))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Whatever may be wrong with text that is not ours.
        msg = f"what Redis has of student {stored.student} cannot be read; leap rebuild writes it again"
        raise UnreadableError(msg, CHECK_FAILED) from error


def _checked(view: View) -> View:
    """Return a view of which every part is what it should be (or raise whatever comes of looking)."""
    for day in (view.closed_day, view.window_end, view.last_active, *view.stale.values()):
        if day is not None:
            date.fromisoformat(day)
    for instant in (view.since, view.recorded_at):
        if instant is not None:
            datetime.fromisoformat(instant)
    for alert in view.alerts:
        date.fromisoformat(alert["opened_for"])
    if view.explained is not None and not isinstance(view.explained["policy"] + view.explained["cause"], str):
        raise TypeError
    return _VIEW.validate_python(asdict(view))


def _view(stored: Stored) -> View:
    """Put a view together; an empty field is None."""
    student, head, rating, days, alerts, closed = stored
    doc = orjson.loads(head["doc"])
    last_closed = closed.get("day") or None
    return View(
        student=student,
        rating=_band(head["rating"]),
        reason=head["reason"] or None,
        score=float(head["score"]) if head["score"] else None,
        since=head["since"],
        closed_day=last_closed,
        closed_rating=_band(head["closed_rating"]),
        closed_score=doc["closed_score"],
        window_end=doc["window_end"],
        last_active=doc["last_active"],
        recorded_at=doc["recorded_at"],
        department=head.get("department") or None,
        course=head.get("course") or None,
        stale=orjson.loads(closed.get("stale") or "{}"),
        days=tuple(_day(day, counts, days, last_closed) for day, counts in _to_date(doc["days"], last_closed)),
        alerts=tuple(sorted(map(orjson.loads, alerts), key=lambda alert: str(alert["opened_for"]))),
        explained=None if rating is None else orjson.loads(rating),
        version=int(head["version"]),
    )


def _to_date(days: Sequence[dict[str, Any]], last_closed: str | None) -> list[tuple[str, dict[str, int]]]:
    """Return the days of a view up to the last closed one.

    A view is not written when nothing changes, so the days after its own had no activity.
    """
    known = {day["day"]: day["counts"] for day in days}
    last = max(filter(None, (*known, last_closed)), default=None)
    if last is None:
        return []
    dates = [(date.fromisoformat(last) - timedelta(days=back)).isoformat() for back in reversed(range(len(days)))]
    return [(day, known.get(day, {})) for day in dates]


def _day(day: str, counts: dict[str, int], closed: dict[str, str], last_closed: str | None) -> Day:
    if last_closed is None or day > last_closed:
        return Day(day, counts, None)
    record = closed.get(day)
    return Day(day, counts, 0.0 if record is None else orjson.loads(record)["score"])


def _band(name: str) -> str | None:
    return None if name in {NOT_RATED, ""} else BANDS[BANDS.index(name)]


def _texts(fields: Mapping[Any, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


_VIEW = TypeAdapter(View)
