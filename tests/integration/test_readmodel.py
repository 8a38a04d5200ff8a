"""The read model holds what engagement said, whatever happens to Redis, the sink or its partitions meanwhile.

Records are made by engagement's own core, for a small university, and go through a real broker into a real Valkey.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from agents.decide import decide
from agents.items import Item, Items
from agents.partition import Context, Partition
from deploy.servers import EmbeddedValkey
from schemas import log
from schemas.activities import Activity
from schemas.cloudevents import TYPE, VERSION, Headers, headers
from schemas.dead_letters import OFFSET, REASON, STAGE
from schemas.outputs import BANDS
from schemas.policy import read_policies
from schemas.redis_keys import NOT_RATED, Keys
from schemas.state import CodecError, blank_rows, encode_rows
from schemas.version import offset_of, version
from sinks.read_model import ReadModel
from sinks.rebuild import parity, rebuild
from sinks.records import Batch, Reader
from sinks.store import RedisDownError, RedisRefusedError, Store, connect
from streams import metrics
from streams.admin import Offsets, admin, create_topics
from streams.producer import Producer
from streams.reader import consumer, read_to_end
from streams.settings import Settings
from tests.fuzz.mutation import record
from tests.integration.harness import redis_users
from windows.civil import CivilDays
from windows.scoring import Rules

PROJECT = Path(__file__).parents[2]
PARTITIONS = 2
FIRST_DAY = date(2026, 10, 1)
PATIENCE = 30.0
DEPARTMENTS, COURSES = ("cs", "law", "art"), ("c1", "c2")
ACTIVITIES: tuple[Activity, ...] = (
    "moodle_course",
    "moodle_login",
    "tap_in",
    "library_loan",
    "reading_list",
    "faser_view",
)

Message = tuple[bytes | None, bytes | None, Headers]


# -- a small university -----------------------------------------------------------------------------------------------


class University:
    """Students of both partitions, their log, and what engagement says about it."""

    def __init__(self, settings: Settings, students: int = 60, seed: int = 1) -> None:
        policies = read_policies(PROJECT / "policy")
        self.civil = CivilDays(policies.zone)
        self.policies = policies
        self.partitions = [Partition(n, Context(Rules(policies), self.civil)) for n in range(PARTITIONS)]
        self.offsets = [0] * PARTITIONS
        self.students = [f"s{i}" for i in range(students)]
        self.day = FIRST_DAY
        self.random = random.Random(seed)
        self.sent: dict[tuple[str, int], list[Message]] = defaultdict(list)
        self._settings = settings
        self._pending: list[list[Item]] = [[] for _ in range(PARTITIONS)]
        self._new: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for index, student in enumerate(self.students):
            self.enrol(student, DEPARTMENTS[index % 3], COURSES[index % 2])
        self.decide()

    def home(self, student: str) -> int:
        return int(student[1:]) % PARTITIONS

    def at(self, hour: int) -> float:
        return datetime(self.day.year, self.day.month, self.day.day, hour, tzinfo=UTC).timestamp()

    def _log(self, partition: int, key: bytes | None, record: log.Record, appended: float) -> None:
        self.offsets[partition] += 1
        self._pending[partition].append(Item(self.offsets[partition], key, appended, record))

    def _position(self, partition: int) -> log.Position:
        return log.Position(f"source-{partition}", self.offsets[partition] + 1)

    def enrol(self, student: str, department: str, course: str) -> None:
        self._roster(student, {"student": student, "department": department, "course": course})

    def remove(self, student: str) -> None:
        self._roster(student, None)

    def _roster(self, student: str, entry: dict[str, Any] | None) -> None:
        n = self.home(student)
        record = log.StudentRecord(
            record=msgspec.Raw(orjson.dumps(entry)), position=self._position(n), recorded_at=self.at(1)
        )
        self._log(n, student.encode(), record, self.at(1))

    def act(self, student: str, days_ago: int = 0) -> None:
        n, when = self.home(student), self.at(self.random.randrange(8, 20)) - days_ago * 86_400
        record = log.ActivityRecord(
            activity=self.random.choice(ACTIVITIES),
            at=when,
            position=self._position(n),
            recorded_at=self.at(20),
            count=self.random.randrange(1, 5),
            once=self.offsets[n],
        )
        self._log(n, student.encode(), record, self.at(20))

    def busy(self, records: int = 200) -> None:
        """Some activity of the day, a little of it late."""
        for _ in range(records):
            # The last fifth does nothing, for the alerts.
            student = self.random.choice(self.students[: len(self.students) * 4 // 5])
            self.act(student, days_ago=self.random.choice((0, 0, 0, 0, 0, 0, 1, 2)))
        self.decide()

    def close(self) -> None:
        policy = self.policies.on(self.day)
        end = self.civil.end_of(self.day.toordinal() - date(1970, 1, 1).toordinal())
        record = log.DayClosed(
            day=self.day.isoformat(), policy=policy.version, checksum=policy.checksum, recorded_at=end + 300
        )
        for n in range(PARTITIONS):
            self._log(n, None, record, end + 300)
        self.day += timedelta(1)
        self.decide()

    def decide(self) -> None:
        topics = self._settings.topics
        for n, items in enumerate(self._pending):
            draft = decide(self.partitions[n], Items.of(items))
            assert not [r for r in draft.effects.rejected if r.reason != "unknown student"]
            effects = draft.effects
            for topic, messages in (
                (topics.days, effects.days),
                (topics.ratings, effects.ratings),
                (topics.alerts, effects.alerts),
                (topics.engagement, effects.changelog),
            ):
                self._new[topic.name, n] += messages
            draft.commit()
            items.clear()

    async def send(self, producer: Producer) -> None:
        """Deliver what was decided since the last time."""
        for (topic, n), messages in self._new.items():
            await producer.deliver(topic, n, messages)
            self.sent[topic, n] += messages
        self._new.clear()

    def weeks(self, days: int = 9) -> None:
        for _ in range(days):
            self.busy()
            self.close()
        self.busy(60)

    def upheaval(self) -> None:
        """Students move, leave, and come back."""
        for index, student in enumerate(self.students):
            if index % 7 == 0:
                self.enrol(student, DEPARTMENTS[(index + 1) % 3], COURSES[index % 2])
            if index % 11 == 5:
                self.remove(student)
        self.decide()
        self.busy(60)
        for index, student in enumerate(self.students):
            if index % 22 == 5:
                self.enrol(student, "music", "c2")
        self.decide()
        self.busy(60)

    def expected(self) -> "Standing":
        """What Redis must hold, from engagement's own columns."""
        views: dict[str, tuple[int, str]] = {}
        listed: dict[str, set[str]] = defaultdict(set)
        for partition in self.partitions:
            for key, row, entry in zip(partition.ids, partition.rows, partition.students, strict=True):
                if entry is None:
                    continue
                student, rating = key.decode(), BANDS[row["rating"]] if row["rating"] >= 0 else NOT_RATED
                views[student] = int(row["version"]), rating
                listed[f"department:{entry.department}", rating].add(student)  # type: ignore[index]
                listed[f"course:{entry.course}", rating].add(student)  # type: ignore[index]
        return Standing(views, dict(listed))


class Standing(NamedTuple):
    views: dict[str, tuple[int, str]]
    listed: dict[Any, set[str]]


# -- what the tests work with -----------------------------------------------------------------------------------------


class FakeHealth:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ready = False
        self.detail = ""
        self.steps = 0
        self.is_behind = False

    def set_ready(self, ready: bool, detail: str) -> None:
        self.ready, self.detail = ready, detail

    def progress(self) -> None:
        self.steps += 1

    def behind(self, *, behind: bool) -> None:
        self.is_behind = behind


async def until(condition: Callable[[], Awaitable[bool] | bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds; the failure names what did not happen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert loop.time() < deadline, f"after {seconds:.0f} s still not: {what}"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def sink(settings: Settings) -> AsyncIterator[FakeHealth]:
    """A running sink."""
    health = FakeHealth()
    task = asyncio.create_task(ReadModel(settings, health).run())
    try:
        yield health
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def settings(kafka: str, kafka_profile: Any, redis_db: str, topic_prefix: str) -> Settings:
    made = Settings(
        kafka=kafka,
        profile=kafka_profile,
        redis=redis_db,
        prefix=topic_prefix.strip("."),
        partitions=PARTITIONS,
        session_timeout=6.0,
        heartbeat=0.5,
        rebalance_timeout=5.0,
        poll_records=500,
    )
    await create_topics(made)
    return made


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    made = Producer(settings, "test")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Redis]:
    async with Redis.from_url(settings.redis, decode_responses=True) as made:
        yield made


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server of the test's own, to be stopped and put back."""
    with EmbeddedValkey(tmp_path / "valkey", binary=shutil.which("redis-server")) as server:
        yield server


async def contents(client: "Redis", settings: Settings, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every key of the read model but the sink's progress."""
    keys = Keys(settings.prefix)
    found: dict[str, Any] = {}
    async for key in client.scan_iter(f"{settings.prefix}:*", count=1000):
        if key in {keys.progress, keys.attempts} or key.startswith(without):
            continue
        match await client.type(key):
            case "hash":
                found[key] = await client.hgetall(key)
            case "set":
                found[key] = await client.smembers(key)
            case "stream":
                found[key] = await client.xrange(key)
            case _:
                found[key] = await client.get(key)
    return found


async def caught_up(client: "Redis", settings: Settings, university: University) -> bool:
    """Whether Redis' own progress is at the end of everything that was sent."""
    held = await client.hgetall(Keys(settings.prefix).progress)
    return all(
        held.get(f"{topic}-{n}") == f"{settings.epoch}:{len(messages)}"
        for (topic, n), messages in university.sent.items()
        if messages
    )


async def wait_for(client: "Redis", settings: Settings, university: University, seconds: float = PATIENCE) -> None:
    await until(lambda: caught_up(client, settings, university), "the read model has everything that was sent", seconds)


async def published(client: "Redis", settings: Settings, university: University) -> None:
    """Wait for the figures of the last day that every partition has closed."""
    last = (university.day - timedelta(1)).isoformat()

    async def are_there() -> bool:
        return bool(await client.get(Keys(settings.prefix).cohort_day) == last)

    await until(are_there, f"the figures of {last} are published")


async def check(client: "Redis", settings: Settings, university: University) -> None:
    """Redis holds what engagement holds, and parity agrees that it does."""
    keys = Keys(settings.prefix)
    views: dict[str, tuple[int, str]] = {}
    listed: dict[Any, set[str]] = {}
    for key, value in (await contents(client, settings)).items():
        if key.endswith("}:view") and "removed" not in value:
            views[keys.student_of(key)] = int(value["version"]), value["rating"]
        elif "}:rating:" in key:
            which, _, rating = key.removeprefix(f"{settings.prefix}:{{").partition("}:rating:")
            listed[which, rating] = value
    assert Standing(views, listed) == university.expected()
    report = await compare(settings)
    assert report.same, report
    assert not any(count["newer"] for count in report.asdict().values())
    assert report.views.agree == len(university.students)


async def compare(settings: Settings) -> Any:
    redis_client = connect(settings, "test")
    try:
        return await parity(settings, redis_client, lambda *_: None)
    finally:
        await redis_client.aclose()


async def rebuilt(settings: Settings) -> int:
    redis_client = connect(settings, "test")
    try:
        return await rebuild(settings, redis_client, lambda *_: None)
    finally:
        await redis_client.aclose()


def rewinds() -> float:
    return float(metrics.redis_rewinds._value.get())


# -- content ----------------------------------------------------------------------------------------------------------


async def test_redis_holds_what_engagement_holds(settings: Settings, producer: Producer, client: Redis) -> None:
    university = University(settings)
    keys = Keys(settings.prefix)
    async with sink(settings) as health:
        for _ in range(3):
            university.weeks(3)
            await university.send(producer)
        university.upheaval()
        await university.send(producer)
        await wait_for(client, settings, university)
        await check(client, settings, university)
        await until(lambda: health.ready and not health.is_behind and health.steps > 0, "the sink says that it is up")

    assert await client.smembers(keys.departments) == {*DEPARTMENTS, "music"}
    assert (await client.hget(keys.closed(0), "day")) == (university.day - timedelta(1)).isoformat()
    # A removed student leaves a version and nothing else, and not for ever.
    assert (await client.hgetall(keys.view("s16"))).keys() == {"version", "removed"}
    assert 0 < await client.ttl(keys.view("s16")) <= 28 * 86_400
    for key in (keys.rating("s16"), keys.days("s16"), keys.alerts("s16")):
        assert not await client.exists(key)
    # One who came back is new: nothing of the former enrolment is left.
    view = await client.hgetall(keys.view("s5"))
    assert view["department"] == "music"
    assert await client.ttl(keys.view("s5")) == -1
    assert offset_of(int(await client.hget(keys.rating("s5"), "version") or 0)) >= offset_of(int(view["enrolled"]))
    assert not await client.exists(keys.days("s5"))
    changes: Any = await client.xrange(keys.changes(0))
    ids = [tuple(map(int, entry_id.split("-"))) for entry_id, _ in changes]
    assert ids == sorted(ids)
    assert {fields["cause"] for _, fields in changes} >= {"activity", "close", "roster"}
    last = changes[-1][1]
    assert last["version"] == await client.hget(keys.rating(last["student"]), "version")


async def test_the_same_log_into_an_empty_redis_gives_the_same_content(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    university = University(settings)
    async with sink(settings):
        for _ in range(4):
            university.weeks(3)
            await university.send(producer)
        university.upheaval()
        # Figures count who is in a department when they are published, so the comparison is at a close.
        university.close()
        await university.send(producer)
        await wait_for(client, settings, university)
        await published(client, settings, university)
    before = await contents(client, settings)
    await client.flushdb()

    async with sink(settings):
        await wait_for(client, settings, university)
        await published(client, settings, university)

    after = await contents(client, settings)
    # Changes of a student who has been removed are not announced again, if the sink knows that by then.
    for found in (before, after):
        for n in range(PARTITIONS):
            key = Keys(settings.prefix).changes(n)
            found[key] = [entry for entry in found[key] if int(entry[1]["student"][1:]) % 11 != 5]
    assert before.keys() == after.keys()
    assert {key for key in before if before[key] != after[key]} == set()
    assert len(before) > 200


@pytest.mark.parametrize(("seed", "times"), [(1, 1), (2, 1), (3, 2)])
async def test_records_in_any_order_and_any_number_of_times_lead_to_the_same(
    settings: Settings, client: Redis, seed: int, times: int
) -> None:
    """Older never overwrites newer; what two sinks write in turns is what one would have written."""
    university = University(settings, students=30, seed=seed)
    university.weeks()
    university.upheaval()
    reader, redis_client = Reader(settings.topics), connect(settings, "test")
    store = Store(settings, redis_client)
    records = [
        (TopicPartition(*where), as_records(messages)) for where, messages in university._new.items() if messages
    ]
    await store.write(reader.read(records))
    # Entries of the stream keep the order in which they first came, so out of order it has fewer.
    without: tuple[str, ...] = (f"{settings.prefix}:changes",)
    expected = await contents(client, settings, without=without)
    await client.flushdb()

    shuffler = random.Random(seed)
    pieces = [(tp, [record]) for tp, some in records for record in some] * times
    shuffler.shuffle(pieces)
    for first in range(0, len(pieces), 97):
        written = await store.write(reader.read(pieces[first : first + 97]))
        assert written.applied + written.stale > 0
    # The stream of figures needs all partitions at the same day, which a shuffled log need not give on the way.
    without = (*without, f"{settings.prefix}:cohort")
    assert await contents(client, settings, without=without) == {
        key: value for key, value in expected.items() if not key.startswith(without)
    }
    await redis_client.aclose()


def as_records(messages: list[Message]) -> list[Any]:
    return [record(offset, *message, 1_790_000_000_000) for offset, message in enumerate(messages)]


async def test_an_older_version_never_overwrites_a_newer_one(settings: Settings, client: Redis) -> None:
    """Versions are compared exactly, also where doubles would confuse neighbours."""
    redis_client = connect(settings, "test")
    store, keys = Store(settings, redis_client), Keys(settings.prefix)
    tp = TopicPartition(settings.topics.days.name, 0)
    day = {"student": "s1", "day": "2026-10-05", "score": 1.0}

    async def write(new: int, score: float) -> int:
        body = orjson.dumps(day | {"version": new, "score": score})
        records = as_records([(b"s1", body, headers("day", "/x", "1"))])
        return (await store.write(Reader(settings.topics).read([(tp, records)]))).applied

    high = version(32_767, 2**48 - 1)
    assert [await write(v, v % 97) for v in (9, 10, 9)] == [1, 1, 0]
    assert [await write(v, v % 97) for v in (high - 1, high, high - 1, high - 2, 5, high)] == [1, 1, 0, 0, 0, 0]
    assert orjson.loads(await client.hget(keys.days("s1"), "2026-10-05") or "")["score"] == high % 97
    # The student is not known (yet), so this does not stay for ever.
    assert 0 < await client.ttl(keys.days("s1")) <= 86_400
    await redis_client.aclose()


async def test_a_removal_that_comes_late_leaves_what_is_newer(settings: Settings, client: Redis) -> None:
    """Topics are read apart: what a student does after coming back may be there before the removal is."""
    redis_client = connect(settings, "test")
    store, keys, reader = Store(settings, redis_client), Keys(settings.prefix), Reader(settings.topics)
    state, days = TopicPartition(settings.topics.engagement.name, 0), TopicPartition(settings.topics.days.name, 0)

    async def write(tp: TopicPartition, *messages: Message) -> None:
        await store.write(reader.read([(tp, as_records(list(messages)))]))

    def day(name: str, new: int) -> Message:
        return b"s1", orjson.dumps({"student": "s1", "day": name, "version": new}), headers("day", "/x", "1")

    def row(new: int, enrolled: int) -> Message:
        rows = blank_rows(1, 7, 14, 20_731)
        rows["version"], rows["enrolled"] = new, enrolled
        return b"s1", encode_rows(rows, 7, 14)[0], []

    await write(state, row(5, 1))
    await write(days, day("2026-10-01", 5), day("2026-10-02", 30))
    await write(state, (b"s1", None, [(VERSION, b"10")]))
    assert await client.hkeys(keys.days("s1")) == ["2026-10-02"]
    assert 0 < await client.ttl(keys.days("s1")) <= 86_400
    await write(days, day("2026-10-01", 9))
    await write(state, row(31, 20))
    assert await client.hkeys(keys.days("s1")) == ["2026-10-02"]
    assert await client.ttl(keys.days("s1")) == -1
    await redis_client.aclose()


async def test_old_days_go_when_newer_ones_come(settings: Settings, client: Redis) -> None:
    redis_client = connect(settings, "test")
    store, keys = Store(settings, redis_client), Keys(settings.prefix)
    kind = headers("day", "/x", "1")
    days = [(date(2026, 10, 1) + timedelta(n)).isoformat() for n in range(100)]
    messages: list[Message] = [
        (b"s1", orjson.dumps({"student": "s1", "day": day, "version": n + 1}), kind) for n, day in enumerate(days)
    ]
    batch = Reader(settings.topics).read([(TopicPartition(settings.topics.days.name, 0), as_records(messages))])

    for _ in range(2):
        await store.write(batch)
        assert sorted(await client.hkeys(keys.days("s1"))) == days[-61:]
    await redis_client.aclose()


async def test_figures_are_published_once_all_partitions_have_closed_the_day(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    university, keys = University(settings), Keys(settings.prefix)
    university.weeks(2)
    redis_client = connect(settings, "test")
    store = Store(settings, redis_client)
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)
        await published(client, settings, university)
        figures = await client.hgetall(keys.cohort("cs"))
        assert figures["day"] == (university.day - timedelta(1)).isoformat() == await client.get(keys.cohort_day)
        official = [
            BANDS[row["closed_rating"]]
            for partition in university.partitions
            for row, entry in zip(partition.rows, partition.students, strict=True)
            if entry is not None and entry.department == "cs" and row["closed_rating"] >= 0
        ]
        assert figures["rated"] == str(len(official))
        shown = {band: int(figures[band]) for band in BANDS if figures[band] != "suppressed"}
        assert shown == {band: official.count(band) for band in shown}

        # Live changes publish nothing; nor does a day that one partition has not closed.
        university.busy(200)
        await university.send(producer)
        await wait_for(client, settings, university)
        assert await store.publish() is None
        university.close()
        held_back = {key: university._new.pop(key) for key in list(university._new) if key[1] == 1}
        await university.send(producer)
        await wait_for(client, settings, university)
        assert await store.publish() is None
        assert await client.hgetall(keys.cohort("cs")) == figures
        university._new.update(held_back)
        await university.send(producer)
        await published(client, settings, university)
        assert (await client.hget(keys.cohort("cs"), "day")) == (university.day - timedelta(1)).isoformat()
    await redis_client.aclose()


async def test_nothing_waits_for_figures_and_they_come_though_who_counted_has_ended(
    settings: Settings, producer: Producer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million students are counted for some time; the close that made the figures due is long written then."""
    university, keys = University(settings), Keys(settings.prefix)
    university.weeks(2)
    counting = asyncio.Event()

    async def endless(_store: Store) -> None:
        counting.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Store, "publish", endless)
        async with sink(settings):
            await university.send(producer)
            await asyncio.wait_for(counting.wait(), PATIENCE)
            university.busy(200)
            await university.send(producer)
            await wait_for(client, settings, university)
    assert await client.get(keys.cohort_day) is None

    async with sink(settings):
        await published(client, settings, university)


async def test_figures_wait_for_a_redis_that_is_away(
    settings: Settings, producer: Producer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long after the last close is written: nothing else says then that they are due."""
    university = University(settings)
    university.weeks(1)
    publish = Store.publish
    away = True
    refused: asyncio.Queue[None] = asyncio.Queue()

    async def refuses_while_away(store: Store) -> str | None:
        if away:
            refused.put_nowait(None)
            raise RedisDownError("away")
        return await publish(store)

    monkeypatch.setattr(Store, "publish", refuses_while_away)
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)
        # One more may be due to a close that was written during the pause after the one before; a second one is not.
        for _ in range(refused.qsize() + 2):
            await asyncio.wait_for(refused.get(), PATIENCE)
        away = False
        await published(client, settings, university)


async def test_while_it_writes_nobody_asks_for_the_quiet_partitions_alone(
    settings: Settings, producer: Producer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That fetch would stand at the broker, and until it is over nothing more of the busy ones could be asked for."""
    university = University(settings)
    writing, goes_on = asyncio.Event(), asyncio.Event()
    write = Store.write

    async def slow(store: Store, *args: Any) -> Any:
        writing.set()
        await goes_on.wait()
        return await write(store, *args)

    monkeypatch.setattr(Store, "write", slow)
    model = ReadModel(settings, FakeHealth())
    task = asyncio.create_task(model.run())
    await university.send(producer)
    await asyncio.wait_for(writing.wait(), PATIENCE)
    university.busy()
    await university.send(producer)
    fetcher: Any = model._kafka._fetcher
    await until(lambda: bool(fetcher._records), "what came while it wrote is fetched")
    await asyncio.sleep(0.5)  # what does not happen cannot be waited for
    under_way, untaken = set(fetcher._in_flight), len(fetcher._records)
    goes_on.set()
    await wait_for(client, settings, university)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert untaken
    assert under_way == set()


async def test_what_cannot_be_read_goes_to_the_dead_letters_and_the_rest_goes_on(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    university = University(settings)
    university.weeks(1)
    bad: Message = (b"s1", b'{"student": 7', headers("day", "/x", "1"))
    university._new[settings.topics.days.name, 0].insert(3, bad)
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)
    await check(client, settings, university)

    reader = consumer(settings, "test")
    await reader.start()
    partitions = [TopicPartition(settings.topics.dead_letters.name, n) for n in range(settings.source_partitions)]
    letters = [record async for _, records in read_to_end(reader, partitions) for record in records]
    await reader.stop()
    (letter,) = letters
    assert (letter.key, letter.value) == bad[:2]
    kept = dict(letter.headers)
    assert (kept[STAGE], kept[OFFSET], kept[TYPE]) == (b"readmodel", b"3", b"leap.day.v1")
    assert kept[REASON]


async def test_a_row_of_an_unknown_codec_ends_the_sink_before_anything_is_claimed(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    await producer.deliver(settings.topics.engagement.name, 0, [(b"s1", b"\x09" * 80, [])])

    with pytest.raises(CodecError):
        await asyncio.wait_for(ReadModel(settings, FakeHealth()).run(), PATIENCE)
    assert not await client.exists(Keys(settings.prefix).progress)


# -- progress ---------------------------------------------------------------------------------------------------------


async def test_a_step_is_taken_only_where_the_batch_was_written_and_nobody_stepped_meanwhile(
    settings: Settings, client: Redis
) -> None:
    redis_client = connect(settings, "test")
    store, keys = Store(settings, redis_client), Keys(settings.prefix)
    tp = TopicPartition("topic", 0)

    written = await store.write(Batch(), [tp])
    assert await store.claim(written.attempt, {tp: ("", "1:10")}) == [True]
    # Redis took over from an older copy between the two: it has the progress of then, and not our data.
    written = await store.write(Batch(), [tp])
    await client.delete(keys.attempts)
    assert await store.claim(written.attempt, {tp: ("1:10", "1:20")}) == [False]
    # Another sink has written since: whether its data or ours is there makes no difference, but only one may step.
    ours, theirs = await store.write(Batch(), [tp]), await store.write(Batch(), [tp])
    assert await store.claim(ours.attempt, {tp: ("1:10", "1:20")}) == [False]
    assert await store.claim(theirs.attempt, {tp: ("1:10", "1:15")}) == [True]
    # And not from a progress that is not there any more.
    written = await store.write(Batch(), [tp])
    assert await store.claim(written.attempt, {tp: ("1:10", "1:20")}) == [False]
    assert await store.positions([tp]) == ["1:15"]
    await redis_client.aclose()


async def test_progress_of_another_epoch_counts_for_nothing(settings: Settings) -> None:
    redis_client = connect(settings, "test")
    store = Store(settings.model_copy(update={"epoch": 2}), redis_client)
    assert (store.offset_of("2:7"), store.offset_of("1:7"), store.offset_of("")) == (7, None, None)
    await redis_client.aclose()


async def test_after_a_flush_under_way_the_sink_comes_back_by_itself(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    university = University(settings)
    university.weeks(4)
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)
        before = rewinds()
        # Once while records come, and once while none do.
        university.weeks(2)
        sending = asyncio.create_task(university.send(producer))
        await client.flushdb()
        await sending
        await wait_for(client, settings, university)
        await check(client, settings, university)
        await client.flushdb()
        await wait_for(client, settings, university)
        await check(client, settings, university)
        assert rewinds() > before


async def test_after_a_fall_to_an_older_copy_the_sink_comes_back_by_itself(
    settings: Settings, producer: Producer, valkey: EmbeddedValkey
) -> None:
    settings = settings.model_copy(update={"redis": valkey.url})
    university = University(settings)
    university.weeks(4)
    async with Redis.from_url(valkey.url, decode_responses=True) as client, sink(settings) as health:
        await university.send(producer)
        await wait_for(client, settings, university)
        await client.save()
        copy = (valkey.directory / "dump.rdb").read_bytes()
        university.weeks(2)
        university.upheaval()
        await university.send(producer)
        await wait_for(client, settings, university)
        before, stepped = rewinds(), health.steps

        await asyncio.to_thread(valkey.kill)
        (valkey.directory / "dump.rdb").write_bytes(copy)
        await asyncio.to_thread(valkey.start)
        await client.connection_pool.disconnect()

        await until(lambda: rewinds() > before, "the sink notices that Redis is older, without any record coming")
        await wait_for(client, settings, university)
        await check(client, settings, university)
        await until(lambda: health.ready and health.steps > stepped, "the sink is ready again")


async def test_redis_hangs_for_20_seconds_under_load_while_a_second_sink_joins(
    settings: Settings, producer: Producer, valkey: EmbeddedValkey
) -> None:
    settings = settings.model_copy(update={"redis": valkey.url, "poll_records": 50})
    university = University(settings)

    async def load(days: int) -> None:
        for _ in range(days):
            university.weeks(1)
            await university.send(producer)

    async with (
        Redis.from_url(valkey.url, decode_responses=True) as client,
        contextlib.AsyncExitStack() as second,
        sink(settings) as first,
    ):
        await load(3)
        await until(lambda: first.steps > 2, "the first sink writes")
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            # Not a wait for something to happen: this is how long Redis hangs.
            hanging = asyncio.create_task(asyncio.sleep(20))
            await load(3)
            other = await second.enter_async_context(sink(settings))
            await until(lambda: metrics.redis_up._value.get() == 0, "the metric says that Redis is down")
            assert not first.ready
            await hanging
            groups = await members(settings)
            assert len(groups) == 2, "a hanging Redis must not hold up the rebalance"
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        await load(3)
        await wait_for(client, settings, university, seconds=60)
        await until(lambda: first.ready and other.ready, "both sinks are ready")
        await check(client, settings, university)


async def members(settings: Settings) -> set[str]:
    """Members of the sink's group that have partitions."""
    async with admin(settings) as kafka:
        (answer,) = await kafka.describe_consumer_groups([settings.group("readmodel")])
        return {member[0] for group in answer.groups for member in group[5] if group[1] and member[4]}


async def test_the_sink_waits_while_redis_is_read_only(
    settings: Settings, producer: Producer, valkey: EmbeddedValkey
) -> None:
    settings = settings.model_copy(update={"redis": valkey.url})
    university = University(settings)
    async with Redis.from_url(valkey.url, decode_responses=True) as client, sink(settings) as health:
        await university.send(producer)
        await wait_for(client, settings, university)
        await client.replicaof("127.0.0.1", "1")
        university.weeks(1)
        await university.send(producer)
        await until(lambda: not health.ready, "the sink says that it waits")
        await client.replicaof("NO", "ONE")
        await wait_for(client, settings, university)
        await check(client, settings, university)


async def test_freshness_is_measured_for_new_activities_and_nothing_else(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    def measured() -> int:
        (metric,) = metrics.event_to_redis_seconds.collect()
        return int(next(sample.value for sample in metric.samples if sample.name.endswith("_count")))

    university, before = University(settings), measured()
    university.busy()
    university.close()
    await university.send(producer)
    async with sink(settings):
        # Redis was empty, so this is read from its start.
        await wait_for(client, settings, university)
        assert measured() == before
        for student in university.students[:10]:
            university.act(student)
        university.decide()
        await university.send(producer)
        await wait_for(client, settings, university)
        await until(lambda: measured() == before + 10, "ten rows with a new activity are measured")

        # A close writes rows whose last activity is hours old, and a flush brings all of them again.
        university.close()
        await university.send(producer)
        await wait_for(client, settings, university)
        await client.flushdb()
        await wait_for(client, settings, university)
        assert measured() == before + 10


async def test_lag_can_be_seen_in_kafka(settings: Settings, producer: Producer, client: Redis) -> None:
    university = University(settings)
    offsets = Offsets(settings)
    await offsets.start()
    tp = TopicPartition(settings.topics.engagement.name, 0)
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)

        async def committed() -> bool:
            found = await offsets.committed(settings.group("readmodel"), [tp])
            return found.get(tp) == len(university.sent[tp.topic, 0])

        await until(committed, "the sink has committed what it wrote")
    await offsets.stop()


# -- rebuild and parity -----------------------------------------------------------------------------------------------


async def test_parity_names_what_differs_and_rebuild_mends_it_beside_the_running_sink(
    settings: Settings, producer: Producer, client: Redis
) -> None:
    university, keys = University(settings), Keys(settings.prefix)
    university.weeks()
    async with sink(settings):
        await university.send(producer)
        await wait_for(client, settings, university)
        before = await contents(client, settings)
        await client.delete(keys.view("s1"), keys.days("s2"))
        await client.hset(keys.view("s3"), "version", "7")
        await client.hset(keys.view("s4"), "rating", "no such rating")
        await client.hset(keys.rating("s6"), "version", str(version(9, 9)))
        old = {"version": str(version(1, 3)), "enrolled": "0", "partition": "0", "rating": "high", "department": "cs"}
        await client.hset(keys.view("s900"), items=[word for pair in old.items() for word in pair])
        await client.sadd(keys.department_rating("cs", "high"), "s900")
        (alert,) = (await client.hkeys(keys.alerts("s59")))[:1]
        await client.hdel(keys.alerts("s59"), alert)

        report = await compare(settings)
        assert not report.same
        assert (report.views.missing, report.views.older, report.views.extra) == (1, 1, 1)
        assert report.ratings.newer == 1
        assert report.days.missing == len(before[keys.days("s2")])
        assert report.alerts.missing == 1
        assert report.index.extra > 0

        await client.delete(keys.rating("s6"))
        read = await rebuilt(settings)

        assert read == sum(len(messages) for messages in university.sent.values())
        report = await compare(settings)
        assert report.same, report
        after = await contents(client, settings)
        assert after.pop(keys.view("s900")).keys() == {"version", "removed"}
        lists = {key for key in before if "}:rating:" in key}
        assert {key for key in before if before[key] != after.get(key)} <= lists


# -- users ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path, topic_prefix: str) -> Iterator[EmbeddedValkey]:
    """A server with the project's users (and the passwords "<user>-secret")."""
    users = redis_users(tmp_path, topic_prefix.strip("."))
    with Guarded(tmp_path / "guarded", binary=shutil.which("redis-server"), users=users) as server:
        yield server


class Guarded(EmbeddedValkey):
    """A server with users."""

    def as_user(self, name: str, password: str | None = None) -> str:
        return f"redis://{name}:{password or f'{name}-secret'}@{self.address}/0"


async def test_the_writer_may_do_all_that_the_sink_rebuild_and_parity_do(
    settings: Settings, producer: Producer, guarded: Guarded
) -> None:
    settings = settings.model_copy(update={"redis": guarded.as_user("leap-writer")})
    university = University(settings)
    university.weeks()
    university.upheaval()
    async with sink(settings):
        await university.send(producer)
        async with Redis.from_url(settings.redis, decode_responses=True) as client:
            await wait_for(client, settings, university)
        assert (await compare(settings)).same
        await rebuilt(settings)
        assert (await compare(settings)).same


def test_nobody_may_do_more_than_needed(guarded: Guarded, topic_prefix: str) -> None:
    prefix = topic_prefix.strip(".")
    keys = Keys(prefix)
    with redis.Redis.from_url(guarded.as_user("leap-writer")) as writer:
        writer.hset(keys.view("s1"), "version", "1")
        writer.hset(keys.cohort("cs"), "day", "2026-10-05")
        refused(writer, ("SET", "other:key", "1"), ("GET", "other:key"), ("SET", f"{prefix}2:key", "1"))
        refused(
            writer, ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN",)
        )
        refused(
            writer, ("REPLICAOF", "NO", "ONE"), ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"), ("PUBLISH", "c", "x")
        )
    with redis.Redis.from_url(guarded.as_user("leap-reader")) as reader:
        assert reader.hget(keys.view("s1"), "version") == b"1"
        assert reader.xread({keys.changes(0): "0"}) in ({}, [])
        refused(reader, ("HSET", keys.view("s1"), "version", "2"), ("DEL", keys.view("s1")), ("GET", "other:key"))
        refused(reader, ("KEYS", "*"), ("SCAN", "0"), ("EVAL", "return 1", "0"), ("FLUSHDB",))
        refused(reader, ("XADD", keys.changes(0), "*", "a", "b"))
    with redis.Redis.from_url(guarded.as_user("leap-cohorts")) as cohorts:
        assert cohorts.hget(keys.cohort("cs"), "day") == b"2026-10-05"
        assert cohorts.smembers(keys.departments) == set()
        refused(cohorts, ("HGET", keys.view("s1"), "version"), ("HSET", keys.cohort("cs"), "day", "x"))
        refused(cohorts, *[(command, keys.department_rating("cs", "high")) for command in ("SMEMBERS", "SCARD")])


def refused(client: "redis.Redis", *commands: tuple[str, ...]) -> None:
    for command in commands:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("name", "password"), [("leap-writer", "wrong"), ("default", "x"), ("leap-reader", None)])
async def test_wrong_credentials_or_rights_end_the_sink_with_a_clear_error(
    settings: Settings, guarded: Guarded, name: str, password: str | None
) -> None:
    settings = settings.model_copy(update={"redis": guarded.as_user(name, password)})
    university = University(settings, students=4)
    producer = Producer(settings, "test")
    await producer.start()
    await university.send(producer)
    await producer.stop()

    with pytest.raises(RedisRefusedError, match="Redis refuses: ") as error:
        await asyncio.wait_for(ReadModel(settings, FakeHealth()).run(), PATIENCE)
    assert error.value.exit_code == 78
    assert "secret" not in str(error.value)


async def test_a_redis_that_cannot_be_reached_is_down_and_not_refusing(settings: Settings) -> None:
    redis_client = connect(settings.model_copy(update={"redis": "redis://127.0.0.1:1/0"}), "test")
    with pytest.raises(RedisDownError):
        await Store(settings, redis_client).positions([])
    await redis_client.aclose()
