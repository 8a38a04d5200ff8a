"""When alerts open, and what ends them."""

from datetime import date, timedelta

from schemas import log
from tests.agents.campus import Campus, policy

DAY = timedelta(days=1)
MAR = date(2026, 3, 1)


def states(campus: Campus) -> list[tuple[str, str]]:
    return [(a["alert"], a["state"]) for a in campus.alerts]


def test_idle_from_the_1st_to_the_7th_of_march_alerts_on_the_8th_once() -> None:
    """
    March     1   2   3   4   5   6   7 | 8   9
    activity  .   .   .   .   .   .   . | .   .
    close of the 7th (just after midnight, on the 8th): opened, and not again
    """
    campus = Campus(MAR)
    campus.enrol("s")
    campus.close_through(MAR, MAR + 5 * DAY)
    assert not campus.alerts
    campus.close_through(MAR + 6 * DAY, MAR + 8 * DAY)
    assert states(campus) == [("no_activity_1.2026-03-07", "opened")]


def test_any_activity_ends_the_spell_reading_lists_too_and_a_new_one_can_begin() -> None:
    campus = Campus(MAR)
    campus.enrol("s")
    campus.close_through(MAR, MAR + 6 * DAY)
    campus.act("s", MAR + 7 * DAY, "reading_list")
    campus.close_through(MAR + 7 * DAY, MAR + 14 * DAY)
    assert states(campus) == [
        ("no_activity_1.2026-03-07", "opened"),
        ("no_activity_1.2026-03-07", "closed"),
        ("no_activity_1.2026-03-15", "opened"),
    ]


def test_an_agreed_absence_stops_the_count_of_days() -> None:
    """Idle 1 to 3, absent 4 to 8, idle 9 to 12: the seventh idle day is the 12th."""
    campus = Campus(MAR)
    campus.enrol("s", absences=[{"first": "2026-03-04", "last": "2026-03-08"}])
    campus.close_through(MAR, MAR + 10 * DAY)
    assert not campus.alerts
    campus.close(MAR + 11 * DAY)
    assert states(campus) == [("no_activity_1.2026-03-12", "opened")]


def test_vacations_pause() -> None:
    terms = [{"name": "term", "first": "2026-03-05", "last": "2026-03-31"}]
    campus = Campus(MAR, policy(terms=terms))
    campus.enrol("s")
    campus.close_through(MAR, MAR + 9 * DAY)
    assert not campus.alerts
    campus.close(MAR + 10 * DAY)
    assert states(campus) == [("no_activity_1.2026-03-11", "opened")]


def test_a_late_activity_that_removes_the_reason_supersedes_the_alert() -> None:
    campus = Campus(MAR)
    campus.enrol("s")
    campus.close_through(MAR, MAR + 6 * DAY)
    campus.act("s", MAR + 3 * DAY, "library_loan")
    assert states(campus)[-1] == ("no_activity_1.2026-03-07", "superseded")


def test_an_absence_entered_afterwards_supersedes_the_alert() -> None:
    campus = Campus(MAR)
    campus.enrol("s")
    campus.close_through(MAR, MAR + 6 * DAY)
    campus.enrol("s", absences=[{"first": "2026-03-02", "last": "2026-03-04"}])
    assert states(campus)[-1] == ("no_activity_1.2026-03-07", "superseded")


def test_low_engagement_opens_at_the_first_close_of_a_spell_whose_window_was_watched() -> None:
    """The first seven days were not all watched before the 7th: no alert rests on days that nobody saw."""
    campus = Campus(MAR, policy(alerts={"low_engagement": {"at_or_below": "low"}}))
    campus.enrol("s")
    campus.close_through(MAR, MAR + 5 * DAY)
    assert not campus.alerts
    campus.close_through(MAR + 6 * DAY, MAR + 8 * DAY)
    assert states(campus) == [("low_engagement.2026-03-07", "opened")]
    assert campus.alerts[0]["days"][0]["day"] == "2026-03-01"


def test_a_stale_feed_that_blocks_holds_alerts_up_to_the_maximum() -> None:
    rules = {
        "alerts": {"no_activity": {"days": [7]}, "max_hold_days": 3},
        "feeds": {"library": {"expected_delay_hours": 48, "blocks_alerts": True}},
    }
    campus = Campus(MAR, policy(**rules))
    campus.enrol("s")
    campus.close_through(MAR, MAR + 5 * DAY)
    campus.step(log.FeedState("library", "stale", campus.at(MAR + 6 * DAY)))
    campus.close_through(MAR + 6 * DAY, MAR + 8 * DAY)
    assert not campus.alerts
    assert campus.days[-1]["stale"] == ["library"]
    campus.close(MAR + 9 * DAY)
    assert states(campus) == [("no_activity_1.2026-03-10", "opened")]


def test_an_alert_marks_priority_and_the_wish_not_to_be_contacted() -> None:
    campus = Campus(MAR)
    campus.enrol("s", priority=True, contact_opt_out=True)
    campus.close_through(MAR, MAR + 6 * DAY)
    assert (campus.alerts[0]["priority"], campus.alerts[0]["contact_opt_out"]) == (True, True)


def test_a_removed_students_alerts_are_superseded() -> None:
    campus = Campus(MAR)
    campus.enrol("s")
    campus.close_through(MAR, MAR + 6 * DAY)
    import msgspec  # noqa: PLC0415

    gone = log.StudentRecord(msgspec.Raw(b"null"), log.Position("roster-0", campus.offset), campus.at(MAR))
    draft = campus.step(gone, b"s")
    assert states(campus)[-1] == ("no_activity_1.2026-03-07", "superseded")
    assert [key for key, value, _ in draft.effects.changelog if value is None] == [b"\x01s", b"s"]
