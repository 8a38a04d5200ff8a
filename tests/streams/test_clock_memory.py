"""What stands on leap.clock and is not the clock's: it starts, and goes on closing days."""

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.clock import Clock
from streams.settings import Settings
from tests.fuzz.log import _POLICIES
from tests.fuzz.mutation import record
from windows.civil import number_of

YESTERDAY = number_of(datetime(2026, 10, 19, tzinfo=UTC).date())


@pytest.fixture
def clock() -> Clock:
    unused: Any = None
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    made = Clock(settings, _POLICIES, unused, unused, lambda: datetime(2026, 10, 20, 12, tzinfo=UTC).timestamp())
    made._closed = dict.fromkeys(range(4), YESTERDAY)
    return made


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"\xff", b"{}"),
        (b"closed/0", None),
        (b"closed/0", b"{"),
        (b"closed/0", b"[]"),
        (b"closed/0", b'{"day":7}'),
        (b"closed/0", b'{"day":"2026-02-30"}'),
        (b"closed/x", b'{"day":"2026-10-01"}'),
        (b"closed/9", b'{"day":"2026-10-01"}'),
        (b"feed/f", b"{}"),
    ],
)
def test_what_is_not_ours_is_left_out(clock: Clock, key: bytes | None, value: bytes | None) -> None:
    clock.recall(record(0, key, value))

    assert clock._closed == dict.fromkeys(range(4), YESTERDAY)


def test_no_day_is_closed_before_its_end(clock: Clock) -> None:
    """No day after it was ever closed, for that partition."""
    clock.recall(record(0, b"closed/0", b'{"day":"2099-01-01"}'))

    assert clock._closed[0] == YESTERDAY


def test_days_before_the_first_policy_need_no_close(clock: Clock) -> None:
    """There is no policy for them, which ended the clock."""
    clock.recall(record(0, b"closed/0", b'{"day":"0001-01-01"}'))

    assert clock._closed[0] == number_of(datetime(2025, 12, 31, tzinfo=UTC).date())
