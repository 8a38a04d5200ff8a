"""Source events, through intake: an activity that engagement can read, a record that waits, or a dead letter."""

import asyncio
import json
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr

from schemas import log, unmatched
from schemas.activities import ACTIVITIES
from schemas.cloudevents import RECORDED_AT
from schemas.topics import Topics
from streams.identities import Hashing
from streams.intake import Intake
from streams.settings import Settings
from tests.fuzz.mutation import SECRET, assert_silent, bent, record, scrambled, text

NAME = "sources"
TOPICS = Topics()
_NOW_MS = 1_790_000_000_000
_KNOWN = {b"s1", b"28400", "é🎓".encode()}
_HASHING = Hashing(Settings(_env_file=None, identity_key=SecretStr("k")))  # type: ignore[call-arg]
_HEADERS = (b"1790000000", b"nan", b"inf", b"-1e300", b"1e300", b"", b"1_0", b"\xff", b"0x10", SECRET.encode(), None)


class Sent:
    """What intake or roster sends, by offset of the record that caused it."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.letters: list[Any] = []
        self.waiting: list[Any] = []

    async def deliver(self, topic: str, partition: int, messages: Any) -> list[Any]:
        assert topic == TOPICS.unmatched.name
        assert 0 <= partition < 4
        self.waiting += [unmatched.read(record(0, *message)) for message in messages]
        return []

    async def send(self, topic: str, partition: int, messages: Any) -> list[Any]:
        assert topic == TOPICS.student_log.name
        assert 0 <= partition < 4
        self.log += messages
        for key, value, headers in messages:
            size = len(key) + len(value) + sum(len(n) + len(v) for n, v in headers)
            assert size < 1_000_000, f"{size} bytes for the log"
        return []

    async def put(self, letters: Any) -> None:
        for letter in letters:
            letter.message(0.0)
            assert_silent(letter.reason)
            assert "adapter failed" not in letter.reason
        self.letters += letters


def event(rng: random.Random) -> dict[str, Any]:
    """Return a good event of the generic source."""
    at = rng.choice(("2026-09-21T10:00:00Z", "2026-09-21T10:00:00+14:00", "1990-01-01T00:00:00Z", 1_789_999_000))
    student = rng.choice(("s1", "28400", "é🎓", "nobody"))
    made = {"student": student, "activity": rng.choice(ACTIVITIES), "at": at, "id": f"i{rng.getrandbits(20)}"}
    return made | ({"count": rng.choice((1, 65_535))} if rng.random() < 0.3 else {})


def person_event(rng: random.Random) -> dict[str, Any]:
    """Return a good event of the source that gives keys of its own."""
    made = event(rng)
    return {"person": made.pop("student"), **made}


def _look_up(_: str, seen: Any) -> list[bytes | None]:
    """Know the people whose keys are students' ids; keys are hashed as they are in earnest."""
    for person, at in seen:
        assert len(_HASHING.of("events-by-identity", person)) == 1
        assert isinstance(at, float)
    keys = [person.encode("utf-8", "surrogatepass") for person, _ in seen]
    return [key if key in _KNOWN or key == b"nobody" else None for key in keys]


def row(rng: random.Random) -> dict[str, Any]:
    """Return a good row of the dataset."""
    return {
        "presentation": "AAA/2013J",
        "row": rng.randint(1, 9_999),
        "id_student": rng.choice(("s1", "28400")),
        "id_site": "5",
        "activity_type": rng.choice(("homepage", "forumng")),
        "day": rng.choice(("2013-10-01", "2026-09-20", "0001-01-01", "9999-12-31")),
        "sum_click": rng.choice((1, 7, 65_535)),
    }


def value(rng: random.Random, good: dict[str, Any]) -> bytes | None:
    """Return what stands on a topic of outside: a third of it good."""
    draw = rng.random()
    if draw < 0.35:
        return json.dumps(good).encode()
    if draw < 0.75:
        return text(rng, bent(rng, good))
    if draw < 0.95:
        return scrambled(rng, json.dumps(good, ensure_ascii=False).encode())
    return rng.choice((None, b"", b"[]", b"null", b"1", rng.randbytes(30), b"x" * (1024 * 1024 + 1)))


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    sent, simulated = Sent(), rng.random() < 0.3
    settings = Settings(_env_file=None, simulated_clock=simulated, hash_key=SecretStr("k"))  # type: ignore[call-arg]
    roster = SimpleNamespace(known=_KNOWN, catch_up=lambda _: asyncio.sleep(0))
    identities = SimpleNamespace(look_up=_look_up)
    intake = Intake(settings, sent, sent, roster, identities)  # type: ignore[arg-type]
    source, make = rng.choice(
        (("events", event), ("events", event), ("oulad", row), ("events-by-identity", person_event))
    )
    times = (_NOW_MS, 0, -1) if simulated else (_NOW_MS,)  # without it the broker gives it
    records = []
    for offset in range(inputs):
        headers = [(RECORDED_AT, rng.choice(_HEADERS)), ("x", None)] if rng.random() < 0.3 else []
        key = rng.choice((None, b"", b"s1", b"\xff"))
        records.append(record(offset, key, value(rng, make(rng)), headers, rng.choice(times)))
    topic = TOPICS.source(source).name
    with asyncio.Runner() as runner:
        runner.run(intake.handle(topic, 0, records))
    positions = []
    for key, raw, _ in sent.log:
        decoded = log.decode(raw) if not simulated else _decoded(raw)
        if decoded is not None:
            assert isinstance(decoded, log.ActivityRecord)
            positions.append(decoded.position.offset)
        assert key in _KNOWN
    dead = {letter.offset for letter in sent.letters}
    places = len(sent.log) + len(sent.waiting) + len(sent.letters)
    assert places == inputs, "a record went to two places, or to none"
    positions += [held.offset for held in sent.waiting]
    assert dead.isdisjoint(positions)
    yield from (offset not in dead for offset in range(inputs))


def _decoded(raw: bytes) -> Any:
    """Under a simulated clock a record may carry any time; engagement puts aside what is out of range."""
    try:
        return log.decode(raw)
    except ValueError:
        return None
