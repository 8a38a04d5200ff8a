"""A source that turns bad pauses in every intake process, and no other does; nothing of it is lost or counted twice."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leap.main import run
from schemas import log
from streams.settings import variable
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, Event, Got, Installation, Worker, noon
from tests.integration.test_bad_records import TRACE, assert_dead
from tests.integration.test_kills import MORNING
from windows.civil import CivilDays, date_of

pytestmark = pytest.mark.timeout(300)

STUDENT = "s0001"
SIZE = 20
AT = noon(FIRST_DAY)
NEVER, SOON = "3600", "0.5"
STUCK_AFTER = 4.0
Leap = Callable[..., Awaitable[dict[str, Any]]]


class University:
    """Two sources, what they sent, and the intake processes that read them."""

    def __init__(self, system: Installation) -> None:
        self.system = system
        self.topics = {name: system.topics.source(name).name for name in ("events", "oulad")}
        self.bad: dict[tuple[int, int], Any] = {}
        self.good: defaultdict[str, set[int]] = defaultdict(set)
        self.number = 0

    def start(self, retry: str) -> Worker:
        return self.system.start(
            "intake", LEAP_BREAKER_RETRY=retry, LEAP_STUCK_AFTER=str(STUCK_AFTER), LEAP_POLL_RECORDS=str(SIZE)
        )

    async def send(self, partition: int, n: int, source: str = "events") -> None:
        """Send good records."""
        values = []
        for _ in range(n):
            self.number += 1
            event = Event(STUDENT, "moodle_course", AT, f"e{self.number}").value()
            row = {"presentation": "X", "row": self.number, "id_student": STUDENT, "id_site": "1", "sum_click": 1}
            row |= {"activity_type": "forum", "day": FIRST_DAY.isoformat()}
            values.append(event if source == "events" else json.dumps(row).encode())
        messages = [(STUDENT.encode(), value, self.system.at(AT)) for value in values]
        offsets = await self.system.send_raw(self.topics[source], partition, messages)
        self.good[f"{self.topics[source]}-{partition}"].update(offsets)

    async def send_bad(self, partition: int, n: int) -> None:
        """Send records of a format that nobody knows."""
        messages = [(None, b"<event number='%d'/>" % i, [*self.system.at(AT), *TRACE]) for i in range(n)]
        offsets = await self.system.send_raw(self.topics["events"], partition, messages)
        self.bad |= {(partition, offset): message for offset, message in zip(offsets, messages, strict=True)}

    async def lag(self, source: str) -> int:
        return sum(n for tp, n in (await self.system.lag("intake")).items() if tp.topic == self.topics[source])

    async def dealt_with(self, source: str) -> None:
        async def done() -> bool:
            return not await self.lag(source)

        await self.system.until(done, f"everything of {source} has been dealt with")

    async def share_partitions(self, *workers: Worker) -> None:
        """Wait until these processes have the four partitions, and each of them one at least."""

        async def shared() -> bool:
            details = [json.loads(text or "{}").get("detail", "") for _, text in await self.asked(workers, "/ready")]
            numbers = [int(words[0]) for detail in details if (words := detail.split())[1:] == ["partitions"]]
            return len(numbers) == len(workers) and sum(numbers) == 4 and 0 not in numbers

        await self.system.until(shared, "the partitions are shared out")

    @staticmethod
    async def asked(workers: Any, path: str) -> list[tuple[int, str]]:
        return await asyncio.gather(*(worker.get(path) for worker in workers))

    async def paused(self, *workers: Worker, source: str = "events") -> list[float]:
        return [await worker.metric("leap_source_paused", source=source) for worker in workers]

    async def until_paused(self, paused: int, *workers: Worker) -> None:
        async def said() -> bool:
            return await self.paused(*workers) == [paused] * len(workers)

        await self.system.until(
            said, f"every process says on /metrics that the source is{'' if paused else ' not'} paused"
        )

    async def letters(self) -> list[Got]:
        return await self.system.read(self.system.topics.dead_letters.name)

    async def closes(self) -> list[log.DayClosed]:
        """Return the closes that stand in the log."""
        found = [log.decode(got.value) for got in await self.system.read(self.system.topics.student_log.name)]
        return [record for record in found if isinstance(record, log.DayClosed)]

    async def assert_everything_is_there_once(self) -> None:
        """Good records in the student log, in their order; bad ones in the dead letters; each of them once."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        last: dict[tuple[int, str], int] = {}
        for got in await self.system.read(self.system.topics.student_log.name):
            record = log.decode(got.value)
            if not isinstance(record, log.ActivityRecord):
                continue
            source, offset = record.position.source, record.position.offset
            assert offset > last.get((got.partition, source), -1), "twice, or out of order"
            last[got.partition, source] = offset
            found[source].add(offset)
        assert found == self.good
        await assert_dead(self.system, self.topics["events"], "intake", self.bad)


async def test_a_source_that_turns_bad_pauses_alone_everywhere_and_goes_on_where_it_stood(
    install: Install, redis_db: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two processes, a third, a kill -9 and a close; resumed by command, and by itself when its records are good."""
    system = await install(sources=("events", "oulad"), redis=redis_db, breaker_records=SIZE)
    for name in ("kafka", "redis", "prefix", "profile", "partitions", "source_partitions"):
        monkeypatch.setenv(variable(name), str(getattr(system.settings, name)))
    monkeypatch.setenv("LEAP_SOURCES", json.dumps(system.settings.sources))

    async def leap(*words: str) -> dict[str, Any]:
        assert await asyncio.to_thread(run, [*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    university = University(system)
    await system.enrol([STUDENT], MORNING)
    system.start("roster")
    one, two = university.start(NEVER), university.start(NEVER)
    await system.caught_up("roster")
    await university.share_partitions(one, two)
    for partition in (0, 1):
        await university.send(partition, 5)
        await university.send(partition, 5, "oulad")
    await system.caught_up("intake")
    assert await university.paused(one, two) == [0, 0]

    await turns_bad(university, leap, one, two)
    left = await stays_held_while_all_else_goes_on(university, one, two)
    await is_resumed(university, leap, *left)
    for worker in left:
        worker.terminate()
        assert await worker.ended() == 0
    await goes_on_by_itself(university, leap)


async def turns_bad(university: University, leap: Leap, *workers: Worker) -> None:
    """It pauses within the bound: each process deals with less than two batches more than are judged, and it says so."""
    for partition in (0, 1):
        await university.send_bad(partition, 100)
        await university.send(partition, 30)
    await university.until_paused(1, *workers)
    assert SIZE / 2 < len(await university.letters()) < 4 * SIZE
    told = (await leap("status"))["paused"]
    assert told.keys() == {"events"}
    assert (told["events"]["by"], told["events"]["of"]) == ("breaker", SIZE)
    assert told["events"]["unusable"] > SIZE / 2


async def stays_held_while_all_else_goes_on(university: University, one: Worker, two: Worker) -> tuple[Worker, Worker]:
    """The other source goes on; a third process comes, the first is killed, a day closes. Returns who is left."""
    system = university.system
    began = time.monotonic()
    await university.send(0, 50, "oulad")
    await university.dealt_with("oulad")
    three = university.start(NEVER)
    await university.share_partitions(one, two, three)
    held, letters = await university.lag("events"), len(await university.letters())
    one.kill()
    await university.send(1, 50, "oulad")

    # A close waits for it, but not for ever, and says so.
    civil = CivilDays(system.rules.zone)
    now = [time.time()]
    today = civil.day_of(now[0])
    async with system.ticking(system.clock(lambda: now[0])):
        now[0] = civil.end_of(today) + system.settings.close_grace + 1
        await university.share_partitions(two, three)
        await university.dealt_with("oulad")
        assert await university.closes() == []
        now[0] = civil.end_of(today) + system.settings.close_patience + 1
        await system.until(university.closes, "the day closes")
    partitions = [f"{university.topics['events']}-{n}" for n in (0, 1)]
    close = (await university.closes())[0]
    assert (close.day, sorted(close.behind)) == (date_of(today).isoformat(), partitions)

    assert await university.paused(two, three) == [1, 1]
    assert await university.paused(two, three, source="oulad") == [0, 0]
    assert (await university.lag("events"), len(await university.letters())) == (held, letters)
    assert time.monotonic() - began > STUCK_AFTER, "the watchdog had no time to strike"
    for worker in (one, two, three):
        assert "still in hand at a rebalance" not in worker.log.read_text()
    return two, three


async def is_resumed(university: University, leap: Leap, *workers: Worker) -> None:
    """By command: everything that waits passes, bad as it is."""
    assert await leap("sources", "resume", "events") == {"source": "events", "state": "running", "changed": True}
    await university.system.caught_up("intake")
    assert await university.paused(*workers) == [0] * len(workers)
    assert (await leap("status"))["paused"] == {}
    await university.assert_everything_is_there_once()
    assert await leap("sources", "resume", "events") == {"source": "events", "state": "running", "changed": False}


async def goes_on_by_itself(university: University, leap: Leap) -> None:
    """Bad again, and then good: it is tried now and then, until it is good. But not if an operator has paused it."""
    system = university.system
    four = university.start(SOON)
    await university.share_partitions(four)
    await university.send_bad(0, 90)
    await university.until_paused(1, four)
    await university.send(0, 30)
    await system.caught_up("intake")
    await university.until_paused(0, four)
    await university.assert_everything_is_there_once()
    said = [record.json for record in await system.read(system.topics.source_states.name)]
    assert [(state["state"], state["by"]) for state in said[-2:]] == [("paused", "breaker"), ("running", "breaker")]
    assert len([state for state in said if state["state"] == "paused"]) > 3, "it was tried while it was bad"

    await leap("sources", "pause", "events")
    await university.until_paused(1, four)
    await university.send(1, 10)
    await university.send(1, 10, "oulad")
    await university.dealt_with("oulad")
    assert (await leap("status"))["paused"]["events"]["by"] == "operator"
    assert await university.lag("events") == 10
    await leap("sources", "resume", "events")
    await system.caught_up("intake")
    await university.assert_everything_is_there_once()
