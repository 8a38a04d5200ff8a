"""One bad record never stops a partition and never disappears: it is in the dead letters, byte for byte, with the reason."""

import json
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from schemas import log
from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.faulty_worker import POISONOUS_COUNT
from tests.integration.harness import FIRST_DAY, Event, Got, Installation, noon
from tests.integration.test_kills import DAYS, MORNING

pytestmark = pytest.mark.timeout(300)

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
TRACE = [("trace", b"\x00\xff of the source"), ("trace", b"twice")]
EVENT = Event("s0000-c1", "moodle_course", noon(FIRST_DAY), "an event")


async def assert_dead(
    installation: Installation, topic: str, stage: str, sent: dict[tuple[int, int], Message]
) -> dict[tuple[int, int], str]:
    """Exactly these records are in the dead letters, untouched and told where they were; returns the reasons."""
    letters = await installation.read(installation.topics.dead_letters.name)
    found = {(int(r.headers["dlq.partition"]), int(r.headers["dlq.offset"])): r for r in letters}
    assert found.keys() == sent.keys()
    assert len(letters) == len(sent), "a record stands in the dead letters twice"
    for place, (key, value, headers) in sent.items():
        letter = found[place]
        assert (letter.key, letter.value) == (key, value), letter.headers
        assert letter.header_list[: len(headers)] == headers, "its own headers, in order, come first"
        added = dict(letter.header_list[len(headers) :])
        assert added.keys() == {
            f"dlq.{name}" for name in ("topic", "partition", "offset", "timestamp", "stage", "reason", "failed-at")
        }
        assert (added["dlq.topic"], added["dlq.stage"]) == (topic.encode(), stage.encode())
        assert added["dlq.reason"]
    return {place: letter.headers["dlq.reason"].decode() for place, letter in found.items()}


# -- the student log ------------------------------------------------------------------------------------------------------


async def test_poison_on_the_student_log_is_put_aside_and_all_around_it_counts(install: Install) -> None:
    """Not JSON, wrong types, an unknown kind or student, no value, what makes the core fail: in the middle of batches."""
    system = await install(partitions=1)
    ids = checker.students(20)
    events = checker.events(ids, DAYS)
    activity = log.encode(system.activities([Event(ids[0], "tap_in", MORNING, "good, but for what follows")])[0][1])
    good = json.loads(activity)

    def poison(**fields: Any) -> bytes:
        return json.dumps(good | fields).encode()

    key, last = ids[0].encode(), len(events) - 1
    bad: list[Message] = [
        (key, b"\x80 not JSON", TRACE),
        (key, b"", TRACE),
        (key, None, TRACE),
        (key, b"[]", TRACE),
        (key, poison(activity="moodle_curse"), TRACE),
        (key, poison(at="yesterday"), TRACE),
        (key, poison(count=-1), TRACE),
        (key, poison(kind="of another release"), TRACE),
        (b"nobody", poison(position=["elsewhere-0", 1, 0]), TRACE),
        (None, poison(position=["elsewhere-0", 2, 0]), TRACE),
        (key, poison(position=["elsewhere-0", 3, 0], count=POISONOUS_COUNT), TRACE),
        (key, log.encode(log.StudentRecord(log.msgspec.Raw(b'{"student":7}'), log.Position("x-0", 1), 0.0)), TRACE),
        (None, log.encode(log.DayClosed("2026-02-30", "test.1", "x", MORNING.timestamp() + 1e6)), TRACE),
        (key, poison(position=["elsewhere-0", 4, 0], count=POISONOUS_COUNT), TRACE),
    ]
    await system.to_log([*system.entries(ids, MORNING), *system.activities(events[:100])])
    sent: dict[tuple[int, int], Message] = {}
    for i, message in enumerate(bad):
        offsets = await system.send_raw(system.topics.student_log.name, 0, [message])
        sent[0, offsets[0]] = message
        await system.to_log(system.activities(events[100 + 5 * i : 105 + 5 * i]))
    await system.to_log(system.activities(events[100 + 5 * len(bad) :]))
    worker = system.start("engagement", fault={"point": "core"})
    worker.may_end = False
    await system.caught_up("engagement")

    assert last > 100 + 5 * len(bad)
    reasons = await assert_dead(system, system.topics.student_log.name, "engagement", sent)
    assert "core failed: ArithmeticError" in reasons.values()
    expected = checker.by_day(events)
    await checker.assert_counts(system, ids, expected)
    await checker.assert_ratings(system, ids, expected, None)
    assert await worker.metric("leap_dead_letters_total", stage="engagement") == len(bad)


# -- intake and roster ----------------------------------------------------------------------------------------------------


def bad_source_records() -> dict[str, tuple[bytes | None, bytes | None]]:
    """Return key and value of what no source should send, by what is wrong with it."""
    key = EVENT.student.encode()
    naive = EVENT.at.replace(tzinfo=None).isoformat()
    return {
        "not JSON": (key, b"\x1f\x8b\xff"),
        "empty": (key, b""),
        "a tombstone": (key, None),
        "no key, and not JSON": (None, b"{"),
        "an array": (key, b"[1]"),
        "wrong types": (key, EVENT.value(count="three", at=17)),
        "count of nothing": (key, EVENT.value(count=0)),
        "count beyond all": (key, EVENT.value(count=65536)),
        "an unknown field": (key, EVENT.value(email="a.student@example.org")),
        "no id": (key, EVENT.value(id="")),
        "an unknown activity": (key, EVENT.value(activity="daydreaming")),
        "an unknown student": (b"s9999", EVENT.value(student="s9999")),
        "no zone": (key, EVENT.value(at=naive)),
        "in the future": (key, EVENT.value(at=(EVENT.at + timedelta(minutes=6)).isoformat())),
        "before our time": (key, EVENT.value(at="1989-12-31T00:00:00Z")),
        "a calendar's end": (key, EVENT.value(at="9999-12-31T23:59:59-23:00")),
        "10 MB": (key, EVENT.value(id="x" * 10_000_000)),
    }


async def test_bad_source_records_end_in_the_dead_letters_and_the_stream_goes_on(install: Install) -> None:
    """One of each kind of bad record among good ones: put aside untouched, counted on /metrics, and nothing held up."""
    system = await install(source_partitions=1)
    ids = ["s0000-c30", "s0001-t5"]
    events = checker.events(ids, DAYS[:1])
    topic, headers = system.topics.source("events").name, [*system.at(EVENT.at), *TRACE]

    await system.enrol(ids, MORNING)
    system.start("roster")
    intake = system.start("intake")
    engagement = system.start("engagement")
    sent: dict[tuple[int, int], Message] = {}
    names: dict[tuple[int, int], str] = {}
    for i, (name, (key, raw)) in enumerate(bad_source_records().items()):
        value = None if raw is None else raw.replace(EVENT.student.encode(), ids[0].encode())
        offsets = await system.send_raw(topic, 0, [(key, value, headers)])
        sent[0, offsets[0]], names[0, offsets[0]] = (key, value, headers), name
        await system.send(events[i : i + 1])
    await system.send(events[len(sent) :])
    await system.caught_up("roster", "intake", "engagement")

    reasons = {names[place]: why for place, why in (await assert_dead(system, topic, "intake", sent)).items()}
    assert reasons["an unknown student"] == "student: unknown"
    assert reasons["in the future"] == "at: in the future"
    assert reasons["an unknown activity"].startswith("activity: ")
    assert reasons["no zone"].startswith("at: ")
    assert "10000" in reasons["10 MB"]
    for why in reasons.values():
        assert not any(word in why for word in ("example.org", "daydreaming", "s9999", ids[0])), why
    await checker.assert_counts(system, ids, checker.by_day(events))
    count = {
        o: await intake.metric("leap_source_records_total", source="events", outcome=o) for o in ("sent", "dead_letter")
    }
    assert count == {"sent": len(events), "dead_letter": len(sent)}
    assert await intake.metric("leap_dead_letters_total", stage="intake") == len(sent)
    assert await engagement.metric("leap_activities_total", outcome="counted") == len(events)


async def test_what_is_odd_but_right_is_no_dead_letter(install: Install) -> None:
    """No key, five minutes ahead, another zone, the latest and the earliest: counted, restated or told as late activity."""
    system = await install(source_partitions=1)
    student, days = "s0000", [FIRST_DAY + timedelta(days=n) for n in range(12)]
    today = days[-1]
    topic, now = system.topics.source("events").name, noon(today)

    def event(number: int, at: str) -> Message:
        return None, EVENT.value(student=student, at=at, id=f"{number}"), system.at(now)

    await system.to_log(system.entries([student], MORNING))
    await system.to_log_everywhere(system.closing(FIRST_DAY))
    await system.close(*days[1:-1])
    await system.enrol([student], MORNING)
    system.start("roster")
    system.start("engagement")
    await system.caught_up("roster", "engagement")
    system.start("intake")
    await system.send_raw(
        topic,
        0,
        [
            event(1, (now + timedelta(minutes=5)).isoformat()),
            event(2, noon(days[-3]).isoformat()),
            event(3, noon(days[-1], 0, 30).astimezone().isoformat()),
            event(4, noon(days[0]).isoformat()),
            event(5, "1990-01-02T00:00:00+14:00"),
        ],
    )
    await system.caught_up("intake", "engagement")

    assert await system.read(system.topics.dead_letters.name) == []
    held = await checker.read_state(system)
    assert held.counts(student) == {days[-1]: {"moodle_course": 2}, days[-3]: {"moodle_course": 1}}
    told = [r for r in await system.read(system.topics.days.name) if r.key == student.encode()]
    restated = [r.json for r in told if r.headers["ce_type"] == b"leap.day.v1"]
    assert [(r["day"], r["restated"], r["previous"]["counts"]) for r in restated] == [(str(days[-3]), True, {})]
    late = [(r.json["day"], r.json["count"]) for r in told if r.headers["ce_type"] == b"leap.late-activity.v1"]
    assert late == [(str(days[0]), 1), ("1990-01-01", 1)]


async def test_bad_roster_entries_end_in_the_dead_letters(install: Install) -> None:
    """A roster record without key, under another's key, not JSON or against the rules: put aside; the others enrol."""
    system = await install(partitions=1)
    ids = checker.students(5)
    topic, headers = system.topics.students.name, [*system.at(MORNING), *TRACE]
    entry = {"student": "s1"}
    bad: list[tuple[bytes | None, bytes | None]] = [
        (b"s1", b"{"),
        (b"s1", json.dumps(entry | {"student": "s2"}).encode()),
        (b"s1", json.dumps(entry | {"name": "A. Student"}).encode()),
        (b"s1", json.dumps(entry | {"absences": [{"first": "2026-10-09", "last": "2026-10-08"}]}).encode()),
        (b"", json.dumps({"student": ""}).encode()),
    ]
    sent: dict[tuple[int, int], Message] = {}
    for i, (key, value) in enumerate(bad):
        offsets = await system.send_raw(topic, 0, [(key, value, headers)])
        sent[0, offsets[0]] = key, value, headers
        await system.enrol(ids[i : i + 1], MORNING)
    system.start("roster")
    system.start("engagement")
    await system.caught_up("roster", "engagement")

    reasons = await assert_dead(system, topic, "roster", sent)
    assert not any("A. Student" in why for why in reasons.values())
    assert (await checker.read_state(system)).rows.keys() == set(ids)


async def test_a_hundred_thousand_bad_records_in_a_row_hold_nothing_up_for_long(install: Install) -> None:
    """A source that changed its format, and nothing pauses it: all is in the dead letters in bounded time."""
    system = await install(source_partitions=1, breaker_share=1.0)
    many, good = 100_000, Event("s0000-c1", "moodle_course", noon(FIRST_DAY), "the last")
    topic, headers = system.topics.source("events").name, system.at(noon(FIRST_DAY))
    values = [b'{"vendor":"changed","n":%d}' % i for i in range(many)]

    await system.enrol([good.student], MORNING)
    system.start("roster")
    await system.caught_up("roster")
    await system.send_raw(topic, 0, [(None, value, headers) for value in values])
    await system.send([good])
    began = time.monotonic()
    intake = system.start("intake")
    await system.caught_up("intake", timeout=120)
    took = time.monotonic() - began

    letters: Sequence[Got] = await system.read(system.topics.dead_letters.name)
    assert [letter.value for letter in letters] == values
    assert len([r for r in await system.read(system.topics.student_log.name) if r.key == good.student.encode()]) == 2
    assert await intake.metric("leap_dead_letters_total", stage="intake") == many
    assert took < 90, f"{many} bad records took {took:.0f} s"
