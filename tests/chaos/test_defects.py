"""The suite can fail: a product with one of its protections taken away is caught, each time by the same check as ever."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import run as chaos
from tests.chaos.faults import Fault, at_point

pytestmark = pytest.mark.timeout(400)

CASES = {
    "acknowledge-before-the-changelog": [at_point("engagement", "after-outputs", "kill", nth=1)] * 2,
    "no-row-fence": [at_point("engagement", "in-changelog", "kill", nth=1, part=0.9)] * 2,
    "no-source-fence": [at_point("intake", "after-send", "kill", nth=1)] * 3,
    "redis-without-version-check": [at_point("readmodel", "before-write", "stop", nth=1)] * 3,
    "outputs-after-the-changelog": [at_point("engagement", "in-changelog", "kill", nth=1, part=1.0)] * 2,
    "a-zombies-write-kept": [at_point("engagement", "in-changelog", "stop", nth=1, part=0.1)] * 3,
    "a-close-that-skips-rows": [],
}


@pytest.mark.parametrize("defect", CASES)
async def test_a_planted_defect_is_caught(servers: chaos.Servers, tmp_path: Path, defect: str) -> None:
    """With the defect the check finds something, and it is about what the defect does."""
    faults: Sequence[Fault] = CASES[defect]
    run = chaos.Run(servers, tmp_path, 5, print, defect=defect, students=40, days=2)
    await run.play(faults)
    report = await chaos.check(run)

    assert len(run.struck) == len(faults)
    assert report["problems"], f"{defect} went unnoticed"


async def test_without_a_defect_the_same_faults_leave_nothing_wrong(servers: chaos.Servers, tmp_path: Path) -> None:
    """All of these faults in one run: nothing lost, doubled or undone."""
    faults = [fault for chosen in CASES.values() for fault in chosen]
    run = chaos.Run(servers, tmp_path, 5, print, students=60, days=4)
    await run.play(faults)
    report = await chaos.check(run)

    assert len(run.struck) == len(faults)
    assert report["problems"] == []
    assert (report["lost"], report["doubled"], report["undone"], report["unplanned_dead_letters"]) == (0, 0, 0, 0)
    assert report["events"] == run.work.sent
