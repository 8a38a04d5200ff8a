"""The records that engagement sends, as (key, value, headers): built as plain dicts, because a close may make 60,000.

Their form is :mod:`schemas.outputs`; a test holds every record against it.
"""

from typing import Any

import orjson

from schemas.activities import ACTIVITIES
from schemas.cloudevents import Headers, headers
from schemas.outputs import BANDS, REASONS
from schemas.state import NEVER, Row
from schemas.students import Student
from windows.civil import date_of
from windows.sliding import View

Message = tuple[bytes | None, bytes | None, Headers]

_DAYS: dict[int, str] = {}


def iso_day(day: int) -> str:
    """Return a day number as an ISO date."""
    text = _DAYS.get(day)
    if text is None:
        text = _DAYS[day] = date_of(day).isoformat()
    return text


def counts_of(counts: Any) -> dict[str, int]:
    """Return a day's counts by activity, without the zeroes."""
    values = counts.tolist()
    return {ACTIVITIES[code]: value for code, value in enumerate(values) if value}


def band(code: int) -> str | None:
    """Return a band's name, or None for not rated."""
    return BANDS[code] if code >= 0 else None


def reason(code: int) -> str | None:
    """Return why somebody is not rated, or None."""
    return REASONS[code] if code >= 0 else None


def window(view: View, row: Row, i: int, end: int, part_time: bool) -> list[dict[str, Any]]:
    """Return the evidence of the window that ends on day ``end``, oldest day first."""
    first = view.days.start
    length = view.longest if part_time else view.window
    counted_from = row["anchor"] - view.window + 1
    scores, countable = view.scores[i].tolist(), view.countable[i].tolist()
    return [
        {
            "day": iso_day(day),
            "score": round(scores[day - first], 6),
            "counts": counts_of(row["counts"][day - counted_from]) if day >= counted_from else {},
            "countable": countable[day - first],
        }
        for day in range(end - length + 1, end + 1)
    ]


class Writer:
    """Builds the records of one partition, as caused by one log record after the other."""

    def __init__(self, partition: int) -> None:
        """Name the source of the CloudEvents after the partition."""
        self.partition = partition
        self._source = f"/leap/engagement/{partition}"

    def _message(
        self, kind: str, student: bytes, subject: str, body: dict[str, Any], key: bytes | None = None
    ) -> Message:
        event_id = f"{student.decode()}.{kind}.{subject}.{body['version']}"
        return key or student, orjson.dumps(body), headers(kind, self._source, event_id)

    def day(
        self,
        student: bytes,
        day: int,
        counts: Any,
        score: float,
        policy: str,
        version: int,
        stale: list[str],
        previous: Any = None,
    ) -> Message:
        """A closed day of a student; ``previous`` (counts, score) when it is restated."""
        body: dict[str, Any] = {
            "student": student.decode(),
            "day": iso_day(day),
            "counts": counts_of(counts),
            "score": round(float(score), 6),
            "policy": policy,
            "version": version,
            "restated": previous is not None,
            "stale": stale,
        }
        if previous is not None:
            body["previous"] = {
                "day": iso_day(day),
                "score": round(float(previous[1]), 6),
                "counts": counts_of(previous[0]),
            }
        return self._message("day", student, iso_day(day), body)

    def late(self, student: bytes, day: int, activity: int, count: int, version: int) -> Message:
        """An activity of a day before the window."""
        body = {
            "student": student.decode(),
            "day": iso_day(day),
            "activity": ACTIVITIES[activity],
            "count": count,
            "version": version,
        }
        return self._message("late-activity", student, iso_day(day), body)

    def closed(
        self, day: int, policy: str, cause: str, version: int, stale: list[str], behind: tuple[str, ...]
    ) -> Message:
        """The end of a close; keyed by the partition's name, it concerns no single student."""
        key = f"partition-{self.partition}"
        body = {
            "partition": self.partition,
            "day": iso_day(day),
            "policy": policy,
            "cause": cause,
            "version": version,
            "stale": stale,
            "behind": behind,
        }
        return key.encode(), orjson.dumps(body), headers("closed-day", self._source, f"{key}.{iso_day(day)}.{version}")

    def rating(
        self,
        student: bytes,
        entry: Student | None,
        left: Student | None,
        row: Row,
        i: int,
        view: View,
        previous: tuple[int, int],
        *,
        cause: str,
        closed: bool,
        policy: str,
        stale: list[str],
        part_time: bool,
    ) -> Message:
        """A live rating that changed: ``previous`` are the codes of the rating and the reason it had."""
        anchor = int(row["anchor"])
        rated = row["rating"] >= 0
        body = {
            "student": student.decode(),
            "rating": band(int(row["rating"])),
            "reason": reason(int(row["reason"])),
            "score": round(float(row["score"]), 6) if rated else None,
            "previous": band(previous[0]),
            "previous_reason": reason(previous[1]),
            "cause": cause,
            "closed_day": iso_day(anchor) if closed else None,
            "window_end": iso_day(int(row["window_end"])) if rated else None,
            "policy": policy,
            "days": window(view, row, i, int(row["window_end"]), part_time) if rated else [],
            "department": entry and entry.department,
            "course": entry and entry.course,
            "left_department": _left(left, entry, "department"),
            "left_course": _left(left, entry, "course"),
            "stale": stale,
            "version": int(row["version"]),
        }
        return self._message("rating", student, "live", body)

    def alert(
        self,
        student: bytes,
        entry: Student | None,
        row: Row,
        i: int,
        view: View,
        alert: str,
        state: str,
        opened_for: int,
        idle: int,
        *,
        policy: str,
        part_time: bool,
    ) -> Message:
        """An alert that opened, was superseded or closed.

        Keyed by student and alert, so that compaction keeps the last.
        """
        anchor = int(row["anchor"])
        low = alert.startswith("low")
        last_active = int(row["last_active"])
        body: dict[str, Any] = {
            "student": student.decode(),
            "alert": alert,
            "kind": "low_engagement" if low else "no_activity",
            "state": state,
            "opened_for": iso_day(opened_for),
            "closed_day": iso_day(anchor),
            "version": int(row["version"]),
            "policy": policy,
            "priority": bool(entry and entry.priority),
            "contact_opt_out": bool(entry and entry.contact_opt_out),
            "department": entry and entry.department,
            "course": entry and entry.course,
        }
        if low:
            rated = row["closed_rating"] >= 0
            body["rating"] = band(int(row["closed_rating"]))
            body["score"] = round(float(row["closed_score"]), 6) if rated else None
            body["days"] = window(view, row, i, anchor, part_time)
        else:
            body["idle_days"] = idle
            body["last_active"] = None if last_active == NEVER else iso_day(last_active)
        return self._message("alert", student, alert, body, key=alert_key(student, alert))


def alert_key(student: bytes, alert: str) -> bytes:
    """Return the key of an alert's records."""
    return student + b"/" + alert.encode()


def _left(before: Student | None, now: Student | None, what: str) -> str | None:
    was = getattr(before, what, None)
    return was if was is not None and was != getattr(now, what, None) else None
