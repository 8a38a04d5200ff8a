"""In which order the sink writes what it has fetched: activities before the rows of a day close.

A close writes the row of everybody in a partition, and what happens meanwhile stands behind them on the topic. Rows are
compared by version in Redis, so a newer one may come first: rows of which few have one version (activities) go at once,
rows of which very many do (a close) go in small parts behind all others. Everything else keeps its order: entries on a
stream of changes need it, and the partition's own row says that a day is closed, which must be true by then.

Where the sink is: at the first record that is not written. What was written beyond it does no harm when it comes again.
"""

from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from schemas.state import FIRST_STUDENT_BYTE
from streams.column_table import version_of

_FEW = 1_000
"""Records of a partition that are not worth any distinction."""
_CLOSE = 200
"""So many rows of one version in a fetch are those of a close, or of another step over very many."""
_PARTS = 5
"""The slow lanes together get this share of a batch."""
_MOST = 200_000
"""Records of a partition that may wait in memory, some hundred bytes each; then no more are fetched."""


class Taken(NamedTuple):
    """Records to be written, and where each partition is once they are (if that is further than before)."""

    records: dict[TopicPartition, list[Any]]
    ends: dict[TopicPartition, int]


class _Lanes:
    """What waits of one partition. ``many``: versions that very many rows have, until all of them are taken."""

    def __init__(self) -> None:
        self.fast: deque[Any] = deque()
        self.slow: deque[Any] = deque()
        self.many: set[int] = set()
        self.end = 0

    def __len__(self) -> int:
        return len(self.fast) + len(self.slow)

    @property
    def reached(self) -> int:
        heads = [lane[0].offset for lane in (self.fast, self.slow) if lane]
        return min(heads) if heads else self.end


class Lanes:
    """What was fetched and is not yet written, by partition."""

    def __init__(self, rows_topic: str) -> None:
        """Begin empty; ``rows_topic`` is the one whose records are compared by version, whatever their order."""
        self._rows_topic = rows_topic
        self._of: dict[TopicPartition, _Lanes] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return any(map(len, self._of.values()))

    def waits(self, tp: TopicPartition) -> bool:
        """Whether anything of a partition waits."""
        return tp in self._of and len(self._of[tp]) > 0

    def full(self, tp: TopicPartition) -> bool:
        """Whether so much of a partition waits that no more should be fetched."""
        return tp in self._of and len(self._of[tp]) >= _MOST

    def forget(self, tp: TopicPartition | None = None) -> None:
        """Drop what waits of a partition, or of all: it is fetched again from elsewhere."""
        if tp is None:
            self._of.clear()
        else:
            self._of.pop(tp, None)

    def put(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        """Take over records of one fetch, in log order."""
        lanes = self._of.setdefault(tp, _Lanes())
        lanes.end = records[-1].offset + 1
        if tp.topic != self._rows_topic or len(lanes) + len(records) <= _FEW:
            lanes.slow.extend(records)
            return
        versions = [_version(record) for record in records]
        lanes.many |= {version for version, n in Counter(versions).items() if version is not None and n >= _CLOSE}
        for record, version in zip(records, versions, strict=True):
            fast = version is not None and version not in lanes.many
            (lanes.fast if fast else lanes.slow).append(record)

    def take(self, most: int) -> Taken:
        """Return what to write next: not much more than ``most`` records, and something if anything waits."""
        taken = Taken({}, {})
        waiting = {tp: lanes for tp, lanes in self._of.items() if lanes}
        short = {tp: lanes.slow for tp, lanes in waiting.items() if 0 < len(lanes.slow) <= _FEW}
        long = {tp: lanes.slow for tp, lanes in waiting.items() if len(lanes.slow) > _FEW}
        for group, share in (
            ({tp: lanes.fast for tp, lanes in waiting.items() if lanes.fast}, most),
            (short, most),
            (long, most // _PARTS if len(waiting) > 1 or any(lanes.fast for lanes in waiting.values()) else most),
        ):
            each = max(1, share // max(1, len(group)))
            for tp, lane in group.items():
                before = taken.records.setdefault(tp, [])
                before.extend(islice(lane, each))
                for _ in range(min(each, len(lane))):
                    lane.popleft()
        for tp in taken.records:
            lanes = waiting[tp]
            taken.ends[tp] = lanes.reached
            if not lanes.slow:
                lanes.many.clear()
        return taken


def _version(record: Any) -> int | None:
    """Return the version of a student's row; None for what is no row, or none that can be read."""
    if not record.key or record.key[0] < FIRST_STUDENT_BYTE or record.value is None:
        return None
    try:
        return version_of(record.key, record.value, ())
    except ValueError:
        return None
