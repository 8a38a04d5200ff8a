"""The read model in Redis or Valkey: batches go in, compared by version, and the progress is kept beside them.

Every script is one step of Redis, and writes nothing that is older than what it finds, so batches may come twice, late
and from two sinks at once.

*Progress never claims more than is written.* A batch's data ends with a random id in ``progress:attempts``; when every
write has been confirmed, :meth:`Store.claim` steps the progress, but only where Redis still has that id. Redis takes
commands in order, and whatever an older copy of it has (a replica that took over, a snapshot, a file cut short) is all
that was written up to some moment and nothing after it. So a Redis that has the id has the data before it, and one that
has the progress had the id before that. Whoever reads a progress may rely on everything before it, whoever wrote it:
without the id, a sink could write to a primary and step the progress on the replica that took over without the data.

A sink may write ahead of its progress (:mod:`sinks.lanes`). Each batch therefore says which one of its partition was
there before: if it is not the sink's own last one, Redis has fallen back, and what was written ahead is gone.

This holds for one primary with any replicas, not for Redis Cluster, whose nodes fall back each on their own; scripts
touch a student's keys and those of a department in one step for the same reason.
"""

import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from aiokafka import TopicPartition
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from schemas.outputs import BANDS
from schemas.redis_keys import (
    ALERT_DAYS,
    CHANGES_DAYS,
    CHANGES_KEPT,
    COHORT_DAYS,
    DAY_SECONDS,
    NOT_RATED,
    TOMBSTONE_DAYS,
    UNKNOWN_DAYS,
    Keys,
)
from sinks.cohorts import publishable
from sinks.records import Batch, Closed, Entry, Rating, Roster, Standing
from streams.settings import Settings

logger = logging.getLogger(__name__)

SOCKET_TIMEOUT = 5.0
"""A Redis that does not answer for so long (seconds) counts as down."""

_CONNECT_TIMEOUT = 2.0
_PROGRESS = re.compile(r"[0-9]{1,5}:[0-9]{1,18}").fullmatch
_AT_ONCE = 200  # keys a script call: a call holds Redis up for a millisecond or two
_STALE, _NEWS = b"02"
_RATINGS = (*BANDS, NOT_RATED)
_LOST = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OutOfMemoryError, OSError)
_T = TypeVar("_T")
_WHILE_DOWN = ("LOADING", "READONLY", "MASTERDOWN", "MISCONF", "OOM", "NOREPLICAS", "BUSY", "NOSCRIPT", "TRYAGAIN")


class RedisRefusedError(Exception):
    """Redis does not let us do our work: wrong credentials, or a user without the rights; the message says which."""

    exit_code = 78


class RedisDownError(Exception):
    """Redis cannot be reached, or cannot write now (loading, a replica, out of memory): worth trying again."""


class Written(NamedTuple):
    """What came of a batch: writes applied and stale, rows by which a new activity came, the id to claim with.

    ``before``: the id of the batch that was the last one of each partition.
    """

    applied: int
    stale: int
    news: list[Standing]
    attempt: str
    before: dict[TopicPartition, str]


class _Script:
    def __init__(self, name: str) -> None:
        folder = Path(__file__).parent / "scripts"
        self.text = (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, pipe: Pipeline, keys: Sequence[str], **arguments: Any) -> None:
        # One argument and not thousands: a batch would cost mostly the packing of its words by the client.
        # Scripts can read msgpack without its binary type, so everything is text.
        pipe.evalsha(self.sha, len(keys), *keys, msgspec.msgpack.encode(arguments))


_NAMES = ("student", "rating", "entry", "closed", "claim", "members", "count", "figures")
_SCRIPTS = tuple(_Script(name) for name in _NAMES)
_STUDENT, _RATING, _ENTRY, _CLOSED, _CLAIM, _MEMBERS, _COUNT, _FIGURES = _SCRIPTS


def connect(
    settings: Settings, name: str, *, connect_timeout: float = _CONNECT_TIMEOUT, timeout: float = SOCKET_TIMEOUT
) -> "Redis":
    """Return a client that leaves trying again to us; it connects when it is first used.

    Raises:
        ValueError: the URL is none.
    """
    options: dict[str, Any] = {}
    if settings.redis_password is not None:
        options = {"username": settings.redis_user, "password": settings.redis_password.get_secret_value()}
    if urlsplit(settings.redis).scheme == "rediss":
        options |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": None if settings.redis_ca_file is None else str(settings.redis_ca_file),
        }
    return Redis.from_url(
        settings.redis,
        client_name=f"{settings.prefix}.{name}",
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def safe_url(url: str) -> str:
    """Return a URL without its password.

    >>> safe_url("redis://reader:secret@localhost:6379/0")
    'redis://localhost:6379/0'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class Store:
    """The read model of one installation.

    Its methods raise RedisDownError or RedisRefusedError, and no other error of Redis unless a key has another type.
    """

    def __init__(self, settings: Settings, redis: "Redis", *, again: bool = False) -> None:
        """Take a client. ``again``: equal versions are written too, which mends wrong content."""
        self.keys = Keys(settings.prefix)
        self._redis = redis
        self._partitions = range(settings.partitions)
        self._epoch = settings.epoch
        self._again = again

    async def positions(self, partitions: Sequence[TopicPartition]) -> list[str]:
        """Return the progress of partitions as Redis has it, empty where it has none.

        What is no progress (somebody else wrote there) is removed: without one everything is written again, which does
        no harm, while no step could be taken from it.
        """
        fields = [_field(tp) for tp in partitions]
        with translated():
            if not fields:
                await self._redis.ping()
                return []
            held = await self._redis.hmget(self.keys.progress, fields)
            found = [_text(value or b"") for value in held]
            unreadable = [name for name, value in zip(fields, found, strict=True) if value and not _PROGRESS(value)]
            if unreadable:
                logger.warning("removing what is no progress: %s", ", ".join(unreadable))
                await self._redis.hdel(self.keys.progress, *unreadable)
        return [value if _PROGRESS(value) else "" for value in found]

    def offset_of(self, position: str) -> int | None:
        """Return the offset of a progress; None if there is none in this epoch (offsets of another mean nothing)."""
        epoch, _, offset = position.partition(":")
        return int(offset) if offset and int(epoch) == self._epoch else None

    def position(self, offset: int) -> str:
        """Return the progress that says that everything before ``offset`` is written."""
        return f"{self._epoch}:{offset}"

    async def write(self, batch: Batch, partitions: Sequence[TopicPartition] = ()) -> Written:
        """Write a batch; returns when Redis has confirmed everything. ``partitions`` are those to claim for."""
        attempt = uuid4().hex
        fields = [_field(tp) for tp in partitions]
        async with self._pipeline() as pipe:
            # In the same round trip as the data: it goes to one server.
            if fields:
                pipe.hmget(self.keys.attempts, fields)
            calls = self._students(pipe, batch) + self._ratings(pipe, batch.ratings)
            calls += self._entries(pipe, "day", self.keys.days, list(batch.days.values()))
            calls += self._entries(pipe, "alert", self.keys.alerts, list(batch.alerts.values()))
            for closed in batch.closed.values():
                self._closed(pipe, closed)
            for name in fields:
                pipe.hset(self.keys.attempts, name, attempt)
            answers = await self._execute(pipe)
        before = answers.pop(0) if fields else []
        outcomes = b"".join(answers[:calls])
        of_standings = outcomes[len(batch.rosters) : len(batch.rosters) + len(batch.standings)]
        news = [row for row, outcome in zip(batch.standings.values(), of_standings, strict=True) if outcome == _NEWS]
        stale = outcomes.count(_STALE)
        found = {tp: _text(held or b"") for tp, held in zip(partitions, before, strict=True)}
        return Written(len(outcomes) - stale, stale, news, attempt, found)

    async def claim(self, attempt: str, steps: Mapping[TopicPartition, tuple[str, str]]) -> list[bool]:
        """Step the progress of each partition from one to another; says which steps were taken."""
        async with self._pipeline() as pipe:
            named = [(_field(tp), expected, new) for tp, (expected, new) in steps.items()]
            _CLAIM.call(pipe, [self.keys.progress, self.keys.attempts], attempt=attempt, steps=named)
            (taken,) = await self._execute(pipe)
        return [bool(step) for step in taken]

    async def publish(self) -> str | None:
        """Publish each department's figures of the last closed day, once every partition has closed it.

        Returns the day if it did. Students are counted in steps of a millisecond or two, between which Redis serves
        others: in one step a million would hold it up for 20 s. So it takes its time, and no event should wait for it.
        Several may do it at once, and again.
        """
        async with self._pipeline() as pipe:
            pipe.get(self.keys.cohort_day)
            for partition in self._partitions:
                pipe.hget(self.keys.closed(partition), "day")
            published, *closed = [_text(day or b"") for day in await self._execute(pipe)]
        day = closed[0]
        # Figures must not mix the close of one day with that of another.
        if not day or set(closed) != {day} or day <= published:
            return None
        with translated():
            departments = sorted(_text(code) for code in await self._redis.smembers(self.keys.departments))
        figures = [publishable(await self._official(code)) for code in departments]
        async with self._pipeline() as pipe:
            _FIGURES.call(
                pipe,
                [self.keys.cohort_day, *map(self.keys.closed, self._partitions), *map(self.keys.cohort, departments)],
                day=day,
                partitions=len(self._partitions),
                seconds=COHORT_DAYS * DAY_SECONDS,
                figures=[[str(word) for field in shown.items() for word in field] for shown in figures],
            )
            (done,) = await self._execute(pipe)
        return day if done else None

    async def _official(self, department: str) -> dict[str, int]:
        """Count the official ratings of a department's students."""
        sets = [self.keys.department_rating(department, rating) for rating in _RATINGS]
        async with self._pipeline() as pipe:
            _MEMBERS.call(pipe, sets)
            (members,) = await self._execute(pipe)
        counts: dict[str, int] = dict.fromkeys(BANDS, 0)
        for some in _chunks([self.keys.view(_text(student)) for student in members]):
            async with self._pipeline() as pipe:
                _COUNT.call(pipe, some, ratings=BANDS)
                (found,) = await self._execute(pipe)
            for band, n in zip(BANDS, found, strict=True):
                counts[band] += n
        return counts

    # The next three queue their calls, and return how many there are.

    async def read(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Return the answers to some reading commands, in one round trip."""
        async with self._pipeline() as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await self._execute(pipe)

    async def views(self) -> AsyncIterator[str]:
        """Yield the key of every view."""
        async for key in self._scan(self.keys.view("*")):
            yield key

    async def indexes(self) -> AsyncIterator[str]:
        """Yield the key of every set of a department or course."""
        for pattern in (self.keys.department_rating("*", "*"), self.keys.course_rating("*", "*")):
            async for key in self._scan(pattern):
                yield key

    async def _scan(self, pattern: str) -> AsyncIterator[str]:
        with translated():
            async for key in self._redis.scan_iter(pattern, count=1000):
                yield _text(key)

    def _students(self, pipe: Pipeline, batch: Batch) -> int:
        keys = self.keys
        items: list[Roster | Standing] = [*batch.rosters.values(), *batch.standings.values()]
        for some in _chunks(items):
            _STUDENT.call(
                pipe,
                [keys.view(item.student) for item in some],
                again=self._again,
                tombstone_seconds=TOMBSTONE_DAYS * DAY_SECONDS,
                unknown_seconds=UNKNOWN_DAYS * DAY_SECONDS,
                alert_seconds=ALERT_DAYS * DAY_SECONDS,
                rating=keys.rating("%s"),
                days=keys.days("%s"),
                alerts=keys.alerts("%s"),
                department={"template": keys.department_rating("%s", "%s"), "codes": keys.departments},
                course={"template": keys.course_rating("%s", "%s"), "codes": keys.courses},
                items=[(item.kind, str(item.version), item.student, item.fields) for item in some],
            )
        return _calls(len(items))

    def _ratings(self, pipe: Pipeline, ratings: Sequence[Rating]) -> int:
        by_partition: dict[int, list[Rating]] = {}
        for rating in ratings:
            by_partition.setdefault(rating.partition, []).append(rating)
        for partition, changes in by_partition.items():
            for some in _chunks(changes):
                keys = ((self.keys.rating(item.student), self.keys.view(item.student)) for item in some)
                _RATING.call(
                    pipe,
                    [self.keys.changes(partition), *chain.from_iterable(keys)],
                    again=self._again,
                    unknown_seconds=UNKNOWN_DAYS * DAY_SECONDS,
                    stream_seconds=CHANGES_DAYS * DAY_SECONDS,
                    kept=CHANGES_KEPT,
                    oldest=some[-1].at - CHANGES_DAYS * DAY_SECONDS * 1000,
                    items=[(str(item.version), item.id, item.doc, item.fields) for item in some],
                )
        return sum(_calls(len(changes)) for changes in by_partition.values())

    def _entries(self, pipe: Pipeline, kind: str, key: Callable[[str], str], entries: Sequence[Entry]) -> int:
        for some in _chunks(entries):
            keys = ((key(entry.student), self.keys.view(entry.student)) for entry in some)
            _ENTRY.call(
                pipe,
                list(chain.from_iterable(keys)),
                again=self._again,
                kind=kind,
                unknown_seconds=UNKNOWN_DAYS * DAY_SECONDS,
                alert_seconds=ALERT_DAYS * DAY_SECONDS,
                items=[(entry.name, str(entry.version), entry.doc, entry.oldest) for entry in some],
            )
        return _calls(len(entries))

    def _closed(self, pipe: Pipeline, closed: Closed) -> None:
        _CLOSED.call(
            pipe,
            [self.keys.closed(closed.partition)],
            again=self._again,
            version=str(closed.version),
            day=closed.day,
            stale=closed.stale,
        )

    def _pipeline(self) -> Pipeline:
        return self._redis.pipeline(transaction=False)

    async def _execute(self, pipe: Pipeline) -> list[Any]:
        """Run a pipeline and return its answers; scripts that Redis does not have (yet, any more) are loaded first."""
        commands = list(pipe.command_stack)
        with translated():
            answers = await pipe.execute(raise_on_error=False)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                for script in _SCRIPTS:
                    await self._redis.script_load(script.text)
                pipe.command_stack = commands
                answers = await pipe.execute(raise_on_error=False)
            for answer in answers:
                # Raised by us: redis-py would quote the command, and so students, in the message.
                if isinstance(answer, Exception):
                    raise answer
        return answers


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _field(tp: TopicPartition) -> str:
    return f"{tp.topic}-{tp.partition}"


@contextmanager
def translated() -> Iterator[None]:
    """Turn what redis-py raises into our two errors; what is neither (a bug, a key of another type) stays."""
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise RedisRefusedError(f"Redis refuses: {error}") from error
    except (RedisError, OSError) as error:
        if (distrust := _distrust(error)) is not None:
            raise RedisRefusedError(distrust) from error
        if isinstance(error, ResponseError) and "NOAUTH" in str(error):
            raise RedisRefusedError(f"Redis refuses: {error}") from error
        if isinstance(error, _LOST) or any(word in str(error) for word in _WHILE_DOWN):
            raise RedisDownError(f"{type(error).__name__}: {error}") from error
        raise


def _distrust(error: BaseException) -> str | None:
    """Return why TLS failed, if it did: redis-py keeps the cause behind its own error. Trying again would not help."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"Redis is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS connection to Redis ({cause.reason or cause})"
    return None if cause is None else _distrust(cause)


def _calls(items: int) -> int:
    return -(-items // _AT_ONCE)


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[i : i + _AT_ONCE] for i in range(0, len(items), _AT_ONCE))
