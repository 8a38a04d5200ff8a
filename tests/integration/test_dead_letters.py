"""What could not be used is listed, and sent again once the cause is mended: it counts then, and once."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from schemas.cloudevents import headers as attributes
from schemas.dead_letters import FIRST_RECORDED_AT, REPLAY_OF
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, ROOT, Event, Installation, noon
from tests.integration.test_kills import MORNING

pytestmark = pytest.mark.timeout(300)

KNOWN = Event("s0001-c1", "moodle_course", noon(FIRST_DAY), "of a student who is on the roster")
LATER = Event("s0002-c1", "tap_in", noon(FIRST_DAY), "of one who is not yet")


async def leap(system: Installation, *words: str) -> tuple[int, dict[str, Any]]:
    """Run `leap dead-letters`; returns the exit code and its JSON."""
    settings = system.settings
    place = ["--kafka", settings.kafka, "--prefix", settings.prefix, "--profile", settings.profile]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leap.main", "dead-letters", *words, "--json", *place],
        cwd=ROOT,
        env={"LEAP_SOURCES": '["events"]', "LEAP_PARTITIONS": "1", "LEAP_SIMULATED_CLOCK": "true"},
        capture_output=True,
        timeout=90,
    )
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


async def test_a_letter_is_sent_again_and_counts_once(install: Install) -> None:
    """Twice, and once more by force: the same bytes, the way of any record, no more than one activity."""
    system: Installation = await install(partitions=1)
    topics = system.topics
    await system.enrol([KNOWN.student], MORNING)
    roster, _, engagement = (system.start(role) for role in ("roster", "intake", "engagement"))
    await system.send([KNOWN, LATER])
    await system.caught_up("roster", "intake", "engagement")

    _, listed = await leap(system, "list", "--reason", "unknown", "--since", "1h")
    assert listed["reasons"] == [{"stage": "intake", "reason": "student: unknown", "letters": 1}]
    (letter,) = listed["letters"]
    assert (letter["source"], letter["replayed"], letter["cannot_be_replayed"]) == ("events", False, None)
    _, shown = await leap(system, "show", letter["letter"])
    assert LATER.id not in str(shown), "the bytes are shown on demand only"
    assert (shown["key_bytes"], shown["value_bytes"]) == (len(LATER.student), len(LATER.value()))

    async def counted() -> tuple[float, float]:
        found = [await engagement.metric("leap_activities_total", outcome=name) for name in ("counted", "repeated")]
        return found[0], found[1]

    await system.enrol([LATER.student], MORNING)
    await system.caught_up("roster", "engagement")
    assert (await leap(system, "replay", "--dry-run"))[1]["sent"] == 1
    of_source = await system.offsets.partitions([topics.source("events").name])
    assert sum((await system.offsets.ends(of_source)).values()) == 2, "a dry run sends nothing"
    assert await counted() == (1, 0)

    for words, sent, expected in (([], 1, (2, 0)), ([], 0, (2, 0)), (["--again"], 1, (2, 1))):
        code, result = await leap(system, "replay", "--source", "events", *words)
        assert (code, result["sent"], result["replayed_already"]) == (0, sent, 1 - sent), result
        await system.caught_up("intake", "engagement")
        assert await counted() == expected
    first, second = [r for r in await system.read(topics.source("events").name) if REPLAY_OF in r.headers]
    for record in (first, second):
        assert (record.key, record.value) == (LATER.student.encode(), LATER.value())
        assert record.header_list[:2] == [*system.at(LATER.at), ("trace", b"of the source")]
        assert (record.headers[REPLAY_OF], {*record.headers} >= {FIRST_RECORDED_AT}) == (
            letter["letter"].encode(),
            True,
        )
    assert (await leap(system, "list"))[1]["letters"][0]["replayed"]

    # What would put back an old roster entry, or write the log that decides, is refused.
    await system.send_raw(topics.students.name, 0, [(KNOWN.student.encode(), b"{", system.at(MORNING))])
    await system.send_raw(topics.student_log.name, 0, [(b"x", b"{", attributes("activity", "/leap/intake", "a-0/17"))])
    await system.caught_up("roster", "engagement")
    _, result = await leap(system, "replay", "--source", "students", "--dry-run")
    assert result["sent"] == 1
    await system.enrol([KNOWN.student], MORNING)
    await system.caught_up("roster", "engagement")
    code, result = await leap(system, "replay")
    refused = result["refused"]
    assert (code, result["sent"], result["replayed_already"]) == (1, 0, 1)
    assert sorted(refused.values()) == [1, 1]
    assert "the student has a newer roster entry" in refused
    assert any("a-0/17" in why for why in refused), refused
    assert roster.running
