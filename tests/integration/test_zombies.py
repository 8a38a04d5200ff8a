"""A worker that was stopped, taken for dead, and goes on: what it writes late undoes nothing."""

import pytest

from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY
from tests.integration.test_kills import DAYS, MORNING, assert_all_is_right, parts

pytestmark = pytest.mark.timeout(300)

SLICES = {"LEAP_POLL_RECORDS": "100"}


@pytest.mark.parametrize("point", ["before-outputs", "after-outputs", "in-changelog"])
async def test_what_a_stopped_worker_writes_late_undoes_nothing(install: Install, point: str) -> None:
    """A worker is stopped before it has written the changelog, replaced, and continued: state and outputs stay right."""
    system = await install()
    ids = checker.students(80)
    events = checker.events(ids, DAYS)
    early, meanwhile, afterwards = parts(events, 3)

    await system.to_log([*system.entries(ids, MORNING), *system.activities(early)])
    stopped = system.start("engagement", fault={"point": point, "action": "stop", "nth": 4}, **SLICES)
    struck = await system.struck(stopped)
    assert await system.behind("engagement") > 0, "everything was done before the stop"
    other = system.start("engagement", **SLICES)
    await system.to_log(system.activities(meanwhile))
    await system.caught_up("engagement")
    before = await checker.read_state(system)
    assert not before.out_of_order
    assert stopped.running

    stopped.go_on()
    assert await stopped.ended() == 70
    assert "another worker wrote to this partition" in stopped.log.read_text()
    assert (await checker.read_state(system)).out_of_order, "it had nothing to write late: the test shows nothing"
    other.may_end = True
    await system.to_log(system.activities(afterwards))
    assert await other.ended() == 70, (
        f"the other one does not notice that partition {struck['partition']} is not its own"
    )
    # What the other one wrote last may itself stand behind the late rows, and then nothing is out of order any more.
    left = (await checker.read_state(system)).out_of_order
    third = system.start("engagement", **SLICES)
    await system.caught_up("engagement")

    assert not left or "are written again" in third.log.read_text()
    await assert_all_is_right(system, ids, events, FIRST_DAY, None)
    assert not (await checker.read_state(system)).out_of_order, "compaction would keep older versions"


async def test_a_worker_stopped_while_idle_works_on_with_fresh_state(install: Install) -> None:
    """A worker is stopped, replaced and continued: back in the group it does not trust the columns it had."""
    system = await install()
    ids = checker.students(80)
    events = checker.events(ids, DAYS)
    early, meanwhile, afterwards = parts(events, 3)

    await system.to_log([*system.entries(ids, MORNING), *system.activities(early)])
    stopped = system.start("engagement", **SLICES)
    await system.caught_up("engagement")
    stopped.stop()
    other = system.start("engagement", **SLICES)
    await system.to_log(system.activities(meanwhile))
    await system.caught_up("engagement")
    # If it is quick to read and slow to notice that it was replaced, it writes, and whoever meets that ends and recovers.
    system.supervise(stopped, other)
    stopped.go_on()
    await system.to_log(system.activities(afterwards))

    async def shared() -> bool:
        alive = [worker for worker in system.workers if worker.running]
        return [(await worker.get("/ready"))[1].find('"1 partitions"') > 0 for worker in alive] == [True, True]

    await system.until(shared, "each of the two has one of the two partitions")
    await system.caught_up("engagement")
    await system.to_log(system.activities(events))  # repeats: whoever holds a row now reads it once more
    await system.caught_up("engagement")

    await assert_all_is_right(system, ids, events, FIRST_DAY, None)
