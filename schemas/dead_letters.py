"""Dead letters.

The record's own key, value and headers untouched, and these headers that say where it failed and why.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.cloudevents import Headers, find, iso, number

TOPIC = "dlq.topic"
PARTITION = "dlq.partition"
OFFSET = "dlq.offset"
TIMESTAMP = "dlq.timestamp"
STAGE = "dlq.stage"
REASON = "dlq.reason"
FAILED_AT = "dlq.failed-at"

WHOLE_BATCH = "leap-batch"
"""Header of a letter that is a whole record batch, as it stood on the topic (:mod:`streams.inflation`); says why."""

REPLAY_OF = "leap-replay-of"
"""Header of a record that was sent again: which dead letter it is, as ``<topic>-<partition>/<offset>``."""

FIRST_RECORDED_AT = "leap-first-recorded-at"
"""Header beside it: when the broker had appended the record first, in milliseconds since 1970."""

REPLAYED = "dlq.replayed"
"""Header of a note on the dead-letter topic, which has neither key nor value: the letter at this offset of the same
partition was sent again."""

REPLAYED_AT = "dlq.replayed-at"
"""Header beside it: when."""

_ADDED = frozenset((TOPIC, PARTITION, OFFSET, TIMESTAMP, STAGE, REASON, FAILED_AT))
_REASON_BYTES = 500


class DeadLetter(NamedTuple):
    """One record that could not be used.

    ``timestamp``: the record's own, in milliseconds since 1970; ``stage``: intake, roster, identities, timetable,
    engagement or readmodel; ``reason`` never quotes the record.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    stage: str
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    def message(self, failed_at: float) -> tuple[bytes | None, bytes | None, Headers]:
        """Return what goes to the dead-letter topic."""
        added = [
            (TOPIC, self.topic.encode()),
            (PARTITION, b"%d" % self.partition),
            (OFFSET, b"%d" % self.offset),
            (TIMESTAMP, b"%d" % self.timestamp),
            (STAGE, self.stage.encode()),
            (REASON, self.reason.encode()[:_REASON_BYTES]),
            (FAILED_AT, iso(failed_at).encode()),
        ]
        return self.key, self.value, [*self.headers, *added]


class Origin(NamedTuple):
    """What a dead letter's headers say of the record that it was.

    ``timestamp``: None in letters of releases that did not write it. ``headers``: the record's own.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    stage: str
    reason: str
    failed_at: float
    headers: Headers

    @property
    def position(self) -> str:
        """Where the record stood: ``<topic>-<partition>/<offset>``."""
        return f"{self.topic}-{self.partition}/{self.offset}"

    def first_recorded_at(self) -> int | None:
        """Return when the record was appended first, in milliseconds: if it is a replay, when the original was."""
        earlier = number(find(self.headers, FIRST_RECORDED_AT))
        return min((when for when in (self.timestamp, earlier) if when is not None), default=None)

    def headers_again(self, letter: str) -> Headers:
        """Return the headers with which the record is sent again: its own, and those that say that it is a replay.

        ``letter``: where the dead letter stands, ``<topic>-<partition>/<offset>``.
        """
        own = [header for header in self.headers if header[0] not in {REPLAY_OF, FIRST_RECORDED_AT}]
        first = self.first_recorded_at()
        since = [] if first is None else [(FIRST_RECORDED_AT, b"%d" % first)]
        return [*own, (REPLAY_OF, letter.encode()), *since]


def read_origin(headers: Sequence[tuple[str, bytes]]) -> Origin | None:
    """Read a dead letter's headers; None if it is none (a note that one was replayed, or somebody else's record).

    Ours stand last, so that a record whose own headers have such names cannot pose as another.
    """
    added: dict[str, str] = {}
    end = len(headers)
    while end and headers[end - 1][0] in _ADDED - added.keys():
        end -= 1
        added[headers[end][0]] = (headers[end][1] or b"").decode(errors="replace")
    try:
        return Origin(
            added[TOPIC],
            int(added[PARTITION]),
            int(added[OFFSET]),
            int(added[TIMESTAMP]) if TIMESTAMP in added else None,
            added[STAGE],
            added[REASON],
            datetime.fromisoformat(added[FAILED_AT]).timestamp(),
            list(headers[:end]),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def read_note(headers: Sequence[tuple[str, bytes]]) -> int | None:
    """Return the offset of the letter that a note says was replayed; None if it is no note."""
    return number(find(headers, REPLAYED))
