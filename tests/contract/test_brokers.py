"""What the system needs of a broker, through its own code, on Apache Kafka and on the embedded one."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import LARGEST_SOURCE_BYTES
from streams import reader
from streams.admin import Offsets, TopicsError, check_topics, create_topics, members
from streams.embedded import DEVIATIONS
from streams.producer import DeliveryError, Message, Producer
from streams.reader import connected, consumer, read_to_end
from streams.record_batches import seek_to_committed
from streams.settings import Settings
from tests.conftest import Broker
from tests.contract.conftest import settings_of
from tests.integration.harness import FIRST_DAY, Installation, noon

PATIENCE = 15.0
"""Seconds within which a broker does what it can do."""


@asynccontextmanager
async def offsets(settings: Settings) -> AsyncIterator[Offsets]:
    """Give our look-up of offsets, started."""
    found = Offsets(settings)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def read(settings: Settings, topic: str, partition: int = 0) -> list[Any]:
    """Return a partition's records, as every reader of ours gets them."""
    async with connected(settings, "contract") as kafka:
        return [r async for _, records in read_to_end(kafka, [TopicPartition(topic, partition)]) for r in records]


def values(n: int) -> list[Message]:
    return [(b"k%d" % i, b"v%d" % i, []) for i in range(n)]


async def until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


# -- topics ---------------------------------------------------------------------------------------------------------------


async def test_topics_are_made_once_and_found_as_they_should_be(settings: Settings) -> None:
    """All settings are accepted, those of compaction too; a second time there is nothing to do."""
    assert sorted(await create_topics(settings)) == sorted(topic.name for topic in settings.topics)
    assert await create_topics(settings) == []
    await check_topics(settings)


async def test_topics_that_are_missing_or_of_other_partitions_are_named(settings: Settings) -> None:
    with pytest.raises(TopicsError, match="missing"):
        await check_topics(settings)
    await create_topics(settings)
    other = settings.model_copy(update={"partitions": 3})
    with pytest.raises(TopicsError, match="has 2 partitions, should have 3"):
        await check_topics(other)


async def test_settings_of_topics_can_be_read_back(settings: Settings) -> None:
    await create_topics(settings)
    async with asyncio.timeout(PATIENCE):
        await check_topics(settings.model_copy(update={"profile": "apache"}))


# -- records ----------------------------------------------------------------------------------------------------------------


async def test_records_come_in_order_with_their_keys_values_and_headers(settings: Settings, producer: Producer) -> None:
    """Null and empty are told apart; headers may repeat and have none or any bytes."""
    await create_topics(settings)
    topic = settings.topics.days.name
    sent: list[Message] = [
        (None, b"no key", []),
        (b"no value", None, [("version", b"5")]),
        (b"", b"", []),
        (b"\x00\xff", b"\xff\x00" * 10, [("twice", b"1"), ("twice", b"\xff"), ("empty", b"")]),
        *values(5_000),
    ]
    spans = await producer.deliver(topic, 1, sent)

    found = await read(settings, topic, 1)
    assert [(r.key, r.value, list(r.headers)) for r in found] == sent
    assert [r.offset for r in found] == [offset for start, stop in spans for offset in range(start, stop)]
    assert found[0].offset == 0


async def test_each_batch_begins_where_the_last_one_ended(settings: Settings, producer: Producer) -> None:
    """By which a zombie's writes to the changelog are told."""
    await create_topics(settings)
    end = 0
    for n in (1, 300, 2, 50):
        for start, stop in await producer.deliver(settings.topics.engagement.name, 0, values(n)):
            assert start == end
            end = stop


async def test_a_record_of_the_largest_size_goes_through(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    topic, value = settings.topics.source("events").name, bytes(range(256)) * (LARGEST_SOURCE_BYTES // 256 - 4)
    await producer.deliver(topic, 0, [(b"k", value, []), (b"k", b"after", [])])

    assert [r.value for r in await read(settings, topic)] == [value, b"after"]


async def test_a_record_beyond_the_largest_size_is_refused(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    with pytest.raises(DeliveryError):
        await producer.deliver(settings.topics.days.name, 0, [(b"k", bytes(2 * 1024 * 1024), [])])


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(settings: Settings, codec: str) -> None:
    await create_topics(settings)
    topic = settings.topics.source("events").name
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, compression_type=codec) as kafka:
        for i in range(50):
            await kafka.send(topic, b"value %d" % i * 20, partition=0)

    assert [r.value for r in await read(settings, topic)] == [b"value %d" % i * 20 for i in range(50)]


async def test_the_broker_says_when_it_took_a_source_record(settings: Settings) -> None:
    """Whatever time the source gives it."""
    await create_topics(settings)
    topic = settings.topics.source("events").name
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap) as kafka:
        await kafka.send_and_wait(topic, b"v", partition=0, timestamp_ms=1_000)

    (found,) = await read(settings, topic)
    assert abs(found.timestamp / 1000 - time.time()) < 60


async def test_a_compacted_topic_takes_no_record_without_a_key(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    with pytest.raises(DeliveryError):
        await producer.deliver(settings.topics.engagement.name, 0, [(None, b"v", [])])


async def test_a_producer_can_be_idempotent(broker: Broker) -> None:
    settings = settings_of(broker)
    await create_topics(settings)
    kafka = Producer(settings.model_copy(update={"profile": "apache"}), "idempotent")
    try:
        async with asyncio.timeout(5):
            await kafka.start()
            await kafka.deliver(settings.topics.days.name, 0, values(3))
    finally:
        await kafka.stop()


# -- offsets ----------------------------------------------------------------------------------------------------------------


async def test_ends_and_starts_are_known(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    name = settings.topics.days.name
    await producer.deliver(name, 0, values(7))
    await producer.deliver(name, 0, values(300))
    async with offsets(settings) as known:
        both = await known.partitions([name])

        assert both == [TopicPartition(name, 0), TopicPartition(name, 1)]
        assert await known.ends(both) == {both[0]: 307, both[1]: 0}
        assert await known.starts(both) == {both[0]: 0, both[1]: 0}


async def test_the_broker_names_the_end_itself(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.days.name, 0)
    await producer.deliver(tp.topic, 0, values(300))
    async with connected(settings, "ends") as kafka:
        assert await kafka.end_offsets([tp]) == {tp: 300}


async def test_offsets_are_found_by_time(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.student_log.name, 0)
    await producer.deliver(tp.topic, 0, values(3))
    await asyncio.sleep(0.05)  # the broker's clock has milliseconds
    between = time.time()
    await asyncio.sleep(0.05)
    await producer.deliver(tp.topic, 0, values(2))
    async with asyncio.timeout(PATIENCE), offsets(settings.model_copy(update={"profile": "apache"})) as known:
        assert await known.at([tp], between) == {tp: 3}
        assert await known.at([tp], time.time() + 60) == {tp: 5}


async def test_whoever_asks_by_time_never_waits_for_less(settings: Settings, producer: Producer) -> None:
    """As our code asks it: what stood there at the instant, or more."""
    await create_topics(settings)
    tp = TopicPartition(settings.topics.student_log.name, 0)
    await producer.deliver(tp.topic, 0, values(3))
    async with offsets(settings) as known:
        assert (await known.at([tp], time.time() + 1))[tp] == 3


@asynccontextmanager
async def member(settings: Settings, group: Any, tp: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer of a group that has a partition."""
    async with connected(settings, "member", group_id=settings.group(group)) as kafka:
        kafka.assign([tp])
        yield kafka


async def test_what_a_group_has_committed_is_seen_from_outside(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.days.name, 0)
    await producer.deliver(tp.topic, 0, values(9))
    async with member(settings, "readmodel", tp) as kafka:
        await kafka.commit({tp: 5})
        async with offsets(settings) as known:
            both = await known.partitions([tp.topic])
            assert await known.committed(settings.group("readmodel"), both) == {tp: 5}
            assert await known.committed(settings.group("roster"), both) == {}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """Return the consumers that are connected from here on."""
    found: list[AIOKafkaConsumer] = []

    def opening(*args: Any, **options: Any) -> AIOKafkaConsumer:
        found.append(consumer(*args, **options))
        return found[-1]

    monkeypatch.setattr(reader, "consumer", opening)
    return found


async def test_who_ask_at_once_what_is_committed_share_a_connection(
    settings: Settings, opened: list[AIOKafkaConsumer]
) -> None:
    """As two clocks of one process do: of two consumers, one would be forgotten and never stopped."""
    await create_topics(settings)
    group = settings.group("readmodel")
    async with offsets(settings) as known:
        partitions = await known.partitions([settings.topics.days.name])
        asked = known.committed(group, partitions), known.committed(group, partitions[:1])
        assert list(await asyncio.gather(*asked)) == [{}, {}]
    assert [kafka._closed for kafka in opened] == [True]


async def test_who_stops_asking_leaves_no_connection_behind(settings: Settings, opened: list[AIOKafkaConsumer]) -> None:
    """As a clock does that ends while it asks for the first time: its consumer has begun to connect, and no more."""
    await create_topics(settings)
    async with offsets(settings) as known:
        asked = asyncio.create_task(known.committed(settings.group("readmodel"), []))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        assert [kafka._closed for kafka in opened] == [True]


async def test_what_was_fetched_but_not_dealt_with_is_fetched_again(settings: Settings, producer: Producer) -> None:
    """From what is committed; where nothing is, from the beginning: Faust may have dropped the first fetch of all."""
    await create_topics(settings)
    first, second = (TopicPartition(settings.topics.students.name, number) for number in (0, 1))
    for tp in (first, second):
        await producer.deliver(tp.topic, tp.partition, values(8))
    async with connected(settings, "group", group_id=settings.group("roster")) as kafka:
        kafka.assign([first, second])
        await kafka.commit({first: 5})

        async def fetched() -> dict[TopicPartition, list[int]]:
            found: dict[TopicPartition, list[int]] = {first: [], second: []}
            async with asyncio.timeout(PATIENCE):
                while not all(offsets[-1:] == [7] for offsets in found.values()):
                    for tp, records in (await kafka.getmany(timeout_ms=200)).items():
                        found[tp] += [record.offset for record in records]
            return found

        await fetched()
        assert await seek_to_committed(kafka) == {first: 5, second: None}
        assert await fetched() == {first: [5, 6, 7], second: list(range(8))}


async def test_a_note_is_kept_beside_a_committed_offset(settings: Settings) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.unmatched.name, 0)
    async with member(settings, "waiting-room", tp) as kafka:
        await kafka.commit({tp: (5, "9")})
        found = await kafka._coordinator.fetch_committed_offsets([tp])
        assert (found[tp].offset, found[tp].metadata) == (5, "9")


async def test_who_reads_is_seen_from_outside(settings: Settings) -> None:
    await create_topics(settings)
    topic, groups = settings.topics.days.name, [settings.group(role) for role in ("readmodel", "roster")]
    async with connected(settings, "group", group_id=groups[0]) as kafka:
        kafka.subscribe([topic])
        async with asyncio.timeout(PATIENCE):
            while not kafka.assignment():
                await kafka.getmany(timeout_ms=100)
            both = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
            assert await members(settings, groups) == {groups[0]: [both], groups[1]: []}


async def test_a_group_can_be_asked_by_the_admin_api(settings: Settings) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.days.name, 0)
    async with member(settings, "readmodel", tp) as kafka:
        await kafka.commit({tp: 5})
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(5):
            found = await admin.list_consumer_group_offsets(settings.group("readmodel"))
        assert found[tp].offset == 5
    finally:
        await admin.close()


# -- consumers --------------------------------------------------------------------------------------------------------------


async def test_a_fetch_is_answered_as_soon_as_there_is_something(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.days.name, 0)
    kafka = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False, fetch_max_wait_ms=8_000)
    await kafka.start()
    try:
        kafka.assign([tp])
        kafka.seek(tp, 0)
        fetched = asyncio.create_task(kafka.getone())
        await asyncio.sleep(0.5)  # the fetch waits at the broker
        await producer.deliver(tp.topic, 0, values(1))
        async with asyncio.timeout(2):
            assert (await fetched).value == b"v0"
    finally:
        await kafka.stop()


async def test_an_offset_that_is_gone_leads_to_the_first_one(settings: Settings, producer: Producer) -> None:
    await create_topics(settings)
    tp = TopicPartition(settings.topics.days.name, 0)
    await producer.deliver(tp.topic, 0, values(2))
    async with connected(settings, "beyond") as kafka:
        kafka.assign([tp])
        kafka.seek(tp, 10_000)
        async with asyncio.timeout(5):
            assert (await kafka.getone()).offset == 0


async def test_partitions_go_to_who_is_there(settings: Settings) -> None:
    """One joins, one leaves: within what the settings allow, somebody has every partition."""
    await create_topics(settings)
    topic = settings.topics.days.name

    def member() -> AIOKafkaConsumer:
        kafka = consumer(
            settings,
            "member",
            group_id=settings.group("readmodel"),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.heartbeat * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout * 1000),
        )
        kafka.subscribe([topic])
        return kafka

    one, two = member(), member()
    await one.start()
    await until(lambda: len(one.assignment()) == 2, "the only member has both partitions", PATIENCE)
    await two.start()
    await until(lambda: [len(m.assignment()) for m in (one, two)] == [1, 1], "each has one of the two", PATIENCE)
    assert one.assignment().isdisjoint(two.assignment())
    await two.stop()
    await until(lambda: len(one.assignment()) == 2, "the other one took over", PATIENCE)
    await one.stop()


async def test_a_role_goes_on_where_one_that_was_killed_had_committed(broker: Broker, tmp_path: Path) -> None:
    """A process of ours over the record-batch transport; the group gives its partitions to the next one."""
    prefix = settings_of(broker).prefix
    async with Installation(broker.address, broker.profile, prefix, tmp_path, partitions=1) as system:
        await system.enrol([f"s{i}" for i in range(50)], noon(FIRST_DAY))
        first = system.start("roster")
        await system.caught_up("roster")
        first.kill()
        await system.enrol([f"s{i}" for i in range(50, 80)], noon(FIRST_DAY))
        system.start("roster")
        await system.caught_up("roster")

        found = await read(system.settings, system.topics.student_log.name)
        assert [r.key for r in found] == [b"s%d" % i for i in range(80)]


# -- the declaration --------------------------------------------------------------------------------------------------------


def test_every_deviation_is_that_of_a_test(request: pytest.FixtureRequest) -> None:
    """So that none is declared which nothing looks after."""
    names = {name.removeprefix("test_") for name in vars(request.module) if name.startswith("test_")}

    assert set(DEVIATIONS) <= names
