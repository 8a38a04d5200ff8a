"""What the records of engagement's four topics mean for the read model. Pure: no Kafka, no Redis, no clock."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import orjson
from aiokafka import TopicPartition

from schemas.activities import ACTIVITIES
from schemas.cloudevents import TYPE, TYPES, find
from schemas.dead_letters import DeadLetter
from schemas.decoding import decoder
from schemas.outputs import BANDS, REASONS, Band
from schemas.reasons import why
from schemas.redis_keys import ALERT_DAYS, DAYS_KEPT, NOT_RATED
from schemas.state import (
    FIRST_STUDENT_BYTE,
    KEY_PARTITION,
    KEY_ROSTER,
    NEVER,
    CodecError,
    Row,
    decode_partition,
    decode_rows,
)
from schemas.topics import Topics
from schemas.version import MAX_VERSION, epoch_of, version
from streams.column_table import version_of

STAGE = "readmodel"

_EPOCH = date(1970, 1, 1).toordinal()
_LOW_ENGAGEMENT = 4
"""The spell of ``low_engagement``; those before it are the steps of ``no_activity``."""


class Standing(NamedTuple):
    """A student's row or removal (``kind``); ``fields`` are those of the view.

    ``enrolled``: version since which the student is on the roster. ``taken_at``: when the broker took the source record
    of the last activity, in seconds; 0 if there was none.
    """

    kind: str
    student: str
    version: int
    fields: tuple[str, ...] = ()
    enrolled: int = 0
    taken_at: float = 0.0


class Roster(NamedTuple):
    """A student's roster entry: ``fields`` are department and course."""

    student: str
    version: int
    fields: tuple[str, ...]
    kind: str = "roster"


class Rating(NamedTuple):
    """A rating change; ``id`` and ``fields`` are those of its entry on the stream, ``at`` its time in milliseconds."""

    student: str
    partition: int
    version: int
    doc: str
    id: str
    fields: tuple[str, ...]
    at: int


class Entry(NamedTuple):
    """A closed day or an alert; ``name`` is its field, ``oldest`` the day before which fields of that hash go."""

    student: str
    name: str
    version: int
    doc: str
    oldest: str


class Closed(NamedTuple):
    """A partition's last closed day (empty before the first) and the feeds that are behind."""

    partition: int
    version: int
    day: str
    stale: str


@dataclass
class Batch:
    """What some records lead to; of several about one thing, the newest."""

    rosters: dict[str, Roster] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    ratings: list[Rating] = field(default_factory=list)
    days: dict[tuple[str, str], Entry] = field(default_factory=dict)
    alerts: dict[tuple[str, str], Entry] = field(default_factory=dict)
    closed: dict[int, Closed] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)


_Student = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Iso = Annotated[str, msgspec.Meta(pattern=r"^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$", max_length=10)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)]


class _Day(msgspec.Struct):
    student: _Student
    day: _Iso
    version: _Version


class _Alert(msgspec.Struct):
    student: _Student
    alert: _Name
    closed_day: _Iso
    version: _Version
    state: Literal["opened", "superseded", "closed"]


class _Rating(msgspec.Struct):
    student: _Student
    rating: Band | None
    previous: Band | None
    cause: Literal["activity", "late_activity", "correction", "close", "roster"]
    department: _Name | None
    course: _Name | None
    version: _Version


class _Codes(msgspec.Struct):
    department: _Name | None = None
    course: _Name | None = None


_decode_day = decoder(_Day)
_decode_alert = decoder(_Alert)
_decode_rating = decoder(_Rating)
_decode_codes = decoder(_Codes)

_DAY_TYPE = TYPES["day"].encode()


Fetched = Iterable[tuple[TopicPartition, Sequence[Any]]]
"""Records by partition."""


class Reader:
    """Reads records into batches."""

    def __init__(self, topics: Topics) -> None:
        """Name the topics."""
        self._read: dict[str, Callable[[Fetched, Batch], None]] = {
            topics.engagement.name: _read_state,
            topics.days.name: _each(_read_day),
            topics.ratings.name: _each(_read_rating),
            topics.alerts.name: _each(_read_alert),
        }

    @property
    def topics(self) -> list[str]:
        """The topics to read."""
        return list(self._read)

    def read(self, fetched: Fetched) -> Batch:
        """Read records (each partition's in log order). What cannot be read is among the letters.

        Raises:
            CodecError: a state record that this release does not know.
        """
        batch = Batch()
        by_topic: dict[str, list[tuple[TopicPartition, Sequence[Any]]]] = {}
        for tp, records in fetched:
            by_topic.setdefault(tp.topic, []).append((tp, records))
        for topic, some in by_topic.items():
            self._read[topic](some, batch)
        return batch


def _singly(fetched: Fetched) -> Iterable[tuple[TopicPartition, Any]]:
    return ((tp, record) for tp, records in fetched for record in records)


def _each(read: Callable[[Any, TopicPartition, Batch], None]) -> Callable[[Fetched, Batch], None]:
    def read_all(fetched: Fetched, batch: Batch) -> None:
        for tp, record in _singly(fetched):
            try:
                read(record, tp, batch)
            except ValueError as error:
                batch.letters.append(_letter(record, tp, error))

    return read_all


def _letter(record: Any, tp: TopicPartition, error: Exception) -> DeadLetter:
    # The text of another error may quote the record.
    reason = why(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
    return DeadLetter(
        tp.topic,
        tp.partition,
        record.offset,
        record.timestamp,
        STAGE,
        reason,
        record.key,
        record.value,
        list(record.headers),
    )


def _document(value: bytes, **said: str | int) -> str:
    """Return a record's JSON as it goes to Redis, where scripts look these fields up in the text.

    Raises:
        msgspec.DecodeError: they would find something else there: it is not written as engagement writes it.
    """
    for name, wanted in said.items():
        text = b"%d" % wanted if isinstance(wanted, int) else b'"%s"' % wanted.encode()
        _, _, rest = value.partition(b'"%s":' % name.encode())
        if not rest.startswith(text) or rest[len(text) : len(text) + 1] not in {b",", b"}"}:
            raise msgspec.DecodeError(f"{name}: not in the form in which engagement writes it")
    return value.decode()


def _read_day(record: Any, _: TopicPartition, batch: Batch) -> None:
    if record.value is None or find(record.headers, TYPE) != _DAY_TYPE:
        return
    day = _decode_day(record.value)
    oldest = (date.fromisoformat(day.day) - timedelta(DAYS_KEPT)).isoformat()
    entry = Entry(day.student, day.day, day.version, _document(record.value, version=day.version), oldest)
    _keep_newer(batch.days, (day.student, day.day), entry)


def _read_alert(record: Any, _: TopicPartition, batch: Batch) -> None:
    if record.value is None:
        return
    alert = _decode_alert(record.value)
    oldest = (date.fromisoformat(alert.closed_day) - timedelta(ALERT_DAYS)).isoformat()
    doc = _document(record.value, version=alert.version, closed_day=alert.closed_day, state=alert.state)
    entry = Entry(alert.student, alert.alert, alert.version, doc, oldest)
    _keep_newer(batch.alerts, (alert.student, alert.alert), entry)


def _keep_newer(held: dict[Any, Any], key: Any, new: Any) -> None:
    old = held.get(key)
    if old is not None:
        if old.version > new.version:
            return
        del held[key]  # the newest stands where it came: days are trimmed in the order of the log
    held[key] = new


def _read_rating(record: Any, tp: TopicPartition, batch: Batch) -> None:
    if record.value is None:
        return
    change = _decode_rating(record.value)
    fields = (
        "student", change.student,
        "version", str(change.version),
        "rating", change.rating or NOT_RATED,
        "previous", change.previous or NOT_RATED,
        "cause", change.cause,
        "department", change.department or "",
        "course", change.course or "",
        "at", str(record.timestamp),
    )  # fmt: skip
    stream_id = f"{epoch_of(change.version)}-{record.offset + 1}"  # 0-0 is no id
    batch.ratings.append(
        Rating(
            change.student,
            tp.partition,
            change.version,
            _document(record.value, version=change.version),
            stream_id,
            fields,
            record.timestamp,
        )
    )


def _read_state(fetched: Fetched, batch: Batch) -> None:
    """Rows and roster entries of students, and the partition's own row; once-keys and markers say nothing to us.

    Nor does the tombstone of a roster entry: the student's row says that it was removed, and then its own tombstone.

    Rows of all partitions are decoded together: of a hundred partitions each may have one.
    """
    newest: dict[bytes, tuple[int, bytes | None, int]] = {}
    for tp, record in _singly(fetched):
        key, value = record.key, record.value
        if not key:
            batch.letters.append(_letter(record, tp, CodecError()))
            continue
        if key[0] >= FIRST_STUDENT_BYTE:
            try:
                new = version_of(key, value, record.headers)
                key.decode()
            except ValueError as error:
                batch.letters.append(_letter(record, tp, error))
                continue
            if key not in newest or new >= newest[key][0]:
                newest[key] = new, value, tp.partition
        elif value is not None:
            try:
                _read_own(tp.partition, key, value, batch)
            except ValueError as error:
                batch.letters.append(_letter(record, tp, error))
    groups: dict[bytes, list[tuple[str, bytes, int]]] = {}
    for key, (new, value, partition) in newest.items():
        student = key.decode()
        if value is None:
            _keep_newer(batch.standings, student, Standing("removed", student, new))
        else:
            groups.setdefault(value[2:4], []).append((student, value, partition))
    for prefix, found in groups.items():
        _read_rows(prefix, found, batch)


def _read_own(partition: int, key: bytes, value: bytes, batch: Batch) -> None:
    if key == KEY_PARTITION:
        row = decode_partition(value)
        stale = orjson.dumps({feed: _iso_day(day) for feed, day in row.stale.items()}).decode()
        closed = Closed(
            partition, version(row.epoch, max(row.offset, 0)), _iso_day(row.anchor) if row.closed else "", stale
        )
        _keep_newer(batch.closed, partition, closed)
    elif key.startswith(KEY_ROSTER):
        student, codes = key[1:].decode(), _decode_codes(value[8:])
        if not student:
            raise CodecError("a roster entry of nobody")
        fields = ("department", codes.department or "", "course", codes.course or "")
        _keep_newer(batch.rosters, student, Roster(student, version_of(key, value, ()), fields))


def _read_rows(prefix: bytes, found: list[tuple[str, bytes, int]], batch: Batch) -> None:
    students, values, partitions = zip(*found, strict=True)
    if len(prefix) < 2 or prefix[1] < prefix[0]:
        msg = f"state record of {len(values[0])} bytes that names windows {prefix.hex() or 'none'}"
        raise CodecError(msg)
    window, longest = prefix
    rows = decode_rows(list(values), window, longest)
    for standing in standings(students, rows, window, partitions):
        _keep_newer(batch.standings, standing.student, standing)


def standings(students: Sequence[str], rows: Row, window: int, partitions: Sequence[int]) -> list[Standing]:
    """Return the views of students, given their rows (all of one window) and each one's partition."""
    days = _days(rows, window)
    since, fresh = _instants(rows["since_at"]), _instants(rows["recorded_at"])
    alerted = np.any(rows["spells"] != NEVER, axis=1).tolist()
    column = {name: rows[name].tolist() for name in rows.dtype.names or () if name not in {"counts", "older"}}
    result = []
    for i, student in enumerate(students):
        rating, reason, closed = column["rating"][i], column["reason"][i], column["closed_rating"][i]
        active = column["last_active"][i]
        doc = {
            "days": days[i],
            "closed_score": round(column["closed_score"][i], 6) if closed >= 0 else None,
            "window_end": _iso_day(column["window_end"][i]) if rating >= 0 else None,
            "last_active": _iso_day(active) if active != NEVER else None,
            "recorded_at": fresh[i] if column["recorded_at"][i] > 0 else None,
            "open": _open_spells(column["spells"][i]) if alerted[i] else [],
        }
        fields = (
            "rating", BANDS[rating] if rating >= 0 else NOT_RATED,
            "reason", REASONS[reason] if reason >= 0 else "",
            "score", repr(round(column["score"][i], 6)) if rating >= 0 else "",
            "since", since[i],
            "closed_day", _iso_day(column["anchor"][i]),
            "closed_rating", BANDS[closed] if closed >= 0 else NOT_RATED,
            "partition", str(partitions[i]),
            "enrolled", str(max(column["enrolled"][i], 0)),
            "doc", orjson.dumps(doc).decode(),
        )  # fmt: skip
        kind, enrolled, taken_at = (
            "removed" if column["removed"][i] else "row",
            column["enrolled"][i],
            column["recorded_at"][i],
        )
        result.append(Standing(kind, student, column["version"][i], fields, enrolled, taken_at))
    return result


def _days(rows: Row, window: int) -> list[list[dict[str, Any]]]:
    """Return each row's last ``window`` days, oldest first: up to the last one with a count, at least up to the anchor.

    Slots of a row, window 7 (a: anchor, the last closed day)::

        a-6  a-5  a-4  a-3  a-2  a-1   a   a+1  a+2
         0    1    2    3    4    5    6    7    8
    """
    counts = rows["counts"]
    n, slots = counts.shape[:2]
    used = np.any(counts, axis=2)
    last = np.maximum(slots - 1 - used[:, ::-1].argmax(axis=1), window - 1)
    last[~np.any(used, axis=1)] = window - 1
    which, slot, activity = np.nonzero(counts)
    found: list[list[dict[str, int]]] = [[{} for _ in range(slots)] for _ in range(n)]
    values = counts[which, slot, activity].tolist()
    for i, s, a, value in zip(which.tolist(), slot.tolist(), activity.tolist(), values, strict=True):
        found[i][s][ACTIVITIES[a]] = value
    first = (rows["anchor"] - window + 1).tolist()
    return [
        [{"day": _iso_day(day + s), "counts": by_slot[s]} for s in range(end - window + 1, end + 1)]
        for day, by_slot, end in zip(first, found, last.tolist(), strict=True)
    ]


def _open_spells(spells: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "kind": "low_engagement" if spell == _LOW_ENGAGEMENT else "no_activity",
            "step": 1 if spell == _LOW_ENGAGEMENT else spell + 1,
            "opened_for": _iso_day(day),
        }
        for spell, day in enumerate(spells)
        if day != NEVER
    ]


def _instants(seconds: Any) -> list[str]:
    """Return instants as RFC 3339 in UTC, with milliseconds."""
    moments = np.round(seconds * 1000).astype("datetime64[ms]")
    text: list[str] = np.datetime_as_string(moments, timezone="UTC").tolist()
    return text


@lru_cache(4096)
def _iso_day(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()
