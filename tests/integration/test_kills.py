"""Whatever is killed, wherever: nothing acknowledged is lost and nothing counts twice."""

import asyncio
import signal
from datetime import timedelta
from itertools import zip_longest
from typing import Any

import pytest

from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, Event, Installation, noon

pytestmark = pytest.mark.timeout(300)

DAYS = [FIRST_DAY, FIRST_DAY + timedelta(days=1)]
MORNING = noon(FIRST_DAY, 0)


def parts(events: list[Event], n: int) -> list[list[Event]]:
    """Cut events into `n` parts, in order."""
    size = -(-len(events) // n)
    return [events[i : i + size] for i in range(0, len(events), size)]


async def trickle(installation: Installation, events: list[Event], seconds: float = 2.0) -> None:
    """Send events in small portions, spread over some seconds."""
    portions = parts(events, max(1, len(events) // 40))
    for portion in portions:
        await installation.send(portion)
        await asyncio.sleep(seconds / len(portions))


async def assert_all_is_right(
    installation: Installation, ids: list[str], events: list[Event], first: Any, closed: Any
) -> None:
    """State, days, ratings and alerts are what a plain calculation gives, and nothing went to the dead letters."""
    expected = checker.by_day(events)
    held = await checker.assert_counts(installation, ids, expected)
    assert {row.closed for row in held.partitions.values()} == {closed is not None}
    await checker.assert_ratings(installation, ids, expected, closed)
    if closed is not None:
        await checker.assert_days(installation, expected, first, closed)
        await checker.assert_alerts(installation, ids, expected, first, closed)
    assert await installation.read(installation.topics.dead_letters.name) == []


async def test_two_workers_killed_in_turn_lose_and_double_nothing(install: Install) -> None:
    """kill -9 strikes two engagement workers in turn, at every point of a batch and by surprise, while events flow."""
    system = await install(partitions=4)
    ids = checker.students(240)
    events = checker.events(ids, DAYS)
    points: list[str | None] = ["after-outputs", "in-changelog", None, "after-changelog", "before-ack"]
    shares = parts(events, len(points) + 1)

    def engagement(step: int) -> Any:
        point = points[step] if step < len(points) else None
        fault = {"point": point, "nth": 3, "armed": False} if point else None
        return system.start("engagement", fault=fault, LEAP_POLL_RECORDS="50")

    await system.enrol(ids, MORNING)
    system.start("roster")
    system.start("intake")
    workers = [engagement(0), engagement(1)]
    await system.caught_up("roster", "engagement")

    for step, (point, share) in enumerate(zip(points, shares, strict=False)):
        victim = workers[step % 2]
        sending = asyncio.create_task(trickle(system, share))
        if point is None:
            await asyncio.sleep(1.0)
            assert await system.until(lambda: system.behind("engagement"), "the victim has work")
            victim.kill()
        else:
            victim.arm()
            assert await victim.ended() == -signal.SIGKILL
            assert victim.struck
        assert await system.behind("engagement") > 0, "everything was done before the kill"
        await sending
        workers[step % 2] = engagement(step + 2)
    await system.send(shares[-1])
    await system.caught_up("intake", "engagement")

    assert sum(map(len, shares)) == sum(checker.totals(student).total() for student in ids)
    await assert_all_is_right(system, ids, events, FIRST_DAY, None)


@pytest.mark.parametrize("point", ["in-send", "after-send"])
async def test_intake_killed_between_sending_and_committing_counts_once(install: Install, point: str) -> None:
    """Intake dies when a part or all of a batch stands in the student log and nothing of it is committed."""
    system = await install()
    ids = checker.students(60)
    events = checker.events(ids, DAYS)
    # Repeats of what lies before the window are told by nothing but their place at the source.
    long_ago = [Event(student, "tap_in", noon(FIRST_DAY - timedelta(days=30)), f"{student}/ago") for student in ids]

    await system.enrol(ids, MORNING)
    system.start("roster")
    system.start("engagement")
    await system.caught_up("roster", "engagement")
    await system.send([event for pair in zip_longest(long_ago, events) for event in pair if event is not None])
    intake = system.start("intake", fault={"point": point, "nth": 3}, LEAP_POLL_RECORDS="60")
    assert await intake.ended() == -signal.SIGKILL
    assert intake.struck
    sent = len(await system.read(system.topics.student_log.name))
    everything = len(ids) + len(events) + len(long_ago)
    assert len(ids) < sent < everything, "intake had sent nothing, or everything, before the kill"
    system.start("intake")
    await system.caught_up("intake", "engagement")

    assert len(await system.read(system.topics.student_log.name)) > everything, "nothing was sent twice"
    late = checker.once_each(await system.read(system.topics.days.name))
    assert sorted(record.json["student"] for record in late) == ids
    await assert_all_is_right(system, ids, events, FIRST_DAY, None)


@pytest.mark.parametrize("point", ["in-send", "after-send"])
async def test_roster_killed_between_sending_and_committing_enrols_once(install: Install, point: str) -> None:
    """The roster role dies when entries stand in the student log and are not committed; each takes effect once."""
    system = await install()
    ids = checker.students(60)

    await system.enrol(ids, MORNING, department="History")
    roster = system.start("roster", fault={"point": point})
    assert await roster.ended() == -signal.SIGKILL
    assert await system.behind("roster") > 0
    system.start("roster")
    system.start("engagement")
    await system.caught_up("roster", "engagement")

    assert len(await system.read(system.topics.student_log.name)) > len(ids), "nothing was sent twice"
    await assert_all_is_right(system, ids, [], FIRST_DAY, None)


@pytest.mark.parametrize(
    ("point", "part"),
    [
        ("after-outputs", 0.0),
        ("in-changelog", 0.0),
        ("in-changelog", 0.5),
        ("in-changelog", 1.0),
        ("after-changelog", 0.0),
    ],
    ids=["nothing of the changelog", "one row", "half", "all but the last record", "all of it, not acknowledged"],
)
async def test_a_day_close_cut_short_is_completed(install: Install, point: str, part: float) -> None:
    """A worker dies in the middle of a close, with activities before and after it in the same batch."""
    system = await install()
    ids = checker.students(80)
    days = [FIRST_DAY + timedelta(days=n) for n in range(9)]
    last = days[-2]
    early = checker.events(ids[:40], days[:2])
    late = checker.events(ids[40:60], days[3:6], seed=2)

    await system.to_log(system.entries(ids, MORNING))
    await system.to_log(system.activities(early))
    await system.close(*days[:2])
    for n, day in enumerate(days[2:8]):
        await system.to_log(system.activities([event for event in late if event.at.date() == day]))
        await system.close(day)
        if n == 0:
            await system.to_log(system.activities(early))  # again: repeats of what was counted
    worker = system.start(
        "engagement", fault={"point": point, "part": part, "only": "close", "nth": 2}, LEAP_POLL_RECORDS="150"
    )
    assert await worker.ended() == -signal.SIGKILL
    assert worker.struck
    closes = [r for r in await system.read(system.topics.days.name) if r.headers["ce_type"] == b"leap.closed-day.v1"]
    assert closes, "the outputs of the close were not delivered before the kill"
    assert await system.behind("engagement") > 0, "everything was done before the kill"
    system.start("engagement", LEAP_POLL_RECORDS="150")
    await system.caught_up("engagement")

    await assert_all_is_right(system, ids, early + late, FIRST_DAY, last)
