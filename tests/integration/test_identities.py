"""A record of an unknown person waits, counts on its true day when the identity comes, and is never lost or doubled."""

import asyncio
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leap.connect import redis_client
from leap.main import run
from leap.views import read_views
from schemas import unmatched
from schemas.identities import Claim, Terms, encode
from schemas.redis_keys import Keys
from streams.identities import REFUSED, Hashing
from streams.intake import partition_of
from streams.settings import variable
from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, Installation, noon
from tests.integration.test_bad_records import assert_dead
from tests.integration.test_kills import DAYS, MORNING

pytestmark = pytest.mark.timeout(300)

SOURCE = "events-by-identity"
SETTINGS: dict[str, Any] = {"sources": (SOURCE,), "identity_key": "another secret of the tests", "unmatched_retry": 0.5}
TRACE = ("trace", b"\x00\xff of the source")


def event(system: Installation, person: str, at: datetime, number: int) -> Any:
    """Return an event of a source that knows its own keys only."""
    system.private.add(person)
    fields = {"person": person, "activity": "moodle_course", "at": at.isoformat(), "id": f"e{number}"}
    return None, json.dumps(fields).encode(), [*system.at(at), TRACE]


async def claim(
    system: Installation, person: str, student: str, first: date | None, last: date | None = None, claimed: int = 1
) -> tuple[int, int, bytes, bytes]:
    """Write a claim as the directory team would; return where it stands, and its key and value."""
    system.private.add(student)
    key = Claim(SOURCE, Hashing(system.settings).of(SOURCE, person)[0], first, student).key()
    value = encode(Terms(1, claimed, last))
    number = partition_of(key, system.settings.source_partitions)
    (offset,) = await system.send_raw(system.topics.identities.name, number, [(key, value, [])])
    return number, offset, key, value


async def waits(system: Installation) -> list[unmatched.Waiting]:
    """Return what stands on the topic and is not done with, by the waiting room's group."""
    topic = system.topics.unmatched.name
    done = await system.offsets.committed(
        system.settings.group("waiting-room"), await system.offsets.partitions([topic])
    )
    first = {tp.partition: offset for tp, offset in done.items()}
    return [unmatched.read(_Record(r)) for r in await system.read(topic) if r.offset >= first.get(r.partition, 0)]


class _Record:
    def __init__(self, got: Any) -> None:
        self.key, self.value, self.headers = got.key, got.value, got.header_list


async def test_what_waits_counts_on_its_true_day_once_the_identity_comes(install: Install, redis_db: str) -> None:
    """A card that was Ann's on the first day and Bob's on the second; a third who claims it, too, is refused."""
    system = await install(**SETTINGS, redis=redis_db)
    topic = system.topics.source(SOURCE).name
    first, second = DAYS
    await system.enrol(["s-ann", "s-bob", "s-cid"], MORNING)
    intake = system.start("intake")
    for role in ("roster", "engagement", "readmodel"):
        system.start(role)
    sent = [event(system, "card-7", noon(day, hour), day.day * 24 + hour) for day in DAYS for hour in (9, 10, 11)]
    offsets = await system.send_raw(topic, 0, sent)
    await system.caught_up("roster", "intake")

    held = {(w.topic, w.partition, w.offset): w for w in await waits(system)}
    assert held.keys() == {(topic, 0, offset) for offset in offsets}
    for offset, (key, value, headers) in zip(offsets, sent, strict=True):
        found = held[topic, 0, offset]
        assert (found.key, found.value, found.headers) == (key, value, headers)
        assert found.recorded_at == float(headers[0][1])

    async def counted() -> bool:
        async with redis_client(system.settings) as redis:
            views = await read_views(redis, Keys(system.settings.prefix), ["s-ann", "s-bob", "s-cid"])
        counts = {
            (name, day.day): day.counts["moodle_course"]
            for name, view in views.items()
            for day in view.days
            if day.counts
        }
        return counts == {("s-ann", first.isoformat()): 3, ("s-bob", second.isoformat()): 3}

    await claim(system, "card-7", "s-ann", None, first)
    await claim(system, "CARD-7", "s-bob", second)
    await system.until(counted, "the events count for Ann on the first day and for Bob on the second")
    assert await waits(system) == []
    assert await system.read(system.topics.dead_letters.name) == []

    number, offset, key, value = await claim(system, "card-7", "s-cid", first, claimed=2)
    await system.until(
        lambda: intake.metric("leap_identity_records_total", outcome="refused"), "the newer claim is refused"
    )
    reasons = await assert_dead(
        system, system.topics.identities.name, "identities", {(number, offset): (key, value, [])}
    )
    assert set(reasons.values()) == {REFUSED}
    await system.send_raw(topic, 1, [event(system, "card-7", noon(first, 15), 1000)])
    await system.caught_up("intake", "engagement")
    state = await checker.read_state(system)
    assert (state.counts("s-ann"), state.counts("s-cid")) == ({first: {"moodle_course": 4}}, {})


async def twenty(system: Installation) -> tuple[list[str], list[Any], Any]:
    """Enrol twenty students; return their ids, 400 events of their cards, and what these come to."""
    ids = [f"s{n:04}" for n in range(20)]
    expected: defaultdict[str, defaultdict[date, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    sent = []
    for number in range(400):
        student, day = ids[number * 7 % 20], DAYS[number % 2]
        sent.append(event(system, f"card-of-{student}", noon(day, number % 12), number))
        expected[student][day]["moodle_course"] += 1
    await system.enrol(ids, MORNING)
    system.start("roster")
    system.start("engagement")
    await system.caught_up("roster", "engagement")
    return ids, sent, expected


async def assert_all_count(system: Installation, ids: list[str], expected: Any) -> None:
    """Wait until nothing waits; then everything counts, and nothing is dead."""

    async def none() -> bool:
        return not await waits(system)

    await system.until(none, "nothing waits any more")
    await system.caught_up("engagement")
    await checker.assert_counts(system, ids, expected)
    assert await system.read(system.topics.dead_letters.name) == []


@pytest.mark.parametrize("point", ["in-send", "after-sweep"])
async def test_a_sweep_that_is_killed_loses_and_doubles_nothing(install: Install, point: str) -> None:
    """Some cards are known, some are not: kill -9 when a part of a sweep is delivered, and before it is committed."""
    system = await install(**SETTINGS, source_partitions=1)
    ids, sent, expected = await twenty(system)
    intake = system.start("intake", fault={"point": point})
    await system.send_raw(system.topics.source(SOURCE).name, 0, sent)
    await system.caught_up("intake")

    for student in ids[::2]:
        await claim(system, f"card-of-{student}", student, None)
    await system.struck(intake)
    system.start("intake")

    async def half() -> bool:
        found = await waits(system)
        return len(found) == 200 and len({w.offset for w in found}) == 200

    await system.until(half, "what is not known yet waits, each record once, and nothing else does")
    await system.caught_up("engagement")
    await checker.assert_counts(system, ids, {s: days for s, days in expected.items() if s in ids[::2]})

    for student in ids[1::2]:
        await claim(system, f"card-of-{student}", student, None)
    await assert_all_count(system, ids, expected)


async def test_who_becomes_known_before_a_batch_is_read_again_is_not_lost(install: Install) -> None:
    """Half of the cards are known: kill -9 when a part of what counts is delivered. Then the others become known."""
    system = await install(**SETTINGS, source_partitions=1)
    ids, sent, expected = await twenty(system)
    for student in ids[::2]:
        await claim(system, f"card-of-{student}", student, None)
    intake = system.start("intake", fault={"point": "in-send"})
    await system.send_raw(system.topics.source(SOURCE).name, 0, sent)
    await system.struck(intake)
    for student in ids[1::2]:
        await claim(system, f"card-of-{student}", student, None)
    system.start("intake")
    await system.caught_up("intake")
    await assert_all_count(system, ids, expected)


async def test_a_file_is_loaded_once_and_status_shows_who_is_missing(
    install: Install, redis_db: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file twice writes nothing; a line that is not taken is named; what still waits is counted by source."""
    system = await install(**SETTINGS, redis=redis_db)
    for name in ("kafka", "redis", "prefix", "profile"):
        monkeypatch.setenv(variable(name), getattr(system.settings, name))
    monkeypatch.setenv("LEAP_IDENTITY_KEY", SETTINGS["identity_key"])
    monkeypatch.setenv("LEAP_SOURCES", json.dumps(SETTINGS["sources"]))
    for name in ("partitions", "source_partitions"):
        monkeypatch.setenv(variable(name), "2")

    async def leap(*words: str) -> tuple[int, dict[str, Any]]:
        code = await asyncio.to_thread(run, [*words, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    file = tmp_path / "cards.csv"
    rows = [f"{SOURCE},card-{n},s-{n},," for n in range(3_000)]
    file.write_text("\n".join(["source,key,student,from,to", *rows, f"{SOURCE},card-7,s-8,,", ""]))
    bad = [{"number": 3_002, "reason": REFUSED}]
    assert await leap("identities", "load", str(file)) == (
        1,
        {"file": str(file), "lines": 3_001, "written": 3_000, "withdrawn": 0, "unchanged": 0, "bad": bad},
    )
    code, again = await leap("identities", "load", str(file))
    assert (code, again["written"], again["unchanged"], again["bad"]) == (1, 0, 3_000, bad)
    assert len(await system.read(system.topics.identities.name)) == 3_000

    await system.enrol(["s-7"], MORNING)
    system.start("roster")
    system.start("intake")
    await system.send_raw(
        system.topics.source(SOURCE).name,
        0,
        [event(system, f"card-{n}", noon(FIRST_DAY), n) for n in (7, 7_000, 8_000)],
    )
    await system.caught_up("roster", "intake")
    before = datetime.now(UTC)
    _, status = await leap("status")
    readers = status["readers"]
    for role in ("roster", "intake"):
        assert readers[role] == {"processes": 1, "unread": []}
    unread = [f"{system.topics.student_log.name}-{number}" for number in (0, 1)]
    assert readers["engagement"] == {"processes": 0, "unread": unread}
    assert status["waiting"].keys() == {SOURCE}
    assert status["waiting"][SOURCE]["records"] == 2
    assert before - timedelta(minutes=2) < datetime.fromisoformat(status["waiting"][SOURCE]["since"]) <= before
    assert [r.key for r in await system.read(system.topics.student_log.name)].count(b"s-7") == 2

    file.write_text(f"source,key,student,from,to\n{SOURCE},card-7,s-7,,\n")
    code, report = await leap("identities", "withdraw", str(file))
    assert (code, report["withdrawn"]) == (0, 1)
    file.write_text(f"source,key,student,from,to\n{SOURCE},card-7,s-8,,\n")
    code, report = await leap("identities", "load", str(file))
    assert (code, report["written"]) == (0, 1)


async def test_who_stays_unknown_becomes_a_dead_letter_in_the_end(install: Install) -> None:
    """After the patience: byte for byte, told where it stood at its source. A close does not wait for it."""
    system = await install(**SETTINGS, unmatched_patience=3.0)
    topic = system.topics.source(SOURCE).name
    intake = system.start("intake")
    message = event(system, "card-7", noon(FIRST_DAY), 1)
    (offset,) = await system.send_raw(topic, 1, [message])
    await system.caught_up("intake")
    assert len(await waits(system)) == 1
    await system.until(lambda: intake.metric("leap_unmatched", source=SOURCE), "it is seen to wait")
    assert await intake.metric("leap_unmatched_oldest_timestamp_seconds", source=SOURCE) > 0

    midnight = noon(FIRST_DAY + timedelta(days=1), 0).timestamp()
    clock = system.clock(lambda: midnight)
    marks = await clock.marks(midnight)
    # Recorded now, and so behind that midnight; what matters is that only sources and the roster are asked.
    assert {tp.topic for tp in marks} == {topic, system.topics.students.name}

    async def dead() -> bool:
        return bool(await system.read(system.topics.dead_letters.name))

    await system.until(dead, "it becomes a dead letter")
    reasons = await assert_dead(system, topic, "intake", {(1, offset): message})
    assert set(reasons.values()) == {"person: not known in time"}
    assert await waits(system) == []
    assert await intake.metric("leap_unmatched_records_total", source=SOURCE, outcome="dead_letter") == 1
