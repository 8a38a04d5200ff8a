"""The same log gives the same results, and the same events sent again give nothing."""

import asyncio
import signal
from datetime import timedelta
from typing import Any

import pytest

from agents.partition import Context, Partition
from schemas.state import decode_partition
from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, Installation
from tests.integration.test_kills import DAYS, MORNING, assert_all_is_right, parts, trickle
from windows.civil import CivilDays
from windows.scoring import Rules

pytestmark = pytest.mark.timeout(300)


async def said(installation: Installation) -> dict[str, set[Any]]:
    """Return all that days, ratings and alerts say, without what was delivered twice."""
    topics = installation.topics
    return {
        topic.description: {(r.partition, r.key, r.value, *r.header_list) for r in await installation.read(topic.name)}
        for topic in (topics.days, topics.ratings, topics.alerts)
    }


async def loaded(installation: Installation) -> dict[int, Any]:
    """Return the state as a worker would load it: every row as of the last close."""
    context = Context(Rules(installation.rules), CivilDays("Europe/London"), installation.settings.epoch)
    latest: dict[int, dict[bytes, bytes | None]] = {}
    for record in await installation.read(installation.topics.engagement.name):
        latest.setdefault(record.partition, {})[record.key or b""] = record.value
    found = {}
    for number, values in latest.items():
        partition = Partition(number, context)
        partition.load([(key, value) for key, value in values.items() if value is not None])
        rows = {key: (partition.rows[i].tobytes(), partition.students[i]) for key, i in partition.index.items()}
        once = {day: partition.once.of(day).tobytes() for day in partition.once_records.names}
        found[number] = rows, once, decode_partition(values[b"\x00"] or b"")
    return found


async def test_the_same_log_in_other_batches_gives_the_same(install: Install) -> None:
    """A log with closes, late activities, repeats, removals and an outage, read whole, in sevens, and by killed workers."""
    system = await install()
    ids = checker.students(50)
    days = [FIRST_DAY + timedelta(days=n) for n in range(12)]
    early = checker.events(ids, days[:3])
    late = checker.events(ids[20:30], days[4:6], seed=3)
    far = checker.events(ids[25:40:3], days[9:10], seed=4)
    await system.to_log(system.entries(ids[:45], MORNING, department="History"))
    for some in parts(early, 5):
        await system.to_log(system.activities(some))
    await system.close(*days[:4])
    await system.to_log(system.activities(checker.events(ids[5:15], days[1:3], seed=5)))  # restates, some are repeats
    await system.to_log(system.entries(ids[40:], MORNING, course="Greek"))
    await system.to_log(system.activities(late))
    await system.close(days[4])
    await system.to_log([(ids[3], system.removal(ids[3], MORNING))])
    await system.to_log(system.activities(early[:50]))
    await system.to_log(system.activities(far))
    await system.close(*days[5:11])
    system.start("engagement")
    await system.caught_up("engagement")
    whole, state = await said(system), await loaded(system)
    assert all(whole.values())

    records = await system.read(system.topics.student_log.name)
    in_sevens: Installation = await install()
    killed: Installation = await install()
    for other in (in_sevens, killed):
        for number in range(system.settings.partitions):
            copied = [(r.key, r.value, r.header_list) for r in records if r.partition == number]
            await other.send_raw(other.topics.student_log.name, number, copied)
    in_sevens.start("engagement", LEAP_POLL_RECORDS="7")
    victim = killed.start("engagement", fault={"point": "in-changelog", "nth": 9}, LEAP_POLL_RECORDS="60")
    assert await victim.ended() == -signal.SIGKILL
    killed.start("engagement", LEAP_POLL_RECORDS="60")
    for other in (in_sevens, killed):
        await other.caught_up("engagement")
        assert await said(other) == whole
        assert await loaded(other) == state


async def test_events_sent_again_change_nothing(install: Install) -> None:
    """A source that sends everything twice: no count, no rating, no row of the state is different."""
    system = await install()
    ids = checker.students(60)
    events = checker.events(ids, DAYS)
    await system.enrol(ids, MORNING)
    system.start("roster")
    system.start("intake")
    worker = system.start("engagement")
    await system.caught_up("roster")
    await system.send(events)
    await system.caught_up("intake", "engagement")
    before, rows = await said(system), (await checker.read_state(system)).rows

    await system.send(reversed(events))
    await system.caught_up("intake", "engagement")

    assert await worker.metric("leap_activities_total", outcome="repeated") == len(events)
    assert await said(system) == before
    after = (await checker.read_state(system)).rows
    assert {student: row.tobytes() for student, row in after.items()} == {s: row.tobytes() for s, row in rows.items()}
    await assert_all_is_right(system, ids, events, FIRST_DAY, None)


async def test_workers_that_join_and_leave_lose_and_double_nothing(install: Install) -> None:
    """A second intake and a second engagement worker join and leave (SIGTERM) while events flow."""
    system = await install(partitions=4)
    ids = checker.students(200)
    events = checker.events(ids, DAYS)
    quarters = parts(events, 3)

    async def both_ready(*workers: Any) -> bool:
        return [(await worker.get("/ready"))[0] for worker in workers] == [200] * len(workers)

    await system.enrol(ids, MORNING)
    system.start("roster")
    stays = [system.start("intake"), system.start("engagement", LEAP_POLL_RECORDS="50")]
    await system.caught_up("roster", "engagement")
    sending = asyncio.create_task(trickle(system, quarters[0], 6))
    guests = [system.start("intake"), system.start("engagement", LEAP_POLL_RECORDS="50")]
    await system.until(lambda: both_ready(*stays, *guests), "all four have partitions")
    await sending
    sending = asyncio.create_task(trickle(system, quarters[1], 6))
    await asyncio.sleep(1.0)
    for guest in guests:
        guest.terminate()
    assert [await guest.ended() for guest in guests] == [0, 0]
    await sending
    await system.send(quarters[2])
    await system.caught_up("intake", "engagement")

    await assert_all_is_right(system, ids, events, FIRST_DAY, None)


async def test_nothing_on_disk_is_needed_to_go_on(install: Install) -> None:
    """All workers are killed and started anew: counts, closes and ratings continue, and nothing is said again."""
    system = await install()
    ids = checker.students(60)
    days = [FIRST_DAY + timedelta(days=n) for n in range(4)]
    events = checker.events(ids, days)
    halves = [[event for event in events if event.at.date() in some] for some in (days[:2], days[2:])]
    await system.enrol(ids, MORNING)

    for half in halves:
        roles = [system.start("roster"), system.start("intake"), system.start("engagement")]
        await system.caught_up("roster")
        await system.send(half)
        await system.caught_up("intake", "engagement")
        await system.close(*days[:2])  # the second time they are closed already
        await system.caught_up("engagement")
        for role in roles:
            role.kill()

    before = [len(await system.read(topic.name)) for topic in (system.topics.ratings, system.topics.days)]
    await system.send(events)  # all are repeats
    system.start("intake")
    system.start("engagement")
    await system.caught_up("intake", "engagement")
    assert [len(await system.read(topic.name)) for topic in (system.topics.ratings, system.topics.days)] == before
    await assert_all_is_right(system, ids, events, FIRST_DAY, days[1])
