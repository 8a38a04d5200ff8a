"""Whatever is read from outside is used or put aside, in bounded time and memory: a small share of what `make fuzz` tries."""

import pytest

from tests.fuzz.run import TARGETS, attack

INPUTS = {
    "log": 8_000,
    "sources": 40_000,
    "moodle": 6_000,
    "faser": 3_000,
    "roster": 12_000,
    "identities": 10_000,
    "outputs": 30_000,
    "redis": 10_000,
    "clock": 4_000,
    "policies": 600,
    "state": 160,
    "batches": 250,
    "probes": 400,
    "zoom": 3_000,
    "library": 3_000,
    "tap-ins": 3_000,
    "pc-labs": 3_000,
    "gateway": 2_000,
    "listen-again": 2_000,
    "reading-lists": 2_000,
    "hub": 4_000,
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_is_used_or_put_aside(name: str) -> None:
    """Never another exception, never long, and each input in one of the two."""
    outcome = attack(name, INPUTS[name], seed=7)

    assert not outcome.failures, outcome.failures[0]
    assert outcome.accepted + outcome.rejected == INPUTS[name]
    assert outcome.accepted, "nothing of this was fit for use: that tests the first check only"
    assert outcome.rejected, "nothing of this was bad: that attacks nothing"
