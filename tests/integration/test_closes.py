"""Days close once each, in order, over every student: whoever writes the closes, how often, and how late."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from schemas import log
from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, Event, Installation, noon
from tests.integration.test_kills import MORNING, assert_all_is_right

pytestmark = pytest.mark.timeout(300)

DAYS = [FIRST_DAY + timedelta(days=n) for n in range(14)]


def after(day: date, seconds: float = 301.0) -> float:
    """Return an instant after the end of a day."""
    return noon(day + timedelta(days=1), 0).timestamp() + seconds


async def closes(installation: Installation) -> list[tuple[int, str]]:
    """Return the closes that stand in the log: partition and day."""
    found = []
    for record in await installation.read(installation.topics.student_log.name):
        decoded = log.decode(record.value or b"")
        if isinstance(decoded, log.DayClosed):
            found.append((record.partition, decoded.day))
    return found


async def closed_through(installation: Installation, day: date, times: int = 1) -> None:
    """Wait until the clock has written a day's close (so often) to every partition."""

    async def written() -> bool:
        found = await closes(installation)
        return all(found.count((n, day.isoformat())) >= times for n in range(installation.settings.partitions))

    await installation.until(written, f"the clock closes {day}", every=0.5)


async def test_students_who_never_did_anything_are_rated_and_alerted_by_closes_alone(install: Install) -> None:
    """Absence sends no event: closes alone rate everyone, open each alert once, and carry what the roster says."""
    system = await install()
    ids = [f"s{i:04}" for i in range(12)]
    now = [noon(FIRST_DAY).timestamp()]
    await system.to_log(system.entries(ids[:9], MORNING))
    await system.to_log(system.entries(ids[9:], MORNING, priority=True, contact_opt_out=True, course="Greek"))
    system.start("engagement")
    async with system.ticking(system.clock(lambda: now[0])):
        for day in (DAYS[0], DAYS[4], DAYS[9]):
            now[0] = after(day)
            await closed_through(system, day)
    await system.caught_up("engagement")

    await assert_all_is_right(system, ids, [], FIRST_DAY, DAYS[9])
    for record in await system.read(system.topics.alerts.name):
        told = record.json
        flags = [told[name] for name in ("priority", "contact_opt_out", "course")]
        assert flags == ([True, True, "Greek"] if told["student"] in ids[9:] else [False, False, None])
        assert told.get("last_active") is None


async def test_a_day_closes_once_however_many_clocks_there_are(install: Install) -> None:
    """Two clocks, one of them ahead, and a third after an outage of three days: one close a partition and day, in order."""
    system = await install()
    ids = checker.students(40)
    events = checker.events(ids[:20], DAYS[:2])
    one, two = [noon(FIRST_DAY).timestamp()], [noon(FIRST_DAY, 18).timestamp()]
    await system.to_log(system.entries(ids, MORNING))
    await system.to_log(system.activities(events))
    system.start("engagement")
    await system.to_log_everywhere(system.closing(DAYS[0], recorded=noon(DAYS[0], 23, 59).timestamp()))  # too early
    async with system.ticking(system.clock(lambda: one[0])), system.ticking(system.clock(lambda: two[0])):
        for day in DAYS[:4]:
            one[0], two[0] = after(day), after(day, 7000)
            await closed_through(system, day, 3 if day == DAYS[0] else 2)
    three = after(DAYS[7], 40_000)
    async with system.ticking(system.clock(lambda: three)):
        await closed_through(system, DAYS[7])
    await system.to_log_everywhere(system.closing(DAYS[2]))  # and one that was long on its way
    await system.caught_up("engagement")

    await assert_all_is_right(system, ids, events, FIRST_DAY, DAYS[7])


async def test_a_later_days_activity_closes_the_missing_days_and_their_late_closes_change_nothing(
    install: Install,
) -> None:
    """After an outage the first activity closes what is missing, with alerts held, and the clock's closes come too late."""
    system = await install(partitions=1)
    ids = checker.students(20)
    events = checker.events(ids[:10], DAYS[:2])
    far = [Event(ids[0], "tap_in", noon(DAYS[7]), "after the outage")]
    await system.to_log(system.entries(ids, MORNING))
    await system.to_log(system.activities(events))
    await system.close(DAYS[0], DAYS[1])
    await system.to_log(system.activities(far))  # closes up to day 5: two days stay open
    await system.close(*DAYS[2:8])
    system.start("engagement")
    await system.caught_up("engagement")

    expected = checker.by_day([*events, *far])
    await checker.assert_counts(system, ids, expected)
    await checker.assert_days(system, expected, FIRST_DAY, DAYS[7])
    await checker.assert_ratings(system, ids, expected, DAYS[7])
    await checker.assert_alerts(system, ids, expected, FIRST_DAY, DAYS[7], held=DAYS[2:6])
    told = [r.json for r in await system.read(system.topics.days.name) if r.headers["ce_type"] == b"leap.closed-day.v1"]
    assert [body["cause"] for body in told] == ["clock"] * 2 + ["outage"] * 4 + ["clock"] * 2


async def test_a_close_waits_for_an_intake_that_is_behind_but_not_for_ever(install: Install) -> None:
    """No close while intake has events of the day unread; when it has passed them, at once; at the latest after 2 h."""
    system = await install()
    ids = checker.students(20)
    today = datetime.now(UTC).date() + timedelta(days=1)  # the broker has nothing yet from after its end
    tomorrow = today + timedelta(days=1)
    now = [noon(today).timestamp()]
    first, second = checker.events(ids[:10], [today]), checker.events(ids[10:], [today], seed=2)
    third = checker.events(ids[:5], [tomorrow], seed=3)
    await system.enrol(ids, noon(today, 0))
    system.start("roster")
    intake = system.start("intake")
    system.start("engagement")
    await system.caught_up("roster", "engagement")
    await system.send(first)
    await system.caught_up("intake")
    async with system.ticking(system.clock(lambda: now[0])):
        intake.stop()
        await system.send(second)
        now[0] = after(today)
        await asyncio.sleep(7.0)  # it looks at least every 5 s
        assert await closes(system) == []
        intake.go_on()
        await closed_through(system, today)
        await system.caught_up("intake", "engagement")
        await checker.assert_days(system, checker.by_day(first + second), today, today)

        intake.stop()
        await system.send(third)
        now[0] = after(tomorrow)
        await asyncio.sleep(7.0)
        assert len(await closes(system)) == system.settings.partitions
        now[0] = after(tomorrow, system.settings.close_patience + 1)
        await closed_through(system, tomorrow)
        intake.go_on()
        await system.caught_up("intake", "engagement")

    days = await system.read(system.topics.days.name)
    behind = [(r.json["day"], r.json["behind"]) for r in days if r.headers["ce_type"] == b"leap.closed-day.v1"]
    sources = [f"{system.topics.source('events').name}-{n}" for n in range(system.settings.source_partitions)]
    assert sorted(behind) == sorted([(str(today), []), (str(tomorrow), sources)] * system.settings.partitions)
    late = [r.json for r in days if r.headers["ce_type"] == b"leap.day.v1" and r.json["day"] == str(tomorrow)]
    assert {body["restated"] for body in late} == {True}
    await assert_all_is_right(system, ids, first + second + third, today, tomorrow)
