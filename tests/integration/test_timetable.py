"""A timetable from its file to what every intake process holds, and what becomes of records that are no events."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from deploy.servers import EmbeddedBroker
from leap.errors import OK
from leap.main import run
from streams.admin import create_topics
from streams.settings import Settings
from streams.timetable_view import TimetableView
from tests.integration.conftest import Install
from tests.integration.test_bad_records import assert_dead

FILE = """event,start,end,venues,mandatory
CS101,2026-10-05T09:00+01:00,2026-10-05T10:00+01:00,reader:LTB 06,yes
"""
ON = datetime.fromisoformat("2026-10-05T09:30+01:00").timestamp()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"did not happen within 10 s: {what}")


async def test_events_of_a_file_are_known_while_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a process that runs, and by one that starts later; cancelled events are known to neither."""
    file = tmp_path / "autumn.csv"
    file.write_text(FILE)
    with EmbeddedBroker(tmp_path / "kafka") as kafka:
        monkeypatch.setenv("LEAP_KAFKA", kafka.address)
        monkeypatch.setenv("LEAP_PROFILE", "embedded")
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        await create_topics(settings)
        running, later = TimetableView(settings), TimetableView(settings)
        await running.start()
        following = asyncio.create_task(running.follow())

        assert await asyncio.to_thread(run, ["timetable", "load", str(file)]) == OK
        await until(lambda: running.timetable.at("reader:LTB 06", ON) is not None, "the view has the event")
        await later.start()
        assert later.timetable.at("reader:LTB 06", ON) is not None

        assert await asyncio.to_thread(run, ["timetable", "cancel", str(file)]) == OK
        await until(lambda: running.timetable.at("reader:LTB 06", ON) is None, "the view has dropped the event")
        following.cancel()
        await asyncio.wait([following])
        await running.stop()
        await later.stop()


async def test_a_record_that_is_no_event_is_a_dead_letter_once(install: Install) -> None:
    """However many processes of intake hold the timetable; the events beside it are taken."""
    system = await install(sources=("zoom",), identity_key="a secret of the tests")
    topic, group = system.topics.timetable.name, system.settings.group("waiting-room")
    intakes = [system.start("intake"), system.start("intake")]
    event = b'{"event":"e%d","start":"2026-10-05T09:00:00Z","end":"2026-10-05T10:00:00Z","venues":["zoom:1"]}'
    bad = [(b"\xff", event % 3, [("trace", b"\x00\xff")]), (b"e3", b"\xff", [])]
    sent = {}
    for number, message in enumerate(bad):
        good = b"e%d" % number, event % number, []
        (offset, _) = await system.send_raw(topic, number, [message, good])
        sent[number, offset] = message
    partitions = await system.offsets.partitions([topic])

    async def told() -> bool:
        held = [await intake.metric("leap_timetable_events") for intake in intakes]
        done = await system.offsets.committed(group, partitions)
        return held == [2, 2] and done == await system.offsets.ends(partitions)

    await system.until(told, "both processes hold the events, and all records have been judged")
    reasons = await assert_dead(system, topic, "timetable", sent)
    assert set(reasons.values()) == {
        "key: not UTF-8; the key of a timetable record is the event",
        "Invalid JSON: expected value at line 1 column 1",
    }
    for outcome in ("unusable", "taken"):
        counted = [await intake.metric("leap_timetable_records_total", outcome=outcome) for intake in intakes]
        assert sum(counted) == 2, outcome
