"""How far everything is, read from Kafka and Redis alone: lags, who reads, freshness, closed days."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from leap.connect import text
from leap.waiting import lags
from schemas import unmatched
from schemas.cloudevents import iso
from schemas.redis_keys import Keys
from schemas.state import KEY_PARTITION, decode_partition
from schemas.unmatched import UnmatchedError
from streams.admin import Offsets, members
from streams.reader import connected, read_to_end
from streams.settings import Role, Settings
from streams.source_states import read_states
from windows.civil import date_of

_TAIL = 200
"""A partition's own row is the last record of every write to its changelog, so it stands among the last records."""


class Lag(NamedTuple):
    """Records of a partition that a role has not committed."""

    role: Role
    topic: str
    partition: int
    records: int


class Readers(NamedTuple):
    """How many processes a role has in its group, and the partitions that were given to none of them."""

    processes: int
    unread: Sequence[str]


class Source(NamedTuple):
    """What a source's topic holds, and when its last record came."""

    records: int
    last: str | None


class Waiting(NamedTuple):
    """How many of a source's records wait for a student, and since when the oldest does."""

    records: int
    since: str


class Paused(NamedTuple):
    """Since when a source is paused, by whom (breaker, operator), and what the breaker found: so many of so many."""

    since: str
    by: str
    unusable: int
    of: int


class Closed(NamedTuple):
    """The last day of a partition: closed by the clock (in the log), by engagement (rated), and in Redis."""

    clock: str | None
    engagement: str | None
    redis: str | None


@dataclass(frozen=True)
class Status:
    """One look at an installation."""

    lag: Sequence[Lag]
    readers: dict[Role, Readers]
    """Empty where the broker cannot say it: the embedded one."""
    sources: dict[str, Source]
    paused: dict[str, Paused]
    waiting: dict[str, Waiting]
    closed: dict[int, Closed]

    def as_json(self) -> dict[str, Any]:
        """Return what ``leap status --json`` prints."""
        return {
            "lag": [lag._asdict() for lag in self.lag],
            "readers": {role: readers._asdict() for role, readers in self.readers.items()},
            "sources": {name: source._asdict() for name, source in self.sources.items()},
            "paused": {name: paused._asdict() for name, paused in self.paused.items()},
            "waiting": {name: waiting._asdict() for name, waiting in self.waiting.items()},
            "closed": {str(number): closed._asdict() for number, closed in self.closed.items()},
        }


def inputs(settings: Settings) -> dict[Role, list[str]]:
    """Return the topics that each role reads."""
    topics = settings.topics
    return {
        "roster": [topics.students.name],
        "intake": [topic.name for topic in topics.sources.values()],
        "engagement": [topics.student_log.name],
        "readmodel": [topic.name for topic in (topics.engagement, topics.days, topics.ratings, topics.alerts)],
    }


async def read_lags(settings: Settings, offsets: Offsets, redis: "Redis") -> list[Lag]:
    """Return what each role has not done yet. The read model's progress stands in Redis, beside its data."""
    found: dict[Role, dict[TopicPartition, int]] = {}
    for role, topics in inputs(settings).items():
        if role == "readmodel":
            found[role] = await _read_model_lags(settings, offsets, redis, topics)
        else:
            found[role] = await lags(offsets, settings, role, topics)
    return [Lag(role, tp.topic, tp.partition, n) for role, some in found.items() for tp, n in sorted(some.items())]


async def _read_model_lags(
    settings: Settings, offsets: Offsets, redis: "Redis", topics: Sequence[str]
) -> dict[TopicPartition, int]:
    done = await redis.hgetall(Keys(settings.prefix).progress)
    partitions = await offsets.partitions(topics)
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    positions = {text(name): text(position) for name, position in done.items()}
    return {
        tp: max(0, ends[tp] - _offset(positions.get(f"{tp.topic}-{tp.partition}", ""), settings.epoch, starts[tp]))
        for tp in partitions
    }


def _offset(position: str, epoch: int, start: int) -> int:
    """Return the offset in a position (``<epoch>:<offset>``); one of another epoch is none."""
    known, _, offset = position.partition(":")
    return int(offset) if offset and int(known) == epoch else start


async def read_status(settings: Settings, offsets: Offsets, redis: "Redis") -> Status:
    """Look at everything once."""
    async with connected(settings, "status") as kafka:
        sources = {name: await _source(kafka, offsets, topic.name) for name, topic in settings.topics.sources.items()}
        waiting = await _waiting(kafka, offsets, settings)
        closed = await _closed(kafka, offsets, settings, redis)
    lag = await read_lags(settings, offsets, redis)
    return Status(lag, await _readers(settings, lag), sources, await _paused(settings), waiting, closed)


async def _readers(settings: Settings, lag: Sequence[Lag]) -> dict[Role, Readers]:
    if settings.profile == "embedded":
        return {}
    groups = {role: settings.group(role) for role in inputs(settings)}
    given = await members(settings, groups.values())
    found = {}
    for role, group in groups.items():
        read = {tp for some in given[group] for tp in some}
        wanted = [TopicPartition(one.topic, one.partition) for one in lag if one.role == role]
        found[role] = Readers(len(given[group]), [f"{tp.topic}-{tp.partition}" for tp in wanted if tp not in read])
    return found


async def _source(kafka: AIOKafkaConsumer, offsets: Offsets, topic: str) -> Source:
    partitions = await offsets.partitions([topic])
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    last = [
        record.timestamp for records in (await _tails(kafka, offsets, partitions, 1)).values() for record in records
    ]
    return Source(sum(ends[tp] - starts[tp] for tp in partitions), iso(max(last) / 1000) if last else None)


async def _paused(settings: Settings) -> dict[str, Paused]:
    return {
        name: Paused(iso(known.state.since), known.state.by, known.state.unusable, known.state.of)
        for name, known in sorted((await read_states(settings)).items())
        if known.paused
    }


async def _waiting(kafka: AIOKafkaConsumer, offsets: Offsets, settings: Settings) -> dict[str, Waiting]:
    """Look at what the waiting room has not done with; a record that stands there twice is one."""
    partitions = await offsets.partitions([settings.topics.unmatched.name])
    done = await offsets.committed(settings.group("waiting-room"), partitions)
    since: defaultdict[str, dict[tuple[int, int], float]] = defaultdict(dict)
    async for _, records in read_to_end(kafka, partitions, since=done):
        for record in records:
            try:
                held = unmatched.read(record)
            except UnmatchedError:
                continue
            since[settings.topics.source_of(held.topic)][held.partition, held.offset] = held.since
    return {name: Waiting(len(some), iso(min(some.values()))) for name, some in sorted(since.items())}


async def _closed(kafka: AIOKafkaConsumer, offsets: Offsets, settings: Settings, redis: "Redis") -> dict[int, Closed]:
    clock: dict[int, str] = {}
    async for _, records in read_to_end(kafka, await offsets.partitions([settings.topics.clock.name])):
        for record in records:
            kind, _, name = record.key.decode().partition("/")
            if kind == "closed" and record.value is not None:
                clock[int(name)] = orjson.loads(record.value)["day"]
    rated: dict[int, str] = {}
    changelog = await offsets.partitions([settings.topics.engagement.name])
    for tp, records in (await _tails(kafka, offsets, changelog, _TAIL)).items():
        rows = [record.value for record in records if record.key == KEY_PARTITION]
        if rows and (row := decode_partition(rows[-1])).closed:
            rated[tp.partition] = date_of(row.anchor).isoformat()
    keys = Keys(settings.prefix)
    shown = {number: await redis.hget(keys.closed(number), "day") for number in range(settings.partitions)}
    return {
        number: Closed(clock.get(number), rated.get(number), text(day) if day else None)
        for number, day in shown.items()
    }


async def _tails(
    kafka: AIOKafkaConsumer, offsets: Offsets, partitions: Sequence[TopicPartition], number: int
) -> dict[TopicPartition, list[Any]]:
    """Return the last so many records of each partition (fewer where there are not so many)."""
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    left = {tp for tp in partitions if starts[tp] < ends[tp]}
    found: dict[TopicPartition, list[Any]] = {tp: [] for tp in partitions}
    if not left:
        return found
    kafka.assign(sorted(left))
    for tp in left:
        kafka.seek(tp, max(starts[tp], ends[tp] - number))
    while left:
        for tp, records in (await kafka.getmany(*left, timeout_ms=500)).items():
            found[tp] += records
        left = {tp for tp in left if await kafka.position(tp) < ends[tp]}
    return found
