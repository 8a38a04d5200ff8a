"""What a source takes back, and attendance that rests on several pieces of evidence."""

from datetime import date, timedelta

from tests.agents.campus import Campus, policy

MON = date(2026, 10, 5)
TUE = MON + timedelta(days=1)
EVENT = 77
"""The attendance of s1 at one event."""


def begun(*, closed: bool = False) -> Campus:
    """A campus with one student, on MON or, ``closed``, after the close of MON's eve."""
    campus = Campus(
        MON, policy(activities={"tap_in": {"weight": 1.0, "target": 1}, "zoom": {"weight": 2.0, "target": 1}})
    )
    campus.enrol("s1")
    if closed:
        campus.act("s1", MON, "reading_list")
        campus.close(MON)
    return campus


def test_an_activity_that_is_taken_back_counts_no_more_and_not_again_when_it_is_sent_again() -> None:
    campus = begun()
    campus.act("s1", MON, "moodle_course", 3, once=1)
    campus.act("s1", MON, "moodle_course", once=2)
    campus.take_back("s1", MON, 1, "moodle_course", count=3)
    campus.act("s1", MON, "moodle_course", 3, once=1)
    campus.take_back("s1", MON, 1, "moodle_course", count=3)

    assert campus.counts("s1", MON) == {"moodle_course": 1}


def test_a_retraction_may_come_before_what_it_takes_back() -> None:
    campus = begun()
    campus.take_back("s1", MON, 1)
    campus.act("s1", MON, once=1)
    campus.act("s1", MON, once=2)

    assert campus.counts("s1", MON) == {"tap_in": 1}


def test_two_taps_and_a_join_of_one_event_are_one_attendance() -> None:
    campus = begun()
    campus.act("s1", MON, once=1, attendance=EVENT)
    campus.act("s1", MON, once=2, attendance=EVENT)
    campus.act("s1", MON, "zoom", once=3, attendance=EVENT)
    campus.act("s1", MON, once=4, attendance=EVENT + 1)

    assert campus.counts("s1", MON) == {"tap_in": 2}


def test_one_piece_of_evidence_taken_back_leaves_the_others() -> None:
    campus = begun()
    campus.act("s1", MON, once=1, attendance=EVENT)
    campus.act("s1", MON, "zoom", once=2, attendance=EVENT)
    campus.act("s1", MON, once=3, attendance=EVENT)

    campus.take_back("s1", MON, 3, attendance=EVENT)
    assert campus.counts("s1", MON) == {"tap_in": 1}
    campus.take_back("s1", MON, 1, attendance=EVENT)
    assert campus.counts("s1", MON) == {"zoom": 1}
    campus.take_back("s1", MON, 2, "zoom", attendance=EVENT)
    assert campus.counts("s1", MON) == {}
    campus.act("s1", MON, once=4, attendance=EVENT)
    assert campus.counts("s1", MON) == {"tap_in": 1}


def test_a_piece_is_taken_from_the_attendance_that_it_was_evidence_of() -> None:
    """The timetable may have changed since it came."""
    campus = begun()
    campus.act("s1", MON, once=1, attendance=EVENT)
    campus.take_back("s1", MON, 1, attendance=EVENT + 1)
    campus.take_back("s1", MON, 1, attendance=EVENT)

    assert campus.counts("s1", MON) == {}


def test_a_rating_falls_at_once_when_an_activity_of_an_open_day_is_taken_back() -> None:
    campus = begun(closed=True)
    campus.act("s1", TUE, "zoom", once=1)
    before = campus.rating("s1")
    campus.take_back("s1", TUE, 1, "zoom")

    assert (before, campus.rating("s1")) == ("low", "very_low")
    assert campus.ratings[-1]["cause"] == "correction"


def test_a_closed_day_is_restated_with_both_values() -> None:
    campus = begun()
    campus.act("s1", MON, once=1, attendance=EVENT)
    campus.act("s1", MON, "zoom", once=2, attendance=EVENT)
    campus.close(MON)
    campus.take_back("s1", MON, 1, attendance=EVENT)

    said = campus.days[-1]
    assert (said["restated"], said["counts"], said["previous"]["counts"]) == (True, {"zoom": 1}, {"tap_in": 1})
    assert said["score"] > said["previous"]["score"]
    assert campus.ratings[-1]["cause"] == "correction"


def test_a_day_of_which_nothing_is_left_is_an_idle_day_again() -> None:
    """Otherwise a wrongly credited tap would hold back the alert for a week."""
    campus = begun()
    campus.act("s1", MON, "reading_list")
    campus.act("s1", MON + timedelta(days=2), once=1)
    campus.close_through(MON, MON + timedelta(days=2))
    campus.take_back("s1", MON + timedelta(days=2), 1)
    campus.close_through(MON + timedelta(days=3), MON + timedelta(days=7))

    assert [(alert["kind"], alert["last_active"]) for alert in campus.alerts] == [("no_activity", "2026-10-05")]


def test_what_is_taken_back_of_a_day_that_left_the_window_is_said_to_be_too_late() -> None:
    campus = begun()
    campus.act("s1", MON, once=1)
    campus.close_through(MON, MON + timedelta(days=7))
    campus.take_back("s1", MON, 1)
    campus.take_back("nobody", TUE, 1)

    assert campus.rejected == ["retraction: of a day that is not held", "unknown student"]
