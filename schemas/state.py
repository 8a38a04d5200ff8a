r"""The engagement state's codec: what a row of ``leap.engagement`` (compacted) is made of, byte for byte.

Keys of a partition:

* ``<student>``: the student's row. Two bytes (codec version, layout), two more (window, longest window), then the
  packed little-endian struct of :func:`row_dtype`. A tombstone removes the row.
* ``\x01<student>``: the roster entry (JSON, :class:`schemas.students.Student`), prefixed by its version (8 bytes).
* ``\x02<day>/<first>-<last>/<n>``: once-keys of activities of a day, written by the log records ``first`` to ``last``
  (8 bytes each; the complement of a key says that its activity was taken back), from the ``n``-th on.
* ``\x04<day>/<first>-<last>/<n>``: evidence of attendance on a day, written likewise (24 bytes a piece,
  :data:`windows.attendance.Evidence`).
* ``\x00``: the partition's own row (:class:`PartitionRow`), the last record of every write.
* ``\x03``: a marker without content, which lets an idle partition compact.

A row is written as of ``anchor``, the last closed day then; whoever loads it later moves it on to today's anchor.
"""

from functools import cache
from typing import Any

import msgspec
import numpy as np

from schemas.activities import ACTIVITIES
from schemas.decoding import decoder
from schemas.outputs import BANDS, REASONS
from schemas.reasons import why
from schemas.version import MAX_EPOCH, MAX_VERSION, OFFSET_MASK

CODEC = 1
LAYOUT = 1
"""Layout 1: the eleven activities of :data:`ACTIVITIES`, window + 2 count slots, five alert spells."""

SPELLS = 5
"""Alert spells of a row: four steps of ``no_activity``, then ``low_engagement``."""

FIRST_DAY, LAST_DAY = 7305, 47481  # 1990-01-01 and 2099-12-31
"""The day numbers that there are; no civil day is laid out before or after."""

NEVER = -(1 << 31)
"""The day number that stands for no day."""

KEY_PARTITION = b"\x00"
KEY_ROSTER = b"\x01"
KEY_ONCE = b"\x02"
KEY_MARKER = b"\x03"
KEY_EVIDENCE = b"\x04"

FIRST_STUDENT_BYTE = 5
"""Keys that begin with a lower byte are the partition's own; no student id does."""

EARLIEST_LATEST = (-2_000_000_000.0, 32_000_000_000.0)
"""The instants that a record may carry, in seconds since 1970."""
_TOP_SCORE = 100.0 + 1e-6  # shares that add up to 100 do so but for the last digits

Row = np.ndarray[Any, np.dtype[np.void]]


class CodecError(ValueError):
    """A state record that this release does not know (version, layout) or that holds what none of ours ever wrote."""


class PartitionRow(msgspec.Struct):
    """What a partition knows besides its students; stands last in every write, so that what it says is complete.

    ``offset``: log records up to it are in the state. ``anchor``: last closed day (or, before the first close, the
    day before the first record). ``begun``: the anchor at the very beginning. ``sources``: highest position a source
    partition. ``policies``: version to checksum of every policy used so far. ``stale``: feed to the day it turned
    stale.
    """

    offset: int
    epoch: int
    anchor: int
    begun: int
    closed: bool
    sources: dict[str, tuple[int, int]]
    policies: dict[str, str]
    stale: dict[str, int]


encode_partition = msgspec.json.Encoder(order="deterministic").encode
_decode_partition = decoder(PartitionRow)


def decode_partition(value: bytes | None) -> PartitionRow:
    """Return a partition's own row.

    Raises:
        CodecError: it is none, or one with days, offsets or an epoch that there are not.
    """
    try:
        row = _decode_partition(value)
    except msgspec.DecodeError as error:
        raise CodecError(f"a partition's row: {why(error)}") from None
    days = [row.anchor, row.begun, *row.stale.values()]
    if not (0 <= row.epoch <= MAX_EPOCH and -1 <= row.offset <= OFFSET_MASK and all(map(_is_day, days))):
        raise CodecError("a partition's row: a number that is out of range")
    return row


def _is_day(day: int) -> bool:
    return FIRST_DAY - 1 <= day <= LAST_DAY


@cache
def row_dtype(window: int, longest: int) -> np.dtype[np.void]:
    """Return the struct of a row for a window of ``window`` days and a longest one (part-time) of ``longest``.

    ``counts[slot]`` is the day ``anchor - window + 1 + slot``: the window, then two open days (a day after midnight
    must not evict the oldest day before the close). ``older`` are the day scores before these, oldest first, back to
    the longest window. ``rating`` and ``closed_rating`` are band codes, -1 not rated; ``rating`` is live, the closed
    ones are of the close of ``anchor``. ``since``: version at which rating and reason took hold, ``since_at`` its time.
    ``recorded_at``: when the broker took the source record of the last activity (real time, even under a simulated
    clock).
    ``enrolled``: version of the roster record that brought the student onto the roster.
    ``removed``: 1 in the row that says that the student was removed; a tombstone follows once all of that write is
    there.
    ``active`` bit i: activity on day anchor - i. ``spells``: the day each open alert opened for, or NEVER.
    """
    return np.dtype(
        [
            ("version", "<i8"),
            ("enrolled", "<i8"),
            ("since", "<i8"),
            ("since_at", "<f8"),
            ("recorded_at", "<f8"),
            ("score", "<f8"),
            ("closed_score", "<f8"),
            ("active", "<u8"),
            ("anchor", "<i4"),
            ("window_end", "<i4"),
            ("last_active", "<i4"),
            ("rating", "i1"),
            ("reason", "i1"),
            ("closed_rating", "i1"),
            ("removed", "i1"),
            ("spells", "<i4", (SPELLS,)),
            ("counts", "<u2", (window + 2, len(ACTIVITIES))),
            ("older", "<f8", (longest - window,)),
        ]
    )


def blank_rows(n: int, window: int, longest: int, anchor: int) -> Row:
    """Return ``n`` rows of students of whom nothing is known yet."""
    rows = np.zeros(n, row_dtype(window, longest))
    rows["version"] = rows["enrolled"] = rows["since"] = -1
    rows["score"] = rows["closed_score"] = np.nan
    rows["anchor"] = rows["window_end"] = anchor
    rows["last_active"] = NEVER
    rows["rating"] = rows["reason"] = rows["closed_rating"] = -1
    rows["spells"] = NEVER
    return rows


def _prefix(window: int, longest: int) -> bytes:
    return bytes((CODEC, LAYOUT, window, longest))


def encode_rows(rows: Row, window: int, longest: int) -> list[bytes]:
    """Return each row's bytes."""
    prefix = _prefix(window, longest)
    blob = rows.tobytes()
    size = rows.dtype.itemsize
    return [prefix + blob[i : i + size] for i in range(0, len(blob), size)]


def decode_rows(values: list[bytes], window: int, longest: int) -> Row:
    """Return rows from bytes, in the layout of these windows (rows of another window are remapped by day).

    Raises:
        CodecError: unknown codec or layout, wrong length, or a field out of its range.
    """
    prefix = _prefix(window, longest)
    dtype = row_dtype(window, longest)
    size = dtype.itemsize + len(prefix)
    if all(value.startswith(prefix) and len(value) == size for value in values):
        rows = np.frombuffer(b"".join([value[len(prefix) :] for value in values]), dtype).copy()
    else:
        rows = np.concatenate([_decode_any(value, window, longest) for value in values])
    _check(rows)
    return rows


def _check(rows: Row) -> None:
    """Refuse what none of ours ever wrote.

    A day far away would keep recovery busy for ever, a code that there is not would end the read model.
    """
    ranges = {
        "anchor": (FIRST_DAY - 1, LAST_DAY),
        "window_end": (FIRST_DAY - 1, LAST_DAY),
        "rating": (-1, len(BANDS) - 1),
        "closed_rating": (-1, len(BANDS) - 1),
        "reason": (-1, len(REASONS) - 1),
        "removed": (0, 1),
        "since_at": EARLIEST_LATEST,
        "recorded_at": EARLIEST_LATEST,
        "version": (-1, MAX_VERSION),
        "enrolled": (-1, MAX_VERSION),
    }
    for name, (low, high) in ranges.items():
        if not ((rows[name] >= low) & (rows[name] <= high)).all():
            raise CodecError(f"state record: {name} is out of range")
    for name in ("last_active", "spells"):
        days = rows[name]
        if not ((days == NEVER) | ((days >= FIRST_DAY - 1) & (days <= LAST_DAY))).all():
            raise CodecError(f"state record: {name} is out of range")
    for name, rated in (("score", rows["rating"] >= 0), ("closed_score", rows["closed_rating"] >= 0)):
        scores = rows[name]
        if not (np.isnan(scores) ^ rated).all() or not ((scores >= 0) & (scores <= _TOP_SCORE))[rated].all():
            raise CodecError(f"state record: {name} is out of range")
    if not ((rows["older"] >= 0) & (rows["older"] <= _TOP_SCORE)).all():
        raise CodecError("state record: older is out of range")


def _decode_any(value: bytes, window: int, longest: int) -> Row:
    """One row of any window.

    Days that both windows hold keep their counts; scores older than the counts are kept by day.
    """
    if len(value) < 4 or value[:2] != bytes((CODEC, LAYOUT)):
        found = f"codec {value[:1].hex() or '?'}, layout {value[1:2].hex() or '?'}"
        msg = f"state record of {found}: this release reads codec 01, layout 01"
        raise CodecError(msg)
    was, reach = value[2], value[3]
    dtype = row_dtype(was, reach) if reach >= was else None
    if dtype is None or len(value) != dtype.itemsize + 4:
        msg = f"state record of window {was}/{reach} has {len(value)} bytes"
        raise CodecError(msg)
    old = np.frombuffer(value[4:], dtype)
    if (was, reach) == (window, longest):
        return old.copy()
    new = blank_rows(1, window, longest, 0)
    for name in dtype.names or ():
        if name not in {"counts", "older"}:
            new[name] = old[name]
    kept = min(was, window) + 2
    new["counts"][:, -kept:] = old["counts"][:, -kept:]
    return new
