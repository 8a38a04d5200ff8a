"""Wherever a sweep dies, every record that waits ends in one place, and positions only rise: on a broker made of lists."""

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence, Set
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas import log, unmatched
from schemas.unmatched import UnmatchedError, Waiting
from streams import waiting_room
from streams.intake import Intake
from streams.settings import Settings
from streams.waiting_room import WaitingRoom, _Standing
from tests.fuzz.mutation import record

SOURCE = "events-by-identity"
SETTINGS = Settings(_env_file=None, sources=(SOURCE,), partitions=1, hash_key=SecretStr("k"))  # type: ignore[call-arg]
TOPIC = SETTINGS.topics.source(SOURCE).name
ROOM = TopicPartition(SETTINGS.topics.unmatched.name, 0)
NOW = 1_790_000_000.0
PEOPLE = "abcd"
SOME = st.sets(st.sampled_from(PEOPLE))


class DiedError(Exception):
    """The process was killed."""


class Broker:
    """What stands on topics, and what the group has committed. ``lives``: what still works before the process dies."""

    def __init__(self) -> None:
        self.topics: defaultdict[str, list[Any]] = defaultdict(list)
        self.letters: list[Any] = []
        self.done, self.note = 0, ""
        self._coordinator = self
        self.assignment = lambda: [ROOM]
        self.lives = 1_000_000

    def _step(self) -> None:
        if self.lives == 0:
            raise DiedError
        self.lives -= 1

    async def send(self, topic: str, partition: int, messages: Any) -> list[Any]:
        for key, value, headers in messages:
            self._step()
            self.topics[topic].append(record(len(self.topics[topic]), key, value, headers, int(NOW * 1000)))
        return []

    async def deliver(self, topic: str, partition: int, messages: Any) -> None:
        await self.send(topic, partition, messages)

    async def put(self, letters: Any) -> None:
        self._step()
        self.letters += letters

    async def fetch_committed_offsets(self, partitions: Any) -> Any:
        return {ROOM: OffsetAndMetadata(self.done, self.note)}

    async def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        self._step()
        self.done, self.note = offsets[ROOM]

    async def read_to_end(self, _: Any, __: Any, *, since: Any) -> AsyncGenerator[Any, None]:
        yield ROOM, self.topics[ROOM.topic][since[ROOM] :]


def event(person: str, number: int) -> bytes:
    """Return an event of somebody."""
    fields = {"person": person, "activity": "tap_in", "at": "2026-09-21T10:00:00Z", "id": f"e{number}"}
    return orjson.dumps(fields)


def room(broker: Broker, known: set[str]) -> WaitingRoom:
    """Return a waiting room over a broker of lists, where some people are known."""
    view = SimpleNamespace(look_up=lambda _, seen: [who.encode() if who in known else None for who, _ in seen])
    roster = SimpleNamespace(known={person.encode() for person in PEOPLE})
    intake = Intake(SETTINGS, broker, broker, roster, view)  # type: ignore[arg-type]
    made = WaitingRoom.__new__(WaitingRoom)
    made._settings, made._topics = SETTINGS, SETTINGS.topics
    made._producer, made._letters, made._group = cast("Any", broker), broker, broker
    made._intake, made._kafka = intake, None
    return made


async def sweep(
    broker: Broker, known: set[str], later: Set[str] = frozenset(), deaths: list[int] | None = None
) -> _Standing:
    """Sweep once; if it dies, the next process does, which may know more."""
    standing = _Standing()
    try:
        await room(broker, known)._sweep(ROOM, standing)
    except DiedError:
        broker.lives = deaths.pop() if deaths else 1_000_000
        return await sweep(broker, known | later, later, deaths)
    return standing


def waiting(person: str, number: int, since: float = NOW) -> Any:
    """Return the message of a record that waits."""
    return Waiting(TOPIC, 1, number, NOW, since, b"key", event(person, number), [("trace", b"\xff")]).message()


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(waiting_room, "_AT_ONCE", 3)
    return made


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=15),
    st.lists(st.tuples(SOME, SOME, st.lists(st.integers(0, 20), max_size=3)), min_size=1, max_size=4),
)
async def test_wherever_it_dies_each_record_leaves_once(
    people: list[str], sweeps: list[tuple[set[str], set[str], list[int]]]
) -> None:
    """Some become known between sweeps, and each sweep dies after some steps and is done again by the next process."""
    broker = Broker()
    await broker.send(ROOM.topic, 0, [waiting(person, number) for number, person in enumerate(people)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting_room, "read_to_end", broker.read_to_end)
        known: set[str] = set()
        for now, later, deaths in sweeps:
            broker.lives = deaths.pop() if deaths else 1_000_000
            await sweep(broker, known | now, later, deaths)
            known |= now | later
            standing = await sweep(broker, known)
            left = [unmatched.read(r) for r in broker.topics[ROOM.topic][broker.done :]]
            assert sum(standing.counts.values()) == len({w.offset for w in left})
            assert standing.since == ({SOURCE: NOW} if left else {})
            assert {w.offset for w in left} == {n for n, person in enumerate(people) if person not in known}
            assert all(
                (w.topic, w.partition, w.key, w.headers) == (TOPIC, 1, b"key", [("trace", b"\xff")]) for w in left
            )

    assert counted(broker) == len([person for person in people if person in known])
    assert broker.letters == []


def counted(broker: Broker) -> int:
    """Return how many activities count: engagement fences positions, and tells repeats by their once-key."""
    found, highest = set(), -1
    for sent in broker.topics[SETTINGS.topics.student_log.name]:
        activity: Any = log.decode(sent.value)
        assert activity.position.source == "leap.unmatched-0"
        if activity.position.offset > highest:
            highest = activity.position.offset
            found.add(activity.once)
    return len(found)


async def test_a_commit_that_goes_back_loses_nothing(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member lost its partition in a sweep and had it again before it committed; another one was further by then."""
    monkeypatch.setattr(waiting_room, "read_to_end", broker.read_to_end)
    await broker.send(ROOM.topic, 0, [waiting(person, number) for number, person in enumerate("aab")])
    await sweep(broker, {"b"})
    assert counted(broker) == 1
    broker.done, broker.note = 0, ""

    await sweep(broker, {"a", "b"})

    assert counted(broker) == 3


async def test_what_nobody_overtakes_is_not_written_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "read_to_end", broker.read_to_end)
    await broker.send(ROOM.topic, 0, [waiting(person, number) for number, person in enumerate("abacad" * 3)])

    await sweep(broker, set())
    assert (len(broker.topics[ROOM.topic]), broker.done) == (18, 0)
    await sweep(broker, {"b"})
    # Its last one stood at 13; the eleven others before it got new places, the four behind it stayed.
    assert (len(broker.topics[ROOM.topic]), broker.done) == (29, 14)


async def test_an_outage_in_a_sweep_is_not_followed_by_a_long_rest(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as long as the outage, but waiting for the broker keeps intake from nothing."""
    now = 0.0

    async def outage(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        nonlocal now
        now += 600.0
        async for what in broker.read_to_end(*args, **kwargs):
            yield what

    clock = SimpleNamespace(monotonic=lambda: now, perf_counter=time.perf_counter, time=time.time)
    monkeypatch.setattr(waiting_room, "time", clock)
    monkeypatch.setattr(waiting_room, "read_to_end", outage)
    await broker.send(ROOM.topic, 0, [waiting("a", 1)])
    swept = room(broker, set())
    swept._identities = swept._roster = cast("Any", SimpleNamespace(changes=0, known=()))
    swept._due = swept._rested = 0.0
    swept._seen, swept._standing = (-1, -1), _Standing()

    await swept._sweep_if_due()

    assert swept._standing.counts == {SOURCE: 1}
    assert swept._rested - now < 10.0, "nobody who becomes known now is looked for"


async def test_what_cannot_wait_is_a_dead_letter_of_its_source(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old, no longer understood, or not written by intake."""
    monkeypatch.setattr(waiting_room, "read_to_end", broker.read_to_end)
    old = waiting("a", 7, NOW - SETTINGS.unmatched_patience - 1)
    broken = Waiting(TOPIC, 0, 8, NOW, NOW, None, b"{", []).message()
    await broker.send(ROOM.topic, 0, [waiting("b", 6), old, broken, (b"k", b"v", [("x", b"y")])])

    standing = await sweep(broker, set())

    assert standing.counts == {SOURCE: 1}
    assert [(x.topic, x.partition, x.offset, x.stage, x.value) for x in broker.letters] == [
        (TOPIC, 1, 7, "intake", event("a", 7)),
        (TOPIC, 0, 8, "intake", b"{"),
        (ROOM.topic, 0, 3, "intake", b"v"),
    ]
    assert broker.letters[0].headers == [("trace", b"\xff")]


def test_the_headers_of_a_source_are_not_taken_for_ours() -> None:
    own = [(unmatched.TOPIC, b"elsewhere"), (unmatched.SINCE, b"0")]
    held = Waiting("t", 1, 2, 3.5, 4.25, None, b"v", own)

    assert unmatched.read(record(0, *held.message())) == held
    bad: Sequence[Any] = [[], own, [*held.message()[2][:-1], (unmatched.SINCE, b"soon")], held.message()[2][::-1]]
    for headers in bad:
        with pytest.raises(UnmatchedError):
            unmatched.read(record(0, None, b"v", headers))
