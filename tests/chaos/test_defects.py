"""The suite can fail: a product with one of its protections taken away is caught, each time by the same check as ever."""

from pathlib import Path

import pytest

from tests.chaos import suite
from tests.chaos.faults import FAULTS, Fault, at_point
from tests.chaos.run import Run
from tests.chaos.servers import Servers
from tests.chaos.workload import ANCIENT

pytestmark = pytest.mark.timeout(400)

NOTHING = None
IN_A_SWEEP = next(fault for fault in FAULTS if fault.name == "intake: kill -9 in a sweep of the waiting room")
CASES: dict[str, list[Fault | None]] = {
    "acknowledge-before-the-changelog": [at_point("engagement", "after-outputs", "kill", nth=1)] * 4,
    # Of the rows only: with the once-keys the batch would be told to be a repeat of itself.
    "no-row-fence": [at_point("engagement", "in-changelog", "kill", nth=2, part=0.4)] * 4,
    # Shown by what is too old to have a once-key; every student has such events here.
    "no-source-fence": [at_point("intake", "after-send", "kill", nth=2)] * 5,
    # In the last hour of the last day, until after its close: whatever were written later would cover it.
    "redis-without-version-check": [*[NOTHING] * 5, at_point("readmodel", "before-write", "stop", nth=1, seconds=12)],
    "outputs-after-the-changelog": [at_point("engagement", "in-changelog", "kill", nth=1, part=1.0, only="close")],
    "a-zombies-write-kept": [
        *[NOTHING] * 5,
        at_point("engagement", "in-changelog", "stop", nth=1, part=0.1, seconds=12),
    ],
    "a-close-that-skips-rows": [],
}
"""Each defect with the faults that bring it to light, a share of the workload each."""
AT_THE_WAYS_IN: list[Fault | None] = [at_point("gateway", "before-put", "kill", nth=1), IN_A_SWEEP]


@pytest.mark.parametrize("defect", CASES)
async def test_a_planted_defect_is_caught(servers: Servers, tmp_path: Path, defect: str) -> None:
    """With the defect the check finds something, and it is about what the defect does."""
    # What is too old is in no row: a worker killed with half of such a batch written has nothing to double.
    ancient = ANCIENT if defect == "no-row-fence" else 4.0
    run = Run(servers, tmp_path, 5, print, defect=defect, students=40, days=2, ancient=ancient)
    await run.play(CASES[defect])
    report = await suite.check(run)

    assert report["problems"], f"{defect} went unnoticed"


async def test_defects_of_the_ways_in_are_caught(servers: Servers, tmp_path: Path) -> None:
    """Two in one run: what one of them loses the other one cannot, and what the other one doubles the first cannot."""
    defect = "answered-before-kafka-has-it,what-waited-without-its-once-key"
    run = Run(servers, tmp_path, 5, print, defect=defect, students=40, days=1)
    await run.play(AT_THE_WAYS_IN)
    report = await suite.check(run)

    assert report["lost"] > 0, "an answer that was given too early went unnoticed"
    assert report["doubled"] > 0, "what waited and was counted twice went unnoticed"


async def test_without_a_defect_the_same_faults_leave_nothing_wrong(servers: Servers, tmp_path: Path) -> None:
    """All of these faults in one run: nothing lost, doubled or undone; and what does not happen is not taken for a fault."""
    nowhere = at_point("engagement", "nowhere", "kill")
    faults = [*(fault for chosen in [*CASES.values(), AT_THE_WAYS_IN] for fault in chosen), nowhere]
    run = Run(servers, tmp_path, 5, print, students=60, days=4, ancient=4.0)
    await run.play(faults)
    report = await suite.check(run)

    assert nowhere in [struck.fault for struck in run.struck if not struck.reached]
    assert report["problems"] == []
    assert (report["lost"], report["doubled"], report["undone"], report["unplanned_dead_letters"]) == (0, 0, 0, 0)
    assert report["events"] == run.work.sent
