"""The student log, through engagement: decoding, deciding, what it sends, its state read back.

A round is the life of one partition. Whatever comes: a record counts or is in the dead letters, what is sent fits the
topics and can be read by the read model, and the state is what recovery gets.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from agents.engagement import Engagement, Owned
from agents.partition import Context, Partition, PolicyMismatchError
from schemas import log
from schemas.activities import ACTIVITIES
from schemas.policy import Policy, PolicySet
from schemas.state import encode_partition
from schemas.topics import Topics
from sinks.records import Reader
from streams.column_table import Latest
from streams.records import of_objects
from streams.settings import Settings
from tests.agents.campus import policy
from tests.fuzz.mutation import assert_silent, bent, one_of, record, scrambled, text
from windows.civil import CivilDays
from windows.scoring import Rules

NAME = "log"
TOPICS = Topics()
_POLICY: Policy = policy(
    policy={"part_time_window_days": 14}, feeds={"f1": {"expected_delay_hours": 5, "blocks_alerts": True}}
)
_POLICIES = PolicySet([_POLICY])
_CONTEXT = Context(Rules(_POLICIES), CivilDays("Europe/London"))
_LARGEST = 1_000_000
"""Bytes of a message that a topic takes with the broker's default."""
_NOON = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()


class Broker:
    """What engagement sends goes here: as strict as a broker, but in memory."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}
        self.letters: list[Any] = []
        self.state = Latest()
        self.offset = 0

    async def send(self, topic: str, _partition: int, messages: Any) -> list[Any]:
        for key, value, headers in messages:
            size = len(key or b"") + len(value or b"") + sum(len(n) + len(v) for n, v in headers)
            assert size < _LARGEST, f"a message of {size} bytes for {topic}"
            self.sent.setdefault(topic, []).append(self.record(key, value, headers))
        return []

    async def write(self, messages: Any) -> None:
        await self.send(TOPICS.engagement.name, 0, messages)
        for sent in self.sent.get(TOPICS.engagement.name, [])[-len(messages) :] if messages else []:
            self.state.add(sent)

    async def put(self, letters: Any) -> None:
        for letter in letters:
            letter.message(0.0)
            assert_silent(letter.reason)
            assert not letter.reason.startswith("core failed"), letter.reason
        self.letters += letters

    def record(self, key: Any, value: Any, headers: Any) -> SimpleNamespace:
        self.offset += 1
        return record(self.offset, key, value, headers, 1_790_000_000_000)


class Author:
    """Writes the log of one partition."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = _NOON + rng.randint(0, 86_400 * 30)
        self.students = [f"s{i}" for i in range(rng.randint(1, 5))]
        self.position = 0
        self.closed = datetime.fromtimestamp(self.now, UTC).date() - timedelta(days=1)

    def pass_time(self) -> None:
        self.now += self.rng.choice((0, 0, 1, 60, 7_000, 86_400, 86_400 * 3))
        if self.rng.random() < 0.002:
            self.now += 86_400 * 300

    def good(self) -> tuple[bytes | None, dict[str, Any]]:
        rng = self.rng
        self.position += rng.choice((1, 1, 1, 1, 0, 2))
        return one_of(rng, ((60, self.activity), (15, self.student), (12, self.close), (6, self.feed)))

    def activity(self) -> tuple[bytes, dict[str, Any]]:
        rng = self.rng
        at = self.now + rng.choice((0, 0, 0, -3_600, -86_400, -86_400 * 3, -86_400 * 20, 250, -1e9))
        made = {
            "kind": "activity",
            "activity": rng.choice(ACTIVITIES),
            "at": at,
            "position": [rng.choice(("leap.source.a-0", "leap.source.a-1")), self.position, 0],
            "recorded_at": self.now,
            "count": rng.choice((1, 1, 2, 65_535)),
            "once": rng.choice((None, rng.randint(0, 50), rng.getrandbits(63))),
            "attendance": rng.choice((None, None, rng.randint(0, 9), rng.getrandbits(63))),
        }
        if rng.random() < 0.15:
            made |= {"kind": "retraction", "once": rng.choice((rng.randint(0, 50), rng.getrandbits(63)))}
        return rng.choice(self.students).encode(), made

    def student(self) -> tuple[bytes, dict[str, Any]]:
        rng = self.rng
        student = rng.choice(self.students)
        entry: dict[str, Any] | None = {"student": student}
        days = ("0001-01-01", "2026-09-01", "2026-10-10", "2026-11-01", "9999-12-31")
        if rng.random() < 0.15:
            entry = None
        elif entry is not None:
            for name in ("first", "last"):
                if rng.random() < 0.3:
                    entry[name] = rng.choice(days)
            if rng.random() < 0.3:
                spans = [sorted(rng.choices(days, k=2)) for _ in range(rng.choice((1, 2, 64)))]
                kinds = ("exempt", "intermitting")
                entry["absences"] = [{"kind": rng.choice(kinds), "first": a, "last": b} for a, b in spans]
            entry["part_time"] = rng.random() < 0.3
            entry["department"] = rng.choice((None, "cs", "%s", "🎓"))
        made = {
            "kind": "student",
            "record": entry,
            "position": ["leap.students-0", self.position, 0],
            "recorded_at": self.now,
        }
        return student.encode(), made

    def close(self) -> tuple[None, dict[str, Any]]:
        rng = self.rng
        day = self.closed + timedelta(days=rng.choice((1, 1, 1, 2, 0, -5, 9)))
        if datetime.combine(day, datetime.min.time(), UTC).timestamp() + 86_400 < self.now:
            self.closed = max(day, self.closed)
        made = {
            "kind": "day-closed",
            "day": day.isoformat(),
            "policy": _POLICY.version,
            "checksum": _POLICY.checksum,
            "recorded_at": self.now,
            "behind": ["leap.source.a-0"] * rng.choice((0, 0, 1, 2_000)),
        }
        return None, made

    def feed(self) -> tuple[None, dict[str, Any]]:
        name = self.rng.choice(("f1", "f2", f"f{self.rng.getrandbits(30)}"))
        state = self.rng.choice(("stale", "fresh"))
        return None, {"kind": "feed-state", "feed": name, "state": state, "recorded_at": self.now}

    def value(self) -> tuple[bytes | None, bytes | None]:
        """Return what stands on the topic: half of it good."""
        rng = self.rng
        key, made = self.good()
        draw = rng.random()
        if draw < 0.5:
            return key, json.dumps(made, separators=(",", ":")).encode()
        if draw < 0.78:
            # A close that names another policy stops the worker, as it should: it is tried on its own.
            bent_one = bent(rng, made)
            if bent_one.get("kind") == "day-closed":
                bent_one |= {"policy": _POLICY.version, "checksum": _POLICY.checksum}
            value: bytes | None = text(rng, bent_one)
        elif draw < 0.93:
            value = scrambled(rng, json.dumps(made, separators=(",", ":")).encode())
        else:
            value = rng.choice((b"", b"null", b"[]", b"{}", b"0", rng.randbytes(20), None))
        if rng.random() < 0.1:
            key = rng.choice((None, b"", b"\x00", b"\x01s1", b"\x02x", b"\x03", b"\xff", b"s1\n", b"x" * 2_000, b"{}"))
        return key, value

    def split(self) -> list[bytes]:
        """Return values that are only records together."""
        one = text(self.rng, self.good()[1])
        at = self.rng.randrange(len(one) + 1)
        two = json.dumps(self.good()[1]).encode()
        return [one[:at], one[at + 1 :], two + self.rng.choice((b",", b"\n")) + two]


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        yield from _play(rng, inputs, loop)


def _play(rng: random.Random, inputs: int, loop: asyncio.AbstractEventLoop) -> Iterator[bool]:
    broker, author = Broker(), Author(rng)
    simulated = rng.random() < 0.25
    settings = Settings(_env_file=None, simulated_clock=simulated)  # type: ignore[call-arg]
    engagement: Any = Engagement(settings, _CONTEXT, broker, broker, SimpleNamespace())  # type: ignore[arg-type]
    owned = Owned(Partition(0, _CONTEXT), broker)  # type: ignore[arg-type]
    reader, offset = Reader(TOPICS), 0
    while inputs > 0:
        values = [author.value() for _ in range(rng.choice((1, 5, 20, 60)))]
        if rng.random() < 0.05:
            values += [(b"s0", value) for value in author.split()]
        records = []
        for key, value in values[:inputs]:
            offset += rng.choice((1, 1, 1, 3))
            author.pass_time()
            records.append(record(offset, key, value, [("h", b"1")], int(author.now * 1000)))
        inputs -= len(records)
        before = len(broker.letters)
        stopped = loop.run_until_complete(_handle(engagement, owned, records))
        letters = {letter.offset for letter in broker.letters[before:]}
        assert len(letters) == len(broker.letters) - before, "a record is in the dead letters twice"
        assert letters <= {r.offset for r in records}
        check_outputs(broker, reader)
        yield from (r.offset not in letters | stopped for r in records)
        if rng.random() < 0.1:
            owned = Owned(recovered(broker, owned.partition), broker)  # type: ignore[arg-type]
    recovered(broker, owned.partition)


async def _handle(engagement: Any, owned: Owned, records: list[Any]) -> set[int]:
    """Handle a batch; a close under another policy ends the worker: then the same without it."""
    engagement._owned[0] = asyncio.get_running_loop().create_future()
    engagement._owned[0].set_result(owned)
    stopped: set[int] = set()
    while True:
        try:
            left = of_objects([r for r in records if r.offset not in stopped])
            await engagement.handle(TOPICS.student_log.name, 0, left)
        except PolicyMismatchError:
            stopped.add(next(r.offset for r in records if r.offset not in stopped and _is_foreign(r.value)))
            continue
        return stopped


def _is_foreign(value: bytes | None) -> bool:
    try:
        decoded = log.decode(value)
    except ValueError:
        return False
    return isinstance(decoded, log.DayClosed) and (decoded.policy, decoded.checksum) != (
        _POLICY.version,
        _POLICY.checksum,
    )


def check_outputs(broker: Broker, reader: Reader) -> None:
    """What was sent can be read by the read model."""
    for topic, sent in broker.sent.items():
        batch = reader.read([(TopicPartition(topic, 0), sent)])
        assert not batch.letters, (topic, batch.letters[0].reason)
    broker.sent.clear()


def recovered(broker: Broker, held: Partition) -> Partition:
    """Read the state back; it is the state that was held."""
    found = Partition(0, _CONTEXT)
    found.load(broker.state.values())
    assert (found.meta and encode_partition(found.meta)) == (held.meta and encode_partition(held.meta))
    alive = {key for key, row in held.index.items() if held.table["alive"][row]}
    assert {key for key, row in found.index.items() if found.table["alive"][row]} == alive
    return found
