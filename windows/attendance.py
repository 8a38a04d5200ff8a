"""Attendance: the evidence of who was at which teaching event, so that one piece can be taken back and another stands.

A student may tap at two doors, and join the webinar of the same event, too: that is one attendance, for as long as any
piece of its evidence stands. It counts as the activity of the earliest piece that stands::

    log      tap A   join B   tap A taken back   join B taken back
    counts   tap_in  tap_in   zoom               nothing

Kept by day, a row of three numbers a piece (24 bytes).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from schemas.activities import ACTIVITIES
from windows.by_day import Array, ByDay

Evidence = Array
"""Rows of (attendance, order, piece), by attendance.

``attendance``: keyed hash of event and student. ``order``: :func:`order` of what the log said. ``piece``: the once-key
of the piece, or its complement (``~``, below zero) where it was taken back.
"""
_NONE: Evidence = np.zeros((0, 3), np.int64)

Pieces = list[tuple[int, int]]
"""What the log has said of one attendance: (order, piece)."""


def order(offset: int, activity: int) -> int:
    """Return where in the log a piece stands, and the code of the activity that it is of, in one number."""
    return offset << 8 | activity


def counts_as(pieces: Pieces) -> int | None:
    """Return the code of the activity that an attendance counts as; None: nothing of its evidence stands."""
    back = {~piece for _, piece in pieces if piece < 0}
    standing = [place for place, piece in pieces if piece >= 0 and piece not in back]
    return min(standing) & 0xFF if standing else None


class Attendances(ByDay):
    """The evidence of one partition by day."""

    def __init__(self) -> None:
        """Know nothing."""
        super().__init__(_NONE, merged)

    def pieces(self, day: int, attendances: Any) -> dict[int, Pieces]:
        """Return what is known of some attendances of a day; those of which nothing is known are left out."""
        found: dict[int, Pieces] = {}
        for part in self.parts(day):
            first = np.searchsorted(part[:, 0], attendances, "left")
            last = np.searchsorted(part[:, 0], attendances, "right")
            for i in np.flatnonzero(last > first).tolist():
                known = found.setdefault(int(attendances[i]), [])
                known += [(place, piece) for place, piece in part[first[i] : last[i], 1:].tolist()]
        return found

    def of_piece(self, day: int, piece: int) -> int | None:
        """Return the attendance that a piece of a day is evidence of; None: it is not held. Looks at all of the day."""
        for part in self.parts(day):
            found = np.flatnonzero(part[:, 2] == piece)
            if len(found):
                return int(part[found[0], 0])
        return None


def plausible(evidence: Evidence) -> bool:
    """Whether :func:`rows` may have made it; of an activity that there is not, nothing could be counted."""
    return bool((evidence[:, :2] >= 0).all() and (evidence[:, 1] & 0xFF < len(ACTIVITIES)).all())


def rows(pieces: Iterable[tuple[int, int, int]]) -> Evidence:
    """Return (attendance, order, piece) as evidence."""
    return merged(_NONE, np.array(list(pieces), np.int64).reshape(-1, 3))


def merged(left: Evidence, right: Evidence) -> Evidence:
    """Return both, by attendance. A piece that stands in both, of a batch that was half written, stands twice."""
    both = np.concatenate([left, right])
    return both[np.argsort(both[:, 0], kind="stable")]
