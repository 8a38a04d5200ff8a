"""Claims on hashed keys in columns: 20 bytes each, so that an intake process holds 17 million of them.

The columns are sorted by hash, and claims on one hash by age, so the first that covers a day holds on it. Changed
hashes stand in a small dictionary before them, each with all its claims, which is merged when it has grown: a change
costs microseconds, and a merge copies the columns once. What a table says depends on the claims it holds alone, never
on the order in which they came.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SINCE_EVER = 0
FOR_EVER = 65535

_DELTA_LEAST = 65_536
_DELTA_SHARE = 64


class Held(NamedTuple):
    """A claim as the table holds it: days by number, ``student`` by index; its order is the order of age."""

    claimed: int
    student_id: bytes
    first: int
    last: int
    student: int


class Found(NamedTuple):
    """Who holds keys: the student's index (-1: nobody), and when it was claimed."""

    student: Array
    claimed: Array


class IdentityTable:
    """Claims by hash. Days are numbers from 1 to 65534; a first day of 0 is since ever, a last of 65535 for ever."""

    def __init__(self, delta_least: int = _DELTA_LEAST) -> None:
        """Begin empty; up to ``delta_least`` changed hashes wait for a merge."""
        self.students: list[bytes] = []
        self._indexes: dict[bytes, int] = {}
        self._delta_least = delta_least
        self._delta: dict[int, tuple[Held, ...]] = {}
        self._size = 0
        self._hash: Array = np.empty(0, np.uint64)
        self._student: Array = np.empty(0, np.int32)
        self._claimed: Array = np.empty(0, np.uint32)
        self._first: Array = np.empty(0, np.uint16)
        self._last: Array = np.empty(0, np.uint16)

    def __len__(self) -> int:
        """Return how many claims it holds."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(column.nbytes for column in (self._hash, self._student, self._claimed, self._first, self._last))

    def put(self, digest: int, student: bytes, first: int, last: int, claimed: int) -> None:
        """Hold a claim; one of the same student with the same first day is replaced."""
        index = self._indexes.get(student)
        if index is None:
            index = self._indexes[student] = len(self.students)
            self.students.append(student)
        before = self._claims(digest)
        claim = Held(claimed, student, first, last, index)
        self._change(digest, before, [claim, *_without(before, student, first)])

    def drop(self, digest: int, student: bytes, first: int) -> None:
        """Forget a claim, if it is held."""
        before = self._claims(digest)
        self._change(digest, before, _without(before, student, first))

    def get(self, digest: int, student: bytes, first: int) -> Held | None:
        """Return a claim, or None."""
        return next((c for c in self._claims(digest) if (c.student_id, c.first) == (student, first)), None)

    def rival(self, digest: int, student: bytes, first: int, last: int, claimed: int) -> bool:
        """Say whether an older claim of another student holds the key on one of these days."""
        return any(
            (c.claimed, c.student_id) < (claimed, student)
            for c in self._claims(digest)
            if c.student_id != student and c.first <= last and first <= c.last
        )

    def find(self, digests: Array, days: Array) -> Found:
        """Return who holds each key (uint64) on its day."""
        found = Found(np.full(len(digests), -1, np.int32), np.zeros(len(digests), np.uint32))
        if len(self._hash):
            self._find_in_columns(digests, days, found)
        if self._delta:
            for i, digest in enumerate(digests.tolist()):
                claims = self._delta.get(digest)
                if claims is not None:
                    holder = next((c for c in claims if c.first <= days[i] <= c.last), None)
                    found.student[i], found.claimed[i] = (holder.student, holder.claimed) if holder else (-1, 0)
        return found

    def _find_in_columns(self, digests: Array, days: Array, found: Found) -> None:
        left = np.arange(len(digests))
        at = np.searchsorted(self._hash, digests)
        while len(left):
            at_end = at == len(self._hash)
            at[at_end] = 0
            same = (self._hash[at] == digests[left]) & ~at_end
            covers = same & (self._first[at] <= days[left]) & (days[left] <= self._last[at])
            found.student[left[covers]] = self._student[at[covers]]
            found.claimed[left[covers]] = self._claimed[at[covers]]
            on = same & ~covers
            left, at = left[on], at[on] + 1

    def _claims(self, digest: int) -> tuple[Held, ...]:
        """Return all claims on a hash, the oldest first."""
        changed = self._delta.get(digest)
        if changed is not None:
            return changed
        stop = start = int(self._hash.searchsorted(np.uint64(digest)))
        while stop < len(self._hash) and self._hash[stop] == digest:
            stop += 1
        return tuple(self._held(row) for row in range(start, stop))

    def _held(self, row: int) -> Held:
        student = int(self._student[row])
        return Held(
            int(self._claimed[row]), self.students[student], int(self._first[row]), int(self._last[row]), student
        )

    def _change(self, digest: int, before: Sequence[Held], claims: list[Held]) -> None:
        self._size += len(claims) - len(before)
        self._delta[digest] = tuple(sorted(claims))
        if len(self._delta) > max(self._delta_least, len(self._hash) // _DELTA_SHARE):
            self.merge()

    def merge(self) -> None:
        """Move what has changed into the columns."""
        changed = np.array(sorted(self._delta), np.uint64)
        rows = [(digest, claim) for digest in changed.tolist() for claim in self._delta[digest]]
        at = np.searchsorted(changed, self._hash)
        at[at == len(changed)] = 0
        stay = changed[at] != self._hash if len(changed) else np.ones(len(self._hash), bool)
        new = np.array([digest for digest, _ in rows], np.uint64)
        place = np.searchsorted(self._hash[stay], new)
        # One column after the other, so that only one of them is there twice.
        self._hash = np.insert(self._hash[stay], place, new)
        self._student = np.insert(self._student[stay], place, [claim.student for _, claim in rows])
        self._claimed = np.insert(self._claimed[stay], place, [claim.claimed for _, claim in rows])
        self._first = np.insert(self._first[stay], place, [claim.first for _, claim in rows])
        self._last = np.insert(self._last[stay], place, [claim.last for _, claim in rows])
        self._delta = {}


def _without(claims: Sequence[Held], student: bytes, first: int) -> list[Held]:
    return [claim for claim in claims if (claim.student_id, claim.first) != (student, first)]
