from typing import Any

from leap.demo.picture import Change, Picture


def rating(student: str, version: int, band: str | None, score: float | None = 1.0) -> dict[str, Any]:
    return {"student": student, "version": version, "rating": band, "score": score, "cause": "close"}


def alert(student: str, version: int, state: str) -> dict[str, Any]:
    name = "no_activity_1.2026-10-02"
    return {
        "student": student,
        "alert": name,
        "version": version,
        "state": state,
        "kind": "no_activity",
        "opened_for": "2026-10-02",
    }


def test_students_of_whom_nothing_was_said_are_not_rated() -> None:
    picture = Picture(students=3, rows=0, days=1)
    picture.rating(rating("a", 1, "low"))

    assert picture.bands == {"low": 1, "not_rated": 2}


def test_a_rating_that_is_older_than_the_known_one_changes_nothing() -> None:
    picture = Picture(students=1, rows=0, days=1)
    picture.rating(rating("a", 5, "good"))
    picture.rating(rating("a", 4, "low"))
    picture.rating(rating("a", 5, "low"))

    assert picture.bands["good"] == 1
    assert list(picture.changes) == [Change("a", "not_rated", "good", 1.0, "close")]


def test_changes_stand_newest_first_and_a_record_without_a_change_is_none() -> None:
    picture = Picture(students=1, rows=0, days=1)
    picture.rating(rating("a", 1, "good"))
    picture.rating(rating("a", 2, "good"))
    picture.rating(rating("a", 3, None, None))

    assert [(change.before, change.after) for change in picture.changes] == [
        ("good", "not_rated"),
        ("not_rated", "good"),
    ]


def test_an_alert_counts_as_opened_once_and_as_open_until_it_closes() -> None:
    picture = Picture(students=1, rows=0, days=1)
    picture.alert(alert("a", 1, "opened"))
    picture.alert(alert("a", 1, "opened"))
    assert picture.open_by_rule == {"no_activity_1": 1}

    picture.alert(alert("a", 2, "closed"))
    picture.alert(alert("a", 1, "opened"))

    assert picture.open_by_rule == {}
    assert picture.opened == {"no_activity": 1}
