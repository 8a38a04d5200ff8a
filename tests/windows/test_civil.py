"""Which day an instant falls on."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from windows.civil import CivilDays, date_of, number_of

LONDON = CivilDays("Europe/London")


def day(text: str) -> str:
    return date_of(LONDON.day_of(datetime.fromisoformat(text).timestamp())).isoformat()


def test_summer_evenings_after_eleven_utc_are_the_next_day_in_london() -> None:
    assert day("2026-07-01T22:59:59+00:00") == "2026-07-01"
    assert day("2026-07-01T23:00:00+00:00") == "2026-07-02"


@pytest.mark.parametrize(("on", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_days_of_23_and_25_hours_are_ordinary_days(on: date, hours: int) -> None:
    """
    Europe/London, 29 March 2026:   00:00 GMT ... 00:59 GMT, 02:00 BST ... 23:59 BST   (23 hours)
    """
    number = number_of(on)
    assert LONDON.end_of(number) - LONDON.start_of(number) == hours * 3600
    assert LONDON.day_of(LONDON.start_of(number)) == number
    assert LONDON.day_of(LONDON.end_of(number) - 0.001) == number
    assert LONDON.day_of(LONDON.end_of(number)) == number + 1


def test_every_hour_of_a_year_falls_on_the_day_that_datetime_says() -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    instants = [datetime(2026, 1, 1, tzinfo=UTC).timestamp() + 3600 * hour for hour in range(24 * 365)]
    expected = [datetime.fromtimestamp(t, ZoneInfo("Europe/London")).date() for t in instants]
    assert [date_of(int(d)) for d in LONDON.days_of(np.array(instants))] == expected


def test_instants_beyond_the_layout_fall_on_its_edges_and_do_not_fail() -> None:
    assert date_of(LONDON.day_of(-1e12)) == date(1990, 1, 1)
    assert date_of(LONDON.day_of(1e12)) == date(2099, 12, 31)
