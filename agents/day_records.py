"""The state's records of what is kept by day (once-keys, evidence): a small one a batch, merged when they are many.

Few batches a second must not leave millions of tiny records to recover from; today's batch rewrites today's only.
"""

from typing import NamedTuple

import numpy as np

from agents.evidence import Message
from schemas.state import CodecError
from windows.by_day import Array, ByDay

# A day's records are merged when there are this many of them, or one for 256 entries if that is more.
_MERGE_AT = 256
_NUMBERS_A_RECORD = 32_768


class New(NamedTuple):
    """What one batch adds to a day: entries of log records ``first`` to ``last``."""

    day: int
    first: int
    last: int
    entries: Array


class DayRecords:
    """The names of the records that hold the entries of each day.

    ``prefix``: what their keys begin with. ``shape``: of one entry, ``()`` for a number.
    """

    def __init__(self, prefix: bytes, shape: tuple[int, ...] = (), names: dict[int, list[bytes]] | None = None) -> None:
        """Know of none, or of ``names``."""
        self.prefix = prefix
        self._shape = shape
        self.names: dict[int, list[bytes]] = {} if names is None else names

    def copy(self) -> "DayRecords":
        """Return a copy that can be changed without this one."""
        return DayRecords(self.prefix, self._shape, {day: list(names) for day, names in self.names.items()})

    def load(self, key: bytes, value: bytes) -> tuple[int, Array]:
        """Take note of a record; returns its day and entries.

        Raises:
            CodecError: it is none of ours.
        """
        number = key[len(self.prefix) :].partition(b"/")[0]
        numbers = int(np.prod(self._shape))
        if not number.isdigit() or len(number) > 5 or len(value) % (8 * numbers):
            raise CodecError("entries of a day: not in the form in which they are written")
        day = int(number)
        self.names.setdefault(day, []).append(key)
        return day, np.frombuffer(value, "<i8").reshape(-1, *self._shape)

    def write(
        self,
        new: list[New],
        oldest: int,
        offset: int,
        held: ByDay,
        fresh: ByDay,
    ) -> list[Message]:
        """Return what to write for a batch that ends at ``offset``; days before ``oldest`` leave.

        ``held`` is what was known before the batch, ``fresh`` what is new with it.
        """
        out: list[Message] = []
        for day, first, last, entries in new:
            if day >= oldest:
                written = self._records(day, f"{first}-{last}", entries)
                self.names.setdefault(day, []).extend(key for key, _ in written)
                out += [(key, value, []) for key, value in written]
        for day in [d for d in self.names if d < oldest]:
            out += [(key, None, []) for key in self.names.pop(day)]
        for day, names in self.names.items():
            # Counted first: to put a million entries in order takes longer than a hundred batches.
            if len(names) >= max(_MERGE_AT, (held.count(day) + fresh.count(day)) // 256):
                written = self._records(day, str(offset), held.merged(held.of(day), fresh.of(day)))
                out += [(key, value, []) for key, value in written]
                out += [(key, None, []) for key in names]
                names[:] = [key for key, _ in written]
        return out

    def _records(self, day: int, name: str, entries: Array) -> list[tuple[bytes, bytes]]:
        step = _NUMBERS_A_RECORD // int(np.prod(self._shape))
        return [
            (self.prefix + f"{day}/{name}/{start}".encode(), entries[start : start + step].astype("<i8").tobytes())
            for start in range(0, len(entries), step)
        ]
