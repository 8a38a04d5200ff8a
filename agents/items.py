"""What a batch of the student log is made of, and what it leads to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from agents.evidence import Message
from schemas import log


class Item(NamedTuple):
    """One record of the student log, decoded: ``appended`` is when the broker took it, in seconds.

    Under a simulated clock: what that clock said.
    """

    offset: int
    key: bytes | None
    appended: float
    record: log.Record


class Items:
    """Decoded records of the student log in columns, in log order; what an :class:`Item` is of one.

    ``offsets`` is an int64 and ``appended`` a float64 array.
    """

    def __init__(self, offsets: Any, keys: list[Any], appended: Any, records: list[log.Record]) -> None:
        """Take the columns."""
        self.offsets, self.keys, self.appended, self.records = offsets, keys, appended, records

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Items":
        """Return single records as a batch."""
        offsets, keys, appended, records = zip(*items, strict=True) if items else ((), (), (), ())
        return cls(np.array(offsets, np.int64), list(keys), np.array(appended, np.float64), list(records))

    @cached_property
    def kinds(self) -> set[type]:
        """The types of its records."""
        return set(map(type, self.records))

    def __len__(self) -> int:
        """Return how many records it has."""
        return len(self.records)

    def __getitem__(self, some: slice) -> "Items":
        """Return some of it."""
        return Items(self.offsets[some], self.keys[some], self.appended[some], self.records[some])

    def singly(self, some: slice) -> list[Item]:
        """Return some of its records one by one."""
        columns = (self.offsets[some].tolist(), self.keys[some], self.appended[some].tolist(), self.records[some])
        return [Item(*fields) for fields in zip(*columns, strict=True)]


class Rejected(NamedTuple):
    """A record that cannot be used, by its log offset, and why."""

    offset: int
    reason: str


@dataclass
class Effects:
    """What a batch leads to.

    Deliver ``days``, ``ratings`` and ``alerts``, then ``changelog`` in order, then call ``commit``.
    """

    days: list[Message] = field(default_factory=list)
    ratings: list[Message] = field(default_factory=list)
    alerts: list[Message] = field(default_factory=list)
    changelog: list[Message] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    activities: int = 0
    repeated: int = 0
    fenced: int = 0
    late: int = 0
    late_beyond: int = 0
    retracted: int = 0
    closed: list[int] = field(default_factory=list)
