"""A timetable from its file to what every intake process holds."""

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
