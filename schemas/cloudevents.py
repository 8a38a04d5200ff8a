"""CloudEvents 1.0 in binary mode on Kafka: the value is the data, the attributes are headers (and ours beside them)."""

from collections.abc import Sequence
from datetime import UTC, datetime

Headers = list[tuple[str, bytes]]

ID = "ce_id"
TYPE = "ce_type"
SOURCE = "ce_source"
TIME = "ce_time"
SPEC_VERSION = "ce_specversion"
DATA_SCHEMA = "ce_dataschema"
CONTENT_TYPE = "content-type"

RECORDED_AT = "leap-recorded-at"
"""Seconds since 1970 at which a simulated clock says the record was appended; heeded only under a simulated clock."""

VERSION = "leap-version"
"""The version of a tombstone in ``leap.engagement``, which has no value to carry it."""

TYPES = {
    "activity": "leap.activity.v1",
    "retraction": "leap.retraction.v1",
    "student": "leap.student.v1",
    "day-closed": "leap.day-closed.v1",
    "feed-state": "leap.feed-state.v1",
    "day": "leap.day.v1",
    "late-activity": "leap.late-activity.v1",
    "closed-day": "leap.closed-day.v1",
    "rating": "leap.rating.v1",
    "alert": "leap.alert.v1",
    "swipe": "leap.swipe.v1",
    "source": "leap.source-event.v1",
    "faser": "leap.faser-event.v1",
    "identity": "leap.identity.v1",
    "source-state": "leap.source-state.v1",
}
"""Every event type of ours, by the kind of record."""

_FIXED: dict[tuple[str, str], Headers] = {}


def headers(kind: str, source: str, event_id: str) -> Headers:
    """Return the headers of one of our records: the four attributes that CloudEvents requires, and the content type."""
    fixed = _FIXED.get((kind, source))
    if fixed is None:
        fixed = _FIXED[kind, source] = [
            (SPEC_VERSION, b"1.0"),
            (TYPE, TYPES[kind].encode()),
            (SOURCE, source.encode()),
            (CONTENT_TYPE, b"application/json"),
        ]
    return [*fixed, (ID, event_id.encode())]


def recorded_at(seconds: float) -> tuple[str, bytes]:
    """Return the header of a simulated clock."""
    return RECORDED_AT, repr(seconds).encode()


def find(record_headers: Sequence[tuple[str, bytes]], name: str) -> bytes | None:
    """Return the value of the first header of that name, or None."""
    return next((value for key, value in record_headers if key == name), None)


def number(header: bytes | None) -> int | None:
    """Return the whole number that a header holds in decimal; None if it holds none, or is not there."""
    return int(header) if header is not None and len(header) < 20 and header.isdigit() else None


def iso(seconds: float) -> str:
    """Return an instant as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
