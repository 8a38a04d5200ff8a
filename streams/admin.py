"""Topics of an installation: made by command, checked at every start; what lag is computed from, and who reads."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaConnectionError, for_code

from schemas.topics import Topic
from streams import connection
from streams.reader import connected, consumer
from streams.settings import Settings

_TOPIC_EXISTS = 36
_SHOWN_WITHIN = 30.0  # seconds


class TopicsError(Exception):
    """The cluster's topics are not as they should be; the message says, a line each, what is and what should be."""


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give an admin client, and close it.

    Raises:
        RefusedError: the brokers do not accept us, or we do not trust them.
        aiokafka.errors.KafkaConnectionError: none can be reached; the message says why.
    """
    client = AIOKafkaAdminClient(**connection.kafka(settings), client_id=f"{settings.prefix}.admin")
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.close()
        raise KafkaConnectionError(await connection.why(settings) or "it had no time") from error
    try:
        yield client
    finally:
        await client.close()


def partitions_of(topic: Topic, settings: Settings) -> int:
    """Return how many partitions a topic should have."""
    if topic.name in {settings.topics.clock.name, settings.topics.source_states.name}:
        return 1
    return settings.partitions if topic.by_student else settings.source_partitions


async def create_topics(settings: Settings) -> list[str]:
    """Make the topics that are missing; return their names.

    Existing ones are left as they are (``check_topics`` judges them).

    Raises:
        TopicsError: the broker refused one, or does not show one that it has made.
    """
    made: list[str] = []
    async with admin(settings) as client:
        existing = set(await client.list_topics())
        missing = [topic for topic in settings.topics if topic.name not in existing]
        if missing:
            new = [
                NewTopic(topic.name, partitions_of(topic, settings), settings.replication, topic_configs=topic.config)
                for topic in missing
            ]
            response = await client.create_topics(new, timeout_ms=30_000)
            for name, code, *message in response.topic_errors:
                if code not in {0, _TOPIC_EXISTS}:
                    msg = f"{name}: the broker refused to make it: {message[0] or for_code(code).__name__}"
                    raise TopicsError(msg)
                made.append(name)
            await _until_shown(client, made)
    return made


async def _until_shown(client: AIOKafkaAdminClient, names: list[str]) -> None:
    """Wait until the broker shows topics that it has made: whoever asks at once would be told that they are missing."""
    deadline = time.monotonic() + _SHOWN_WITHIN
    missing = set(names)
    while missing:
        described = await client.describe_topics(sorted(missing))
        missing -= {topic["topic"] for topic in described if not topic["error_code"] and topic["partitions"]}
        if missing and time.monotonic() > deadline:
            raise TopicsError(
                f"made, but not shown by the broker after {_SHOWN_WITHIN:.0f} s: {', '.join(sorted(missing))}"
            )
        await asyncio.sleep(0.05 if missing else 0)


async def check_topics(settings: Settings, *, configs: bool = True, only: Iterable[Topic] | None = None) -> None:
    """Check that every topic (or only some) is there, with the partitions and the settings it should have.

    Raises:
        TopicsError: a line for each that is not.
    """
    problems: list[str] = []
    wanted = {topic.name: topic for topic in (settings.topics if only is None else only)}
    async with admin(settings) as client:
        described: dict[str, Any] = {
            topic["topic"]: topic for topic in await client.describe_topics() if topic["topic"] in wanted
        }
        for name, topic in wanted.items():
            should = partitions_of(topic, settings)
            found = described.get(name)
            if found is None or found["error_code"]:
                hidden = (
                    "" if settings.kafka_user is None else f", if {settings.kafka_user} may see it (leap acls check)"
                )
                problems.append(f"{name}: missing{hidden}; make it with: leap topics create ({should} partitions)")
            elif len(found["partitions"]) != should:
                problems.append(
                    f"{name}: has {len(found['partitions'])} partitions, should have {should} "
                    "(fixed within an epoch; set LEAP_PARTITIONS or LEAP_SOURCE_PARTITIONS to what is there)"
                )
        if configs and settings.profile == "apache" and not problems:
            problems += await _wrong_configs(client, wanted)
    if problems:
        raise TopicsError("\n".join(problems))


async def _wrong_configs(client: AIOKafkaAdminClient, wanted: Mapping[str, Topic]) -> list[str]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    problems = []
    for response in await client.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if code:
                problems.append(f"{name}: its settings may not be looked at: {for_code(code).__name__}")
                continue
            have = {entry[0]: entry[1] for entry in entries}
            for key, value in wanted[name].config.items():
                if have.get(key) != value:
                    problems.append(f"{name}: {key} is {have.get(key)}, should be {value}")
    return problems


async def members(settings: Settings, groups: Iterable[str]) -> dict[str, list[set[TopicPartition]]]:
    """Return what each member of some consumer groups has been given; in the middle of a rebalance that is nothing.

    A group that nobody has ever joined has no members. The embedded broker cannot say it.

    Raises:
        aiokafka.errors.KafkaError: the broker cannot be asked, or may not answer us.
    """
    found: dict[str, list[set[TopicPartition]]] = {}
    async with admin(settings) as client:
        for group in groups:
            # One at a time: aiokafka reads an answer about several by the layout of an older version.
            (response,) = await client.describe_consumer_groups([group])
            ((code, *_, some),) = response.groups
            if code:
                raise for_code(code)(group)
            found[group] = [_given(member[-1]) for member in some]
    return found


def _given(assignment: bytes) -> set[TopicPartition]:
    if not assignment:
        return set()
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    return {TopicPartition(topic, number) for topic, numbers in decoded.assignment for number in numbers}


class Offsets:
    """Looks offsets up from outside any group.

    What a partition has, what a group has committed, what stood at an instant.
    """

    def __init__(self, settings: Settings, name: str = "offsets") -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._name = name
        self._kafka: AIOKafkaConsumer = consumer(settings, name)
        self._groups: dict[str, AIOKafkaConsumer] = {}
        self._opened = AsyncExitStack()
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Connect."""
        await self._kafka.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()
        await self._opened.aclose()

    async def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return every partition of some topics."""
        found: list[TopicPartition] = []
        for topic in topics:
            numbers = self._kafka.partitions_for_topic(topic)
            if numbers is None:
                # What the client knows is what it was last assigned, and a refresh asks for no more than that.
                everything = await self._kafka._client.fetch_all_metadata()
                numbers = everything.partitions_for_topic(topic) or set()
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        return found

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return one past the last offset of partitions."""
        wanted = list(partitions)
        found = dict(await self._kafka.end_offsets(wanted)) if wanted else {}
        if self._settings.profile == "embedded":
            await self._correct(found)
        return found

    async def _correct(self, ends: dict[TopicPartition, int]) -> None:
        """Take ends from what a fetch says: the embedded broker names the beginning of the last batch, plus one."""
        some = {tp: end for tp, end in ends.items() if end > 0}
        async with self._asking:
            self._kafka.assign(list(some))
            for tp, end in some.items():
                self._kafka.seek(tp, end - 1)
            left = set(some)
            while left:
                await self._kafka.getmany(*left, timeout_ms=100)
                for tp in [tp for tp in left if self._kafka.highwater(tp)]:
                    ends[tp] = max(ends[tp], self._kafka.highwater(tp))
                    left.discard(tp)

    async def starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that partitions still have."""
        wanted = list(partitions)
        return dict(await self._kafka.beginning_offsets(wanted)) if wanted else {}

    async def at(self, partitions: Iterable[TopicPartition], instant: float) -> dict[TopicPartition, int]:
        """Return the first offset appended at or after an instant (seconds); the end where there is none.

        The embedded broker cannot answer this: there it is always the end, so that whoever waits waits longer, never
        less.
        """
        wanted = list(partitions)
        ends = await self.ends(wanted)
        if self._settings.profile == "embedded" or not wanted:
            return ends
        found = await self._kafka.offsets_for_times(dict.fromkeys(wanted, int(instant * 1000)))
        return {tp: ends[tp] if found.get(tp) is None else found[tp].offset for tp in wanted}

    async def committed(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return what a consumer group has committed of partitions (those without a commit are left out).

        Asked as a member would that never joins: the admin API's way makes the embedded broker close the connection.
        """
        wanted = list(partitions)
        async with self._asking:  # or who asks at the same time opens another, and takes the assignment away
            kafka = self._groups.get(group)
            if kafka is None:
                opening = connected(self._settings, self._name, group_id=group)
                kafka = self._groups[group] = await self._opened.enter_async_context(opening)
            kafka.assign(wanted)
            kafka.pause(*wanted)  # or it would begin to fetch, which nobody reads and not everybody who asks may
            offsets = {tp: await kafka.committed(tp) for tp in wanted}
        return {tp: offset for tp, offset in offsets.items() if offset is not None}
