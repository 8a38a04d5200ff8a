"""Who may do what in Kafka, declared once: ``leap acls`` gives each user these rights, and no other.

A user is named ``<prefix>-<name>``: one for each role, for a person who operates, for each system that writes or reads.
Every right is about one topic or one group by its full name. Writing idempotently needs no right of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from aiokafka.errors import GroupAuthorizationFailedError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest, DescribeGroupsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from streams.admin import admin
from streams.settings import Process, Settings

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["Topic", "Group"]

# Kafka's numbers for them.
_RESOURCES: dict[Resource, int] = {"Topic": 2, "Group": 3}
_OPERATIONS: dict[Operation, int] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_ANY, _LITERAL, _ALLOW = 1, 3, 3
_NO_RIGHT = GroupAuthorizationFailedError.errno


class Right(NamedTuple):
    """What one user may do with one topic or group. ``Read`` and ``Write`` include ``Describe``."""

    user: str
    operation: Operation
    resource: Resource
    name: str


class RightsError(Exception):
    """The broker does not let us look at rights or give them; the message has its reason."""


def users(settings: Settings) -> dict[str, str]:
    """Return every user by name, and who that is."""
    about = {
        "roster": "`leap worker roster`",
        "intake": "`leap worker intake`",
        "engagement": "`leap worker engagement`",
        "clock": "`leap worker clock`",
        "readmodel": "`leap worker readmodel`",
        "gateway": "`leap gateway`",
        "operator": "a person: `leap topics`, `sources`, `status`, `parity`, `rebuild`",
        "letters": "a person who mends: `leap dead-letters`, which shows what was sent, personal data included",
        "records": "the student records system",
        "directory": "the directory team: `leap identities`",
        "timetabling": "the timetabling system: `leap timetable`",
        **{
            f"source-{source}": f"the source system {source}, `leap ingest` and `leap replay`"
            for source in settings.sources
        },
        "case-work": "who handles alerts",
    }
    return {_user(settings, name): who for name, who in about.items()}


def rights(settings: Settings) -> set[Right]:
    """Return every right of every user."""
    return set(_rights(settings))


def _rights(settings: Settings) -> Iterator[Right]:
    topics = settings.topics
    everything = [topic.name for topic in topics]
    students, log, state = topics.students.name, topics.student_log.name, topics.engagement.name
    days, ratings, alerts = topics.days.name, topics.ratings.name, topics.alerts.name
    letters, clock = topics.dead_letters.name, topics.clock.name
    identities, unmatched, states = topics.identities.name, topics.unmatched.name, topics.source_states.name
    sources = {name: topic.name for name, topic in topics.sources.items()}

    def allow(name: str, operation: Operation, *names: str, resource: Resource = "Topic") -> Iterator[Right]:
        return (Right(_user(settings, name), operation, resource, found) for found in names)

    def group(name: str, operation: Operation, *groups: str) -> Iterator[Right]:
        return allow(name, operation, *(f"{settings.prefix}.{found}" for found in groups), resource="Group")

    # Each looks at every topic when it starts (`streams.admin.check_topics`): names, partitions, settings, ends.
    for name in ("roster", "intake", "engagement", "clock", "readmodel", "operator"):
        yield from allow(name, "Describe", *everything)
        yield from allow(name, "DescribeConfigs", *everything)

    yield from group("roster", "Read", "roster")
    yield from allow("roster", "Read", students)
    yield from allow("roster", "Write", log, letters)

    yield from group("intake", "Read", "intake", "waiting-room")
    yield from group("intake", "Describe", "roster")  # a student is known once the roster role has passed them on
    yield from allow("intake", "Read", students, identities, topics.timetable.name, unmatched, *sources.values())
    yield from allow("intake", "Read", states)
    yield from allow("intake", "Write", log, unmatched, letters, states)

    yield from group("engagement", "Read", "engagement")
    yield from allow("engagement", "Read", log, state)
    yield from allow("engagement", "Write", state, days, ratings, alerts, letters)

    yield from group("clock", "Describe", "roster", "intake")  # a day closes once they have passed its midnight
    yield from allow("clock", "Read", clock)
    yield from allow("clock", "Write", clock, log)

    yield from group("readmodel", "Read", "readmodel")
    yield from allow("readmodel", "Read", state, days, ratings, alerts)
    yield from allow("readmodel", "Write", letters)

    # What senders may do to a source's topic, and no more: the gateway stands where the network does.
    yield from allow("gateway", "Write", *sources.values())

    yield from group("operator", "Describe", "roster", "intake", "waiting-room", "engagement", "readmodel")
    yield from allow("operator", "Create", *everything)
    yield from allow("operator", "Read", state, days, ratings, alerts, clock, unmatched, states, *sources.values())
    yield from allow("operator", "Write", states)  # pauses and resumes sources: it decides nothing about a student

    # Alone among people: what could not be used is readable to whoever mends it, and to nobody else.
    yield from allow("letters", "Read", letters, students)
    yield from allow("letters", "Write", letters, students, *sources.values())

    yield from allow("records", "Write", students)
    yield from allow("directory", "Read", identities)  # to write only what is not there yet
    yield from allow("directory", "Write", identities)
    yield from allow("timetabling", "Write", topics.timetable.name)
    for source, topic in sources.items():
        yield from allow(f"source-{source}", "Write", topic)
    yield from group("case-work", "Read", "case-work")
    yield from allow("case-work", "Read", alerts)


def _user(settings: Settings, name: str) -> str:
    return f"{settings.prefix}-{name}"


async def given(settings: Settings) -> set[tuple[str, ...]]:
    """Return what the broker allows (or denies) our users now, as (user, operation, resource, name).

    What is none of ours in kind (a deny, a pattern, a host, another operation) is described in words there.

    Raises:
        RightsError: the broker does not let us look.
    """
    found: set[tuple[str, ...]] = set()
    operations = {number: name for name, number in _OPERATIONS.items()}
    resources = {number: name for name, number in _RESOURCES.items()}
    async with admin(settings) as client:
        for user in users(settings):
            asked = DescribeAclsRequest(_ANY, None, _ANY, f"User:{user}", None, _ANY, _ANY)
            answer = await client._send_request(asked)
            if answer.error_code:
                raise RightsError(f"{user}: {answer.error_message or for_code(answer.error_code).__name__}")
            for resource, name, pattern, acls in answer.resources:
                for _, host, operation, permission in acls:
                    odd = [
                        *(["denied"] if permission != _ALLOW else []),
                        *([f"pattern {pattern}"] if pattern != _LITERAL else []),
                        *([f"host {host}"] if host != "*" else []),
                    ]
                    what = operations.get(operation, f"operation {operation}")
                    found.add((user, what, resources.get(resource, f"resource {resource}"), name, *odd))
    return found


class _MetadataResponse(Response):
    API_KEY, API_VERSION = 3, 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _MetadataStruct(RequestStruct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 3, 8, _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("create", Boolean),
        ("with_cluster_operations", Boolean),
        ("with_topic_operations", Boolean),
    )


class _Metadata(Request[_MetadataStruct]):
    """Asks what we may do with topics: the first version that answers it, which aiokafka lacks."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        """Take the names of topics."""
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        """Return the request."""
        return request_struct_class(self._topics, False, False, True)


async def lacking(settings: Settings, role: Process) -> list[str]:
    """Return, a line each, what a role needs and we, whoever we are, may not do.

    To be asked at start: a client that may not read waits for ever, and says nothing.
    """
    user = _user(settings, role)
    async with admin(settings) as client:
        topics = await client._send_request(_Metadata([topic.name for topic in settings.topics]))
        allowed = {name: operations for _, name, _, _, operations in topics.topics}

        async def may(right: Right) -> bool:
            if right.resource == "Topic":
                return bool(allowed.get(right.name, 0) >> _OPERATIONS[right.operation] & 1)
            if right.operation == "Describe":
                described = await client._send_request(DescribeGroupsRequest([right.name]))
                return bool(described.groups[0][0] != _NO_RIGHT)
            # Nobody beats so; who may not be a member is told that first.
            beat = await client._send_request(HeartbeatRequest(right.name, -1, "nobody"))
            return bool(beat.error_code != _NO_RIGHT)

        missing = [right for right in rights(settings) if right.user == user and not await may(right)]
    who = settings.kafka_user or "our certificate's user"
    return [
        f"{name}: {who} has no right to {operation} this {resource.lower()}; give it with: leap acls apply"
        for _, operation, resource, name in sorted(missing)
    ]


class _CreateAcls(CreateAclsRequest):
    """aiokafka's request takes a single one; the broker takes many, and 150 one after the other take seconds."""

    def __init__(self, some: Iterable[Right]) -> None:
        """Take the rights to give."""
        self._creations = [
            (
                _RESOURCES[right.resource],
                right.name,
                _LITERAL,
                f"User:{right.user}",
                "*",
                _OPERATIONS[right.operation],
                _ALLOW,
            )
            for right in some
        ]

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks (1; none that we support speaks only 0)."""
        return request_struct_class(self._creations)


async def give(settings: Settings, some: Iterable[Right]) -> None:
    """Give rights.

    Raises:
        RightsError: the broker refused one.
    """
    wanted = list(some)
    async with admin(settings) as client:
        answer = await client._send_request(_CreateAcls(wanted))
        for right, (code, message) in zip(wanted, answer.creation_responses, strict=True):
            if code:
                raise RightsError(f"{right.user}, {right.operation} {right.name}: {message or for_code(code).__name__}")
