"""Records of the student log (``leap.student-log``), the one input of everything that decides.

The key is the student (control records, which concern a whole partition, have none); only our own producers write it.
One line of JSON each, told apart by ``kind``. The records are msgspec structs and not pydantic models because
engagement decodes a whole fetch of them in one call (4.0 M/s against 0.6 M/s measured); what people outside send is
pydantic (:mod:`schemas.students`).

Times are seconds of UTC since 1970 as a number; days are ISO dates of the institution's civil calendar.
Unknown fields are ignored, so that a writer of the next release can add one; an unknown ``kind`` is an error of
the record (dead letter), so that nothing that decides is skipped in silence.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from schemas.activities import Activity
from schemas.decoding import only_decode_errors

# What a partition remembers of its sources, feeds and closes stands in one row of its state, which must stay small.
_NAME = r"^[a-zA-Z0-9._-]+$"  # what Kafka allows in the name of a topic
SourcePartition = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=260)]
Feed = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=64)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10)]
MOST_BEHIND = 2_000
"""Source partitions that a close can name."""

Count = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(ge=-2_000_000_000, le=32_000_000_000)]
OnceKey = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Position(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a log record came from: the fence against counting a source record twice.

    ``source`` is ``<topic>-<partition>``; ``index`` numbers the log records that one source record gave (0, 1, ...).
    Within one source positions only rise in a partition of the log.
    """

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
    offset: Annotated[int, msgspec.Meta(ge=0, lt=1 << 47)]
    index: Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)] = 0


class ActivityRecord(msgspec.Struct, tag_field="kind", tag="activity", frozen=True, gc=False):
    """One activity of one student, counted on the civil day of ``at``.

    ``once``: keyed hash of what makes it one event at its source; a repeat within the window does not count again.
    ``attendance``: keyed hash of teaching event and student, where it is evidence of attendance: however many pieces of
    it come, the attendance counts one.
    ``recorded_at``: when the broker appended the source record (under a simulated clock: what that clock said, and
    ``taken_at`` is the broker's time, for the latency alone).
    """

    activity: Activity
    at: Seconds
    position: Position
    recorded_at: Seconds
    count: Count = 1
    once: OnceKey | None = None
    taken_at: Seconds | None = None
    attendance: OnceKey | None = None


class Retraction(msgspec.Struct, tag_field="kind", tag="retraction", frozen=True, gc=False):
    """The source takes an activity back: it says so with what the activity itself said.

    ``once`` names it; it may come before it, and twice. Other evidence of the same attendance stands.
    """

    activity: Activity
    at: Seconds
    position: Position
    recorded_at: Seconds
    once: OnceKey
    count: Count = 1
    taken_at: Seconds | None = None
    attendance: OnceKey | None = None


class StudentRecord(msgspec.Struct, tag_field="kind", tag="student", frozen=True):
    """The roster entry of one student, as in :class:`schemas.students.Student`; ``record`` null removes the student."""

    record: msgspec.Raw
    position: Position
    recorded_at: Seconds


class DayClosed(msgspec.Struct, tag_field="kind", tag="day-closed", frozen=True):
    """A partition's day is over. The first one of a (partition, day) wins; one before its day's end is ignored.

    ``policy`` and ``checksum`` name the policy in force on ``day`` (calendar included): a worker that lacks that very
    policy stops. ``behind``: source partitions that intake had not passed when the wait ran out.
    """

    day: Day
    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    checksum: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    recorded_at: Seconds
    behind: Annotated[tuple[SourcePartition, ...], msgspec.Meta(max_length=MOST_BEHIND)] = ()


class FeedState(msgspec.Struct, tag_field="kind", tag="feed-state", frozen=True):
    """A feed turned stale (silent for longer than its policy allows) or fresh again."""

    feed: Feed
    state: Literal["stale", "fresh"]
    recorded_at: Seconds


Record = ActivityRecord | Retraction | StudentRecord | DayClosed | FeedState

_decoder = msgspec.json.Decoder(Record)

decode = only_decode_errors(_decoder.decode)
"""One record's bytes to its struct; raises msgspec.DecodeError (ValidationError is one)."""

_decode_lines = only_decode_errors(_decoder.decode_lines)


def decode_many(values: Sequence[bytes]) -> list[Record] | None:
    """Decode many records in one call; None if one of them cannot be, or does not stand by itself.

    Joined, a value that ends in the middle of a record and one that begins there are a record, and a value may hold
    two: then records would be taken for those of their neighbours. Between ``}``, a line break and ``{`` no string and
    no list can go on, so if these stand at every border, and no other line break anywhere, each value is its own.
    """
    lines = b"\n".join(values)
    borders = len(values) - 1
    if lines[:1] != b"{" or lines[-1:] != b"}" or lines.count(b"}\n{") != borders or lines.count(b"\n") != borders:
        return None
    try:
        records = _decode_lines(lines)
    except msgspec.DecodeError:
        return None
    return records if len(records) == len(values) else None


encode = msgspec.json.Encoder().encode
"""A record to its bytes."""
