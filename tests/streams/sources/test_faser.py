"""Coursework: what a person does to work of their own, told by a system of its own or by Moodle's assignments."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.sources import NotForUs, Seen, Unusable
from streams.sources.faser import read

SAMPLES = Path(__file__).parents[2] / "data/jisc"
AT = 1_791_191_700
"""2026-10-05T09:15:00Z"""


def ours(**changes: Any) -> bytes:
    event = {
        "id": "e1",
        "user": "jdoe",
        "action": "viewed",
        "work": "sub-77",
        "at": "2026-10-05T10:15:00+01:00",
    } | changes
    return json.dumps({name: held for name, held in event.items() if held is not None}).encode()


def row(name: str, **changes: Any) -> bytes:
    made = {
        "id": 8712,
        "eventname": rf"\mod_assign\event\{name}",
        "contextinstanceid": 81,
        "objectid": 5,
        "userid": 23,
        "relateduserid": None,
        "courseid": 7,
        "anonymous": 0,
        "timecreated": AT,
        "origin": "web",
        "realuserid": None,
    }
    return json.dumps(made | changes).encode()


def statement(name: str, owner: str | None = None) -> bytes:
    def agent(user: str) -> dict[str, Any]:
        return {"account": {"homePage": "https://moodle.example.ac.uk", "name": user}}

    extensions: dict[str, Any] = {
        "http://lrs.learninglocker.net/define/extensions/info": {"event_name": rf"\mod_assign\event\{name}"}
    }
    if owner is not None:
        extensions["https://yetanalytics.com/profiles/prepositions/concepts/context-extensions/for"] = agent(owner)
    made = {
        "actor": agent("23"),
        "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
        "object": {"id": "https://moodle.example.ac.uk/mod/assign/view.php?id=81#submission"},
        "context": {"extensions": extensions},
        "timestamp": "2026-10-05T09:15:00Z",
    }
    return json.dumps(made).encode()


@pytest.mark.parametrize(("action", "activity"), [("viewed", "faser_view"), ("uploaded", "faser_upload")])
def test_an_event_of_ours_is_what_it_says(action: str, activity: str) -> None:
    assert read(ours(action=action)) == Seen("jdoe", activity, float(AT), "event:e1")  # type: ignore[arg-type]


@pytest.mark.parametrize("action", ["viewed", "uploaded"])
def test_what_is_done_for_somebody_else_is_not_for_us(action: str) -> None:
    assert read(ours(action=action, on_behalf_of="s1")) == NotForUs("work of somebody else")
    assert isinstance(read(ours(action=action, on_behalf_of="jdoe")), Seen)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "marked"}, "action: Input should be 'viewed' or 'uploaded'"),
        ({"at": "2026-10-05T10:15:00"}, "at: Input should have timezone info"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"work": None}, "work: Field required"),
        ({"name": "Jo Doe"}, "(a field that is not in the schema): Extra inputs are not permitted"),
    ],
)
def test_an_event_that_breaks_the_schema_says_where(changes: dict[str, Any], reason: str) -> None:
    assert read(ours(**changes)) == Unusable(reason)


@pytest.mark.parametrize(
    ("name", "activity"),
    [
        ("submission_status_viewed", "faser_view"),
        ("submission_viewed", "faser_view"),
        ("feedback_viewed", "faser_view"),
        ("assessable_submitted", "faser_upload"),
    ],
)
@pytest.mark.parametrize("owner", [None, 23, "23"])
def test_an_assignment_of_moodle_stands_in(name: str, activity: str, owner: object) -> None:
    assert read(row(name, relateduserid=owner)) == Seen("23", activity, float(AT), "log:8712")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["submission_viewed", "feedback_viewed", "assessable_submitted"])
def test_staff_at_a_students_work_credit_neither(name: str) -> None:
    """`userid` is who acted, `relateduserid` whose work it is."""
    assert read(row(name, userid=4, relateduserid=23)) == NotForUs("work of somebody else")


@pytest.mark.parametrize(
    "name",
    [
        "course_module_viewed",
        "submission_form_viewed",
        "submission_status_updated",
        "submission_graded",
        "grading_table_viewed",
    ],
)
def test_other_events_of_assignments_are_not_for_us(name: str) -> None:
    """One event an upload: Moodle logs several."""
    assert read(row(name)) == NotForUs("another event")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"realuserid": 2}, "logged in as somebody else"),
        ({"anonymous": 1}, "anonymous"),
        ({"origin": "cron"}, "not done by a person"),
        ({"userid": 1}, "guest or nobody"),
    ],
)
def test_moodles_rules_hold_here_too(changes: dict[str, Any], reason: str) -> None:
    assert read(row("assessable_submitted", **changes)) == NotForUs(reason)


def test_statements_say_who_acted_and_whose_work_it_is() -> None:
    for owner in (None, "23"):
        seen = read(statement("submission_viewed", owner))

        assert isinstance(seen, Seen)
        assert (seen.person, seen.activity, seen.at) == ("23", "faser_view", float(AT))
    assert read(statement("submission_viewed", owner="24")) == NotForUs("work of somebody else")


def test_a_stored_statement_of_2017_is_known_by_verb_and_object() -> None:
    seen = read((SAMPLES / "moodle-assignment_submitted.json").read_bytes())

    assert isinstance(seen, Seen)
    assert (seen.person, seen.activity, seen.at) == ("stu1", "faser_upload", 1_510_913_480.0)


@pytest.mark.parametrize("sample", ["moodle-login.js", "moodle-moduleview.js"])
def test_other_statements_are_not_for_us(sample: str) -> None:
    assert read((SAMPLES / sample).read_bytes()) == NotForUs("another event")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"Time,Description\n1,2\n"])
def test_what_is_no_json_object_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)


def test_the_event_that_the_page_for_source_owners_shows_is_read() -> None:
    page = (Path(__file__).parents[3] / "docs/sources/faser.md").read_text(encoding="utf-8")
    shown = [block.partition("```")[0] for block in page.split("```json\n")[1:]]

    assert [read(event.encode()) for event in shown] == [Seen("jdoe", "faser_view", float(AT), "event:view-991")]
