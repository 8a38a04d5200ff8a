"""What a day close decides, one behaviour a test."""

from datetime import date, timedelta

import pytest

from agents.partition import PolicyMismatchError
from schemas import log
from tests.agents.campus import Campus, policy

MON = date(2026, 10, 5)
DAY = timedelta(days=1)


def test_a_student_with_one_event_decays_day_by_day_to_very_low_without_any_further_event() -> None:
    """
    day      5    6    7    8    9   10   11 | 12
    tap-in   x    .    .    .    .    .    . |  .
    mean    7.1  7.1 ...                 7.1 |  0      (50 points over seven days, until the day leaves the window)
    """
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("s", MON)
    campus.close_through(MON, MON + 6 * DAY)
    assert campus.rating("s") == "low"

    campus.close(MON + 7 * DAY)
    assert campus.rating("s") == "very_low"
    assert campus.ratings[-1]["cause"] == "close"


def test_a_student_who_never_acts_is_rated_and_alerted_by_closes_alone() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.close_through(MON, MON + 6 * DAY)
    assert campus.rating("s") == "very_low"
    assert [(a["alert"], a["state"], a["idle_days"]) for a in campus.alerts] == [
        ("no_activity_1.2026-10-11", "opened", 7)
    ]


@pytest.mark.parametrize("reason", ["placement", "year_abroad", "research"])
def test_a_student_without_indicator_is_neither_rated_nor_alerted(reason: str) -> None:
    campus = Campus(MON)
    campus.enrol("s", unrated=reason)
    campus.close_through(MON, MON + 9 * DAY)
    assert campus.rating("s") == reason
    assert not campus.alerts


def test_before_the_first_close_nobody_is_rated() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("s", MON)
    assert campus.rating("s") == "no_closed_day"


def test_a_student_in_the_first_days_is_rated_over_the_days_since_the_start() -> None:
    """
    day      5    6    7 (first)   8
    tap-in   .    .    x           .
    mean     -    -   50          25      (one day, then two; not seven)
    """
    campus = Campus(MON)
    campus.enrol("s", first=str(MON + 2 * DAY))
    campus.close_through(MON, MON + DAY)
    assert campus.rating("s") == "not_started"
    campus.act("s", MON + 2 * DAY)
    campus.close(MON + 2 * DAY)
    assert (campus.rating("s"), campus.ratings[-1]["score"]) == ("good", 50.0)
    campus.close(MON + 3 * DAY)
    assert (campus.rating("s"), campus.ratings[-1]["score"]) == ("partial", 25.0)


def test_a_student_who_left_is_withdrawn_from_the_day_after_the_last() -> None:
    campus = Campus(MON)
    campus.enrol("s", last=str(MON))
    campus.close(MON)
    assert campus.rating("s") == "very_low"
    campus.close(MON + DAY)
    assert campus.rating("s") == "withdrawn"


def test_the_live_rating_rises_at_once_and_falls_only_at_a_close() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.close(MON)
    campus.act("s", MON + DAY)
    campus.act("s", MON + DAY, "moodle_course", 10)
    assert [r["rating"] for r in campus.ratings] == [None, "very_low", "low"]
    assert campus.ratings[-1]["cause"] == "activity"
    assert campus.ratings[-1]["window_end"] == str(MON + DAY)


def test_a_late_activity_restates_its_day_with_both_values_and_does_not_touch_others() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("s", MON)
    campus.close_through(MON, MON + DAY)
    campus.act("s", MON, "moodle_course", 5)
    restated = campus.days[-1]
    assert restated["restated"]
    assert (restated["day"], restated["score"], restated["counts"]) == (
        str(MON),
        75.0,
        {"tap_in": 1, "moodle_course": 5},
    )
    assert (restated["previous"]["score"], restated["previous"]["counts"]) == (50.0, {"tap_in": 1})


def test_an_activity_before_the_window_changes_no_score_and_is_said_as_late() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.close_through(MON, MON + 9 * DAY)
    before = campus.partition.rows["score"].copy()
    campus.act("s", MON, "library_loan")
    assert campus.days[-1]["activity"] == "library_loan"
    assert (campus.partition.rows["score"] == before).all()


def test_a_close_written_twice_or_before_the_days_end_changes_nothing() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.close(MON, late=-3600.0)
    assert not campus.days
    campus.close(MON)
    campus.close(MON)
    assert [d["day"] for d in campus.days] == [str(MON)]


def test_missing_days_close_in_order_and_an_activity_after_an_outage_closes_them_without_alerts() -> None:
    """
    closed 5 | outage 6 .. 14 | tap-in on 15: days 6 to 13 close first, 14 and 15 stay open, no alert opens
    """
    campus = Campus(MON)
    campus.enrol("s")
    campus.enrol("idle")
    campus.close(MON)
    campus.act("s", MON + 10 * DAY)
    closed = [d["day"] for d in campus.days if "cause" in d]
    assert closed == [str(MON + back * DAY) for back in range(9)]
    assert {d["cause"] for d in campus.days[1:] if "cause" in d} == {"outage"}
    assert not campus.alerts
    campus.close(MON + 9 * DAY)
    assert {(a["student"], a["alert"]) for a in campus.alerts} >= {("idle", "no_activity_1.2026-10-14")}


def test_a_partition_without_students_closes_too() -> None:
    campus = Campus(MON)
    now = campus.at(MON + DAY)
    campus.step(log.FeedState("events", "stale", campus.at(MON)))
    campus.close(MON)
    assert [d["day"] for d in campus.days] == [str(MON)]
    assert now > 0


def test_a_close_under_another_policy_stops_the_worker() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    now = campus.at(MON + DAY, 1)
    with pytest.raises(PolicyMismatchError, match="give all processes the same policy files"):
        campus.step(log.DayClosed(str(MON), "t1", "0" * 16, now), appended=now)


def test_each_day_scores_under_its_own_policy() -> None:
    """Under t2, from the 6th, course views no longer count: the 5th keeps its 50 points, the 6th has none."""
    later = policy(
        policy={"version": "t2", "effective_from": MON + DAY},
        activities={"tap_in": {"weight": 1.0, "target": 1}, "moodle_course": {}},
    )
    campus = Campus(MON, policy(), later)
    campus.enrol("s")
    campus.act("s", MON, "moodle_course", 10)
    campus.close(MON)
    campus.act("s", MON + DAY, "moodle_course", 10)
    campus.close(MON + DAY)
    assert [(d["score"], d["policy"]) for d in campus.days if "score" in d] == [(50.0, "t1"), (0.0, "t2")]


@pytest.mark.parametrize(("effect", "score"), [("lowers", 50.0), ("leaves", 100.0)])
def test_an_activity_switched_off_lowers_everyone_or_leaves_the_sum_as_the_policy_says(
    effect: str, score: float
) -> None:
    off = [{"activity": "moodle_course", "first": MON, "last": MON, "effect": effect}]
    campus = Campus(MON, policy(off=off))
    campus.enrol("s")
    campus.act("s", MON)
    campus.close(MON)
    assert campus.days[0]["score"] == score


def test_reading_lists_are_counted_and_shown_and_weigh_nothing() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("s", MON, "reading_list", 3)
    campus.close(MON)
    assert (campus.days[0]["counts"], campus.days[0]["score"]) == ({"reading_list": 3}, 0.0)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-07-01T23:30:00+00:00", "2026-07-02"),  # half past midnight in London
        ("2026-10-24T23:30:00+00:00", "2026-10-25"),  # the first hour of the day of 25 hours
        ("2026-10-25T23:59:59+00:00", "2026-10-25"),  # and the last
        ("2026-03-29T00:30:00+00:00", "2026-03-29"),  # the day of 23 hours
    ],
)
def test_an_instant_lands_on_the_civil_day_of_the_institution(instant: str, day: str) -> None:
    from datetime import datetime  # noqa: PLC0415

    on = date.fromisoformat(day)
    campus = Campus(on)
    campus.enrol("s")
    campus.act("s", on, at=datetime.fromisoformat(instant).timestamp())
    campus.close(on)
    assert campus.days[0]["day"] == day


def test_a_repeat_by_once_key_or_source_position_does_not_count_again() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("s", MON, once=7)
    campus.act("s", MON, once=7)
    record = log.ActivityRecord("tap_in", campus.at(MON), log.Position("source-0", 1), campus.at(MON))
    campus.step(record, b"s")
    campus.close(MON)
    assert campus.days[0]["counts"] == {"tap_in": 1}


def test_somebody_who_is_not_on_the_roster_is_rejected() -> None:
    campus = Campus(MON)
    campus.enrol("s")
    campus.act("stranger", MON)
    assert campus.rejected == ["unknown student"]
