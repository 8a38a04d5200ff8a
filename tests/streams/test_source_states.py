"""When a source pauses and when it goes on, as several processes say it to one another over the topic."""

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.source_states import SourceState, encode, read
from streams import metrics, source_states
from streams.holds import Holds
from streams.producer import Message
from streams.settings import Settings
from streams.source_states import SourceStates

SIZE = 10
RETRY = 60.0
SETTINGS = Settings(  # type: ignore[call-arg]
    _env_file=None, sources=("events", "oulad"), breaker_records=SIZE, breaker_share=0.5, breaker_retry=RETRY
)
EVENTS = SETTINGS.topics.source("events").name
LONG_AGO = 1_791_194_400.0


class Topic:
    """The topic, and the producer that writes to it; what stands on it comes to a process when it says so."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.now = LONG_AGO

    async def deliver(self, topic: str, partition: int, messages: list[Message]) -> list[tuple[int, int]]:
        assert (topic, partition) == ("leap.source-states", 0)
        ((key, value, _),) = messages
        self.put(key, value)
        return [(len(self.records) - 1, len(self.records))]

    def put(self, key: bytes | None, value: bytes | None) -> None:
        record = SimpleNamespace(
            topic="leap.source-states",
            partition=0,
            offset=len(self.records),
            key=key,
            value=value,
            timestamp=round(self.now * 1000),
        )
        self.records.append(record)

    def operator(self, state: Any, source: str = "events") -> None:
        self.put(source.encode(), encode(SourceState(1, state, "operator", self.now)))

    @property
    def said(self) -> list[tuple[str, str, str, int, int]]:
        """What was said, in order: source, state, by whom, and what the breaker judged by."""
        states = [(record.key.decode(), state_of(record)) for record in self.records]
        return [(source, state.state, state.by, state.unusable, state.of) for source, state in states]


def state_of(record: Any) -> SourceState:
    """Return what a record says."""
    _, state = read(record.key, record.value)
    assert state is not None
    return state


class Process:
    """One intake process: its holds, and what it knows."""

    def __init__(self, topic: Topic) -> None:
        self.topic, self.holds, self.place = topic, Holds(), 0
        self.states = SourceStates(SETTINGS, topic, self.holds)  # type: ignore[arg-type]

    def follow(self) -> None:
        new, self.place = self.topic.records[self.place :], len(self.topic.records)
        self.states.take(new)

    async def batch(self, *outcomes: bool, source: str = "events", at: float | None = None, began: Any = ...) -> None:
        """Deal with a batch: True is an unusable record; ``at``: when the broker had it."""
        timestamp = round((self.topic.now if at is None else at) * 1000)
        records = [SimpleNamespace(offset=n, timestamp=timestamp) for n in range(len(outcomes))]
        state = self.states.of(source) if began is ... else began
        await self.states.judge(source, state, records, {n for n, unusable in enumerate(outcomes) if unusable})

    @property
    def held(self) -> bool:
        held = EVENTS in self.holds
        assert metrics.source_paused.labels("events")._value.get() == held
        return held


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setattr(source_states, "consumer", lambda *_: None)
    return Topic()


async def test_a_source_pauses_when_the_share_of_its_last_records_is_exceeded(topic: Topic) -> None:
    """At once in the process that finds it, and it is said once; another source is another source."""
    one = Process(topic)
    await one.batch(*[True] * 5, *[False] * 5)
    await one.batch(*[True] * 9, source="oulad")
    assert topic.said == []

    await one.batch(False, True, True)
    await one.batch(True, True, True, True)
    assert one.held
    assert topic.said == [("events", "paused", "breaker", 6, 10)]
    assert SETTINGS.topics.source("oulad").name not in one.holds
    one.follow()
    assert one.held


async def test_every_process_pauses_and_goes_on_with_the_others_also_one_that_starts_later(topic: Topic) -> None:
    one, two = Process(topic), Process(topic)
    await one.batch(*[True] * SIZE)
    two.follow()
    three = Process(topic)
    three.follow()
    assert (one.held, two.held, three.held) == (True, True, True)

    topic.operator("running")
    for process in (one, two, three):
        process.follow()
        assert not process.held


async def test_a_batch_that_began_before_somebody_paused_the_source_resumes_nothing(topic: Topic) -> None:
    """It was in hand when another process paused the source: it is not the one that was let through."""
    one, two = Process(topic), Process(topic)
    await one.batch(*[True] * SIZE)
    two.follow()

    await two.batch(*[False] * SIZE, began=None)
    assert two.held
    assert len(topic.said) == 1


@pytest.mark.parametrize(("unusable", "state"), [(5, "running"), (6, "paused")])
async def test_the_batch_that_is_let_through_decides(topic: Topic, unusable: int, state: str) -> None:
    """Once a pause, when it has lasted long enough; paused again, the next one has to wait as long again."""
    one = Process(topic)
    await one.batch(*[True] * SIZE)
    one.follow()
    one.states.let_through(topic.now + RETRY - 1)
    assert not one.holds.fetched(EVENTS)
    one.states.let_through(topic.now + RETRY)
    assert one.holds.passes(EVENTS)
    one.states.let_through(topic.now + RETRY + 1)
    assert not one.holds.passes(EVENTS), "one batch a pause"

    since = state_of(topic.records[0]).since
    topic.now += RETRY + 1
    await one.batch(*[True] * unusable, *[False] * (SIZE - unusable))
    assert topic.said[1:] == [("events", state, "breaker", unusable, SIZE)]
    assert one.held == (state == "paused")
    assert (state_of(topic.records[1]).since == since) == (state == "paused"), "since when is kept"
    one.follow()
    one.states.let_through(topic.now + RETRY - 1)
    assert one.holds.passes(EVENTS) == (state == "running")
    one.states.let_through(topic.now + RETRY)
    assert one.holds.passes(EVENTS)


async def test_a_source_that_goes_on_is_judged_anew(topic: Topic) -> None:
    one = Process(topic)
    await one.batch(*[True] * SIZE)
    one.states.let_through(topic.now + 1e9)
    await one.batch(False)
    assert not one.held

    await one.batch(*[True] * (SIZE - 1))
    assert not one.held, "nine are not yet ten"
    await one.batch(True)
    assert one.held


async def test_what_an_operator_paused_is_never_tried(topic: Topic) -> None:
    one = Process(topic)
    topic.operator("paused")
    one.follow()
    assert one.held

    one.states.let_through(topic.now + 1e9)
    assert not one.holds.passes(EVENTS)


async def test_what_stood_on_the_topic_when_an_operator_resumed_passes(topic: Topic) -> None:
    """They know what waits; else the source would pause again at once. What comes afterwards is judged as ever."""
    one = Process(topic)
    await one.batch(*[True] * SIZE)
    topic.now += 3600
    topic.operator("running")
    one.follow()
    before = Process(topic)  # and a process that has started since knows it, too
    before.follow()

    for process in (one, before):
        await process.batch(*[True] * 3 * SIZE, at=topic.now - 1)
        assert not process.held
    await before.batch(*[True] * SIZE, at=topic.now + 1)
    assert before.held


async def test_an_operators_word_that_a_process_did_not_know_is_said_again(topic: Topic) -> None:
    """It stands before the process's own on the topic, where the last one holds: whoever starts later would not see it."""
    one, other = Process(topic), Process(topic)
    topic.operator("running")
    await one.batch(*[True] * SIZE)
    assert one.held

    for process in (one, other):
        process.follow()
        await process.states.say_again()
    assert [(state, by) for _, state, by, *_ in topic.said] == [
        ("running", "operator"),
        ("paused", "breaker"),
        ("running", "operator"),
    ]
    for process in (one, other, Process(topic)):
        process.follow()
        assert not process.held
        await process.states.say_again()
    assert len(topic.said) == 3


async def test_of_two_words_of_an_operator_the_last_one_holds(topic: Topic) -> None:
    """Also when the first of them was overtaken by a process's own."""
    one = Process(topic)
    topic.operator("running")
    await one.batch(*[True] * SIZE)
    topic.operator("paused")
    one.follow()
    await one.states.say_again()

    assert len(topic.said) == 3
    assert one.held


async def test_what_is_no_state_changes_nothing(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    one = Process(topic)
    topic.operator("paused")
    topic.operator("paused", source="a source of another time")
    topic.put(b"events", b'{"secret": 1}')
    topic.put(None, b"secret")
    one.follow()

    assert one.held
    assert "leap.source-states-0/2" in caplog.text
    assert "secret" not in caplog.text
    topic.put(b"events", None)
    one.follow()
    assert not one.held
