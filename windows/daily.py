"""Daily counts: the tumbling windows of one civil day, a slot each.

::

    slot      0     1    ...   w-1  |   w    w+1
    day     C-w+1 C-w+2  ...    C   |  C+1   C+2        C = anchor, the last closed day; C+1 and C+2 are open
            <----- closed window ->   <- open ->

An activity of a day in the slots counts there (a closed day is thereby *restated*); one before them is *late beyond the
window*; one after them makes its partition close the missing days first.
"""

from typing import Any

import numpy as np

from schemas.state import NEVER, Row
from windows.scoring import Rules, day_scores

OPEN_DAYS = 2
"""Days after the last closed one that have a slot."""
_TOP = 65535
_BITS = 64


def add(rows: Row, index: Any, slot: Any, activity: Any, count: Any) -> None:
    """Add ``count[i]`` (what is taken back is below zero) to ``rows[index[i]]`` at ``slot[i]``, ``activity[i]``.

    A count stays between 0 and 65,535.
    """
    # 64 bits: a batch of a hundred thousand of the largest count would wrap 32.
    wide = rows["counts"].astype(np.int64)
    np.add.at(wide, (index, slot, activity), count)
    rows["counts"] = np.clip(wide, 0, _TOP)


def advance(rows: Row, rules: Rules, window: int, anchor: int, to: int) -> None:
    """Move rows from ``anchor`` to the later anchor ``to``, in place.

    Slots shift, days leave, scores of left days are kept.

    Ratings and spells are untouched: this is what merely passes when days close.
    """
    # Further on nothing changes any more: no count, score or active day is left. A row may be years old.
    enough = max(window + OPEN_DAYS + rows["older"].shape[1], OPEN_DAYS + _BITS)
    for day in range(anchor + 1, min(to, anchor + enough) + 1):
        leaving = day - window
        if rows["older"].shape[1]:
            shares, targets = rules.weights(range(leaving, leaving + 1))
            score = day_scores(rows["counts"][:, 0], shares[0], targets[0])
            rows["older"] = np.concatenate([rows["older"][:, 1:], score[:, None]], axis=1)
        active = rows["counts"][:, window].any(axis=1)
        rows["active"] = (rows["active"] << np.uint64(1)) | active.astype(np.uint64)
        rows["last_active"] = np.where(active, np.maximum(rows["last_active"], day), rows["last_active"])
        rows["counts"] = np.concatenate([rows["counts"][:, 1:], np.zeros_like(rows["counts"][:, :1])], axis=1)
    rows["anchor"] = to


def mark_active(rows: Row, day: Any, anchor: int) -> None:
    """Note activity on the closed days ``day[i]`` of ``rows[i]``.

    The bitmap reaches 64 days back, ``last_active`` further.
    """
    back = anchor - np.asarray(day, np.int64)
    reached = (back >= 0) & (back < 64)
    bit = np.left_shift(np.uint64(1), np.where(reached, back, 0).astype(np.uint64))
    rows["active"] |= np.where(reached, bit, np.uint64(0))
    rows["last_active"] = np.maximum(rows["last_active"], np.where(back >= 0, day, NEVER))


def mark_idle(rows: Row, day: Any, anchor: int) -> None:
    """Note that nothing is left of the closed days ``day[i]`` (of the window) of ``rows[i]``.

    ``last_active`` becomes the last active day of the 64 that the bitmap reaches.
    """
    bit = np.left_shift(np.uint64(1), (anchor - np.asarray(day, np.int64)).astype(np.uint64))
    rows["active"] &= ~bit
    for i in np.flatnonzero(rows["last_active"] == day).tolist():
        active = int(rows["active"][i])
        # The lowest bit is the latest day.
        rows["last_active"][i] = anchor - ((active & -active).bit_length() - 1) if active else NEVER
