"""A process that does not get on ends itself; its probes answer meanwhile, and one that only waits is left alone."""

import asyncio
import json
import time

import pytest

from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY
from tests.integration.test_kills import DAYS, MORNING, assert_all_is_right

pytestmark = pytest.mark.timeout(300)

STUCK = 75
LIMIT = 8.0


@pytest.mark.parametrize("point", ["hang", "block"])
async def test_a_worker_that_does_not_get_on_ends_itself_and_answers_until_then(install: Install, point: str) -> None:
    """A batch never ends, or holds the event loop: /live turns 503, the process exits with 75, another does the work."""
    system = await install()
    ids = checker.students(20)
    events = checker.events(ids, DAYS)
    await system.to_log([*system.entries(ids, MORNING), *system.activities(events)])
    worker = system.start("engagement", fault={"point": point}, LEAP_STUCK_AFTER=str(LIMIT))
    await system.struck(worker)
    began = time.monotonic()

    status, text = await worker.get("/live")
    assert status == 200, "alive: a long step is no reason to be killed"
    assert json.loads(text)["role"] == "engagement"
    assert (await worker.get("/ready"))[0] in {200, 503}
    slowest = 0.0
    while worker.running:
        asked = time.monotonic()
        status, _ = await worker.get("/live")
        if status == 0:  # it is ending at this very moment, or it does not answer
            await worker.ended(5.0)
            break
        assert status in {200, 503}
        slowest = max(slowest, time.monotonic() - asked)
        await asyncio.sleep(0.2)
    took = time.monotonic() - began

    assert await worker.ended() == STUCK
    assert LIMIT - 3 < took < LIMIT + 10
    assert slowest < 4.0
    assert "behind and not committing" in worker.log.read_text()
    system.start("engagement")
    await system.caught_up("engagement")
    await assert_all_is_right(system, ids, events, FIRST_DAY, None)


async def test_workers_that_only_wait_are_left_alone(install: Install) -> None:
    """Nothing to do, or no partition to do it with, is not being stuck."""
    system = await install(partitions=1)
    limit = {"LEAP_STUCK_AFTER": "4"}
    workers = [
        system.start("engagement", **limit),
        system.start("engagement", **limit),
        system.start("roster", **limit),
    ]

    async def ready() -> bool:
        return [(await worker.get("/ready"))[0] for worker in workers] == [200] * len(workers)

    await system.until(ready, "all are ready, with or without a partition")
    await asyncio.sleep(8.0)

    assert [worker.running for worker in workers] == [True] * len(workers)
    assert [await worker.metric("leap_stuck_seconds", role=worker.role) for worker in workers] == [0.0] * len(workers)
