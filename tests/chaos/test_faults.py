"""Every fault once, in a random order, while events flow and days close: nothing is lost, doubled or undone."""

from pathlib import Path

import pytest

from deploy.servers import kafka_available
from tests.chaos import suite
from tests.chaos.faults import FAULTS

SEED = 20


@pytest.mark.timeout(900)
async def test_whatever_strikes_nothing_is_lost_doubled_or_undone(tmp_path: Path) -> None:
    """The same run again, with all that it prints: leap chaos --faults N --seed 20."""
    if not kafka_available():
        pytest.skip("needs Apache Kafka: the embedded broker has nothing left when it was killed")

    outcome = await suite.chaos(tmp_path, len(FAULTS), SEED, say=print)

    assert outcome.problems == []
    assert (outcome.lost, outcome.doubled, outcome.undone, outcome.unplanned_dead_letters) == (0, 0, 0, 0)
    assert outcome.by_kind.total() == len(FAULTS)
    assert set(outcome.by_kind) >= {fault.name for fault in FAULTS} - {"disk full"}  # only root can have that
    assert outcome.events > 0
