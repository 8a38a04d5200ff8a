"""The topics: names, partitions and settings, declared once.

``leap topics create`` makes them, every worker checks them.

How long what stays (an erased student is gone everywhere within 28 days): the log and what comes in or goes out is
deleted after 21 days; compacted topics drop a tombstoned key within 3 + 7 days, on segments of one day.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_DAY_MS = 24 * 3600 * 1000
_DELETE = {
    "cleanup.policy": "delete",
    "retention.ms": str(21 * _DAY_MS),
    "segment.ms": str(_DAY_MS),
}
_COMPACT = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": str(3600 * 1000),
    "max.compaction.lag.ms": str(3 * _DAY_MS),
    "delete.retention.ms": str(7 * _DAY_MS),
    "segment.ms": str(_DAY_MS),
}
# The broker's clock judges early time stamps, and retention counts from it (an old event must not be deleted at once).
_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}

LARGEST_SOURCE_BYTES = 16 * 1024 * 1024
"""A source record may be this large on the topic, so that one too large to use reaches the dead letters whole."""

_LARGE = {"max.message.bytes": str(LARGEST_SOURCE_BYTES)}
_LARGER = {"max.message.bytes": str(LARGEST_SOURCE_BYTES + 64 * 1024)}


@dataclass(frozen=True)
class Topic:
    """One topic.

    ``by_student``: partitioned like the student log, so that a student has one partition number everywhere.
    """

    name: str
    description: str
    config: dict[str, str]
    by_student: bool = True

    @property
    def compacted(self) -> bool:
        """Whether only the last record of a key is kept."""
        return self.config["cleanup.policy"] == "compact"


class Topics:
    """All topics of an installation, under one prefix (``leap``, unless several share a cluster).

    >>> Topics("leap").student_log.name
    'leap.student-log'
    """

    def __init__(self, prefix: str = "leap", sources: tuple[str, ...] = ("oulad", "events")) -> None:
        """Name the topics; ``sources`` are the names of the source systems."""
        self.prefix = prefix
        self.students = Topic(
            f"{prefix}.students", "roster entries, by the student records system", _COMPACT | _APPEND_TIME
        )
        self.identities = Topic(
            f"{prefix}.identities",
            "claims: which student a source's own key belongs to, by the directory team",
            _COMPACT | _APPEND_TIME,
            by_student=False,
        )
        self.unmatched = Topic(
            f"{prefix}.unmatched",
            "source records that wait for a student, byte for byte",
            _DELETE | _APPEND_TIME | _LARGER,
            by_student=False,
        )
        self.timetable = Topic(
            f"{prefix}.timetable",
            "teaching events, by the timetabling system",
            _COMPACT | _APPEND_TIME,
            by_student=False,
        )
        self.student_log = Topic(
            f"{prefix}.student-log", "the one ordered log of every student: what decides", _DELETE | _APPEND_TIME
        )
        self.engagement = Topic(f"{prefix}.engagement", "engagement state, a row a student", _COMPACT)
        self.days = Topic(f"{prefix}.days", "closed days", _DELETE)
        self.ratings = Topic(f"{prefix}.ratings", "rating changes", _DELETE)
        self.alerts = Topic(f"{prefix}.alerts", "alerts, for a person to review", _COMPACT)
        self.dead_letters = Topic(
            f"{prefix}.dead-letters",
            "records that could not be used, byte for byte",
            _DELETE | _LARGER,
            by_student=False,
        )
        self.clock = Topic(
            f"{prefix}.clock", "the clock's memory: last day closed a partition, state of each feed", _COMPACT
        )
        self.source_states = Topic(
            f"{prefix}.source-states", "which sources are paused, by intake or an operator", _COMPACT | _APPEND_TIME
        )
        self.sources = {name: self.source(name) for name in sources}

    def source(self, name: str) -> Topic:
        """Return the topic of a source system."""
        return Topic(
            f"{self.prefix}.source.{name}",
            f"what {name} sent, byte for byte",
            _DELETE | _APPEND_TIME | _LARGE,
            by_student=False,
        )

    def source_of(self, topic: str) -> str:
        """Return the source system's name of a source topic."""
        return topic.removeprefix(f"{self.prefix}.source.")

    def __iter__(self) -> Iterator[Topic]:
        """Iterate over all topics, in the direction of the data."""
        yield from self.sources.values()
        yield self.source_states
        yield self.students
        yield self.identities
        yield self.unmatched
        yield self.timetable
        yield self.student_log
        yield self.engagement
        yield self.days
        yield self.ratings
        yield self.alerts
        yield self.dead_letters
        yield self.clock
