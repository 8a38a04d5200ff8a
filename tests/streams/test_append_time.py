"""When a record was recorded is the broker's word; a header can make it earlier and nothing else."""

from types import SimpleNamespace

import pytest

from schemas.cloudevents import recorded_at as header
from schemas.dead_letters import FIRST_RECORDED_AT
from streams.append_time import first_recorded_at, recorded_at


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"9000", 9.0), (b"11000", 10.0), (b"", 10.0), (b"-1", 10.0), (b"soon", 10.0), (b"9" * 99, 10.0)],
)
def test_a_replay_is_judged_by_when_it_came_first(value: bytes, seconds: float) -> None:
    record = SimpleNamespace(timestamp=10_000, headers=[(FIRST_RECORDED_AT, value)])

    assert first_recorded_at(record, simulated=False) == seconds
    assert recorded_at(record, simulated=False) == 10.0


def test_a_simulated_clock_keeps_its_own_header() -> None:
    record = SimpleNamespace(timestamp=10_000, headers=[header(500.0), (FIRST_RECORDED_AT, b"9000")])

    assert first_recorded_at(record, simulated=True) == 500.0
