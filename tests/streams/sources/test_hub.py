"""Each kind of export of the hub is the activity that it is, and its broken rows are rejected and never mended."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streams.sources import NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.hub import read as read_export
from streams.sources.registry import sources
from tests.streams.sources.records import seen, tsv

DATA = Path(__file__).parents[2] / "data" / "jisc"
COLUMNS = Unusable("row: not as many fields as the header has")
MODULE = "http://adlnet.gov/expapi/activities/module"
LMS = "http://id.tincanapi.com/activitytype/lms"
COMPLETED = "http://adlnet.gov/expapi/verbs/completed"
VIEWED = "http://id.tincanapi.com/verb/viewed"
LOGGED_IN = "https://brindlewaye.com/xAPITerms/verbs/loggedin"
ACCESS = "http://activitystrea.ms/schema/1.0/access"
LIBRARY = "http://xapi.jisc.ac.uk/activities/library"


def read(raw: bytes) -> Outcome:
    return read_export(raw, Options())


def records(name: str) -> list[bytes]:
    """Return the records of a sample: its header line and one row each."""
    head, *rows = (DATA / f"{name}.tsv").read_bytes().splitlines(keepends=True)
    return [head + row for row in rows if row.strip()]


def file(row: dict[str, str]) -> Outcome:
    return read(tsv(row))


def statement(verb: str, kind: str, thing: str = "https://vle.example.ac.uk/1", **changes: Any) -> Outcome:
    made = {
        "actor": {"account": {"name": "stu1", "homePage": "https://vle.example.ac.uk"}, "name": "Jo Doe"},
        "verb": {"id": verb},
        "object": {"id": thing, "definition": {"type": kind, "name": {"en": "Ethics"}}},
        "timestamp": "2026-10-05T09:00:00+01:00",
    }
    return read(json.dumps(made | changes).encode())


IMPOSSIBLE = "START_TIME: a date only if day and month are exchanged"
SAMPLES: dict[str, dict[str, int]] = {
    "attendance": {"tap_in": 10, IMPOSSIBLE: 10, "absence": 5},
    "access": {"tap_in": 2451},
    "borrowed": {"library_loan": 1090, "TIMESTAMP: not a date or time in ISO 8601": 7},
    "logged_in": {"moodle_login": 5, COLUMNS.reason: 1},
    "viewed": {"moodle_course": 19},
    "quiz_completed": {"moodle_course": 8},
    "forum_post": {"moodle_course": 5, COLUMNS.reason: 4},
    "assignment_submitted": {"no time of submission: a due date is none": 8},
    "readinglist-view-reading-list": {"staff": 13},
    "readinglist-viewed-reading-list-item": {"reading_list": 7, "staff": 3},
    "video": {"listen_again": 1, "watched for too short": 8},
}


def test_all_files_of_the_sample_are_tested() -> None:
    assert {path.stem for path in DATA.glob("*.tsv")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_comes_to_what_is_known_of_it(name: str) -> None:
    found = [read(record) for record in records(name)]

    assert Counter(one.activity if isinstance(one, Seen) else one.reason for one in found) == SAMPLES[name]


def test_columns_are_never_shifted() -> None:
    """One row of logins, and the last four posts, although what is missing could be told apart by its looks."""
    assert [read(record) == COLUMNS for record in records("logged_in")] == [True] + 5 * [False]
    assert [read(record) == COLUMNS for record in records("forum_post")] == 5 * [False] + 4 * [True]


def test_a_column_that_is_two_in_one_is_both_if_its_value_is() -> None:
    """In the sample's posts the tab between ``USERNAME`` and ``CLIENT_IP`` became blanks, in the header and the rows."""
    posts = records("forum_post")
    assert isinstance(read(posts[0]), Seen)
    assert "." not in read(posts[0]).person  # type: ignore[union-attr]
    header, _, row = posts[0].partition(b"\n")
    without = row.split(b"\t")[0].split()[0] + b"\t" + row.split(b"\t", 1)[1]
    assert read(header + b"\n" + without) == Unusable("USERNAME: missing")


def test_the_columns_of_posts() -> None:
    whole = {
        "USERNAME": "S1",
        "TIMESTAMP": "2026-10-05T09:00:00Z",
        "OBJECT_ID": "x",
        "VLE_MOD_ID": "1",
        "PARENT_ID": "",
    }
    found = seen(file(whole | {"RESPONSE": '"So" he said'}))
    assert (found.person, found.activity) == ("S1", "moodle_course")


def test_rows_that_stand_twice_in_a_file_are_the_same_event() -> None:
    """Of the accesses 431: their ids stay the same from day to day, so nothing else can tell."""
    for name, distinct in (("access", 2451 - 431), ("borrowed", 1090), ("attendance", 10), ("viewed", 19)):
        found = [read(record) for record in records(name)]
        assert len({one.event for one in found if isinstance(one, Seen)}) == distinct


def access(**changes: str) -> Outcome:
    row = {"USERNAME": "1001", "TIMESTAMP": "2026-07-01T00:00:00", "TYPE": "P", "SITE": "Library", "ACCESS_ID": "7"}
    return file(row | {"DIRECTION_OF_ACCESS": "I"} | changes)


def test_an_access_is_a_tap_at_a_reader() -> None:
    found = seen(access())

    assert (found.person, found.activity, found.venue) == ("1001", "tap_in", "reader:Library")


def test_a_day_counts_at_noon_and_a_time_when_it_was() -> None:
    assert seen(access()).at == datetime(2026, 7, 1, 11, tzinfo=UTC).timestamp()
    assert seen(access(TIMESTAMP="2026-07-01")).at == datetime(2026, 7, 1, 11, tzinfo=UTC).timestamp()
    assert seen(access(TIMESTAMP="2026-07-01T09:30:00")).at == datetime(2026, 7, 1, 8, 30, tzinfo=UTC).timestamp()
    loan = {"USERNAME": "1001", "ITEM_ID": "7", "TIMESTAMP": "2026-07-01"}
    assert seen(file(loan)).at == datetime(2026, 7, 1, 11, tzinfo=UTC).timestamp()


def test_an_access_is_one_by_all_that_its_row_says() -> None:
    first = seen(access()).event

    others = ({"USERNAME": "x"}, {"TIMESTAMP": "2026-07-02"}, {"TYPE": "x"}, {"SITE": "x"}, {"ACCESS_ID": "x"})
    assert len({first, *(seen(access(**other)).event for other in others)}) == 6


@pytest.mark.parametrize("direction", ["I", "in", "In", ""])
def test_who_came_in_or_may_have_is_seen(direction: str) -> None:
    assert isinstance(access(DIRECTION_OF_ACCESS=direction), Seen)
    said = {"extensions": {"http://xapi&46;jisc&46;ac&46;uk/extensions/direction_of_access": direction}}
    found = seen(statement(ACCESS, LIBRARY, "https://buildings.example.ac.uk/Library", context=said))
    assert (found.person, found.activity, found.venue) == ("stu1", "tap_in", "reader:Library")


@pytest.mark.parametrize("direction", ["O", "out", "Out"])
def test_leaving_is_no_activity(direction: str) -> None:
    said = {"extensions": {"http://xapi.jisc.ac.uk/extensions/direction_of_access": direction}}

    assert access(DIRECTION_OF_ACCESS=direction) == NotForUs("leaving")
    assert statement(ACCESS, LIBRARY, context=said) == NotForUs("leaving")


@pytest.mark.parametrize("direction", ["sideways", 1, [], {}, True])
def test_another_direction_is_unusable(direction: Any) -> None:
    said = {"extensions": {"http://xapi.jisc.ac.uk/extensions/direction_of_access": direction}}

    assert statement(ACCESS, LIBRARY, context=said) == Unusable("direction of access: neither in nor out")


def test_a_submission_that_says_when_counts_then() -> None:
    """Not when it was due."""
    row = {"USERNAME": "S1", "OBJECT_ID": "x", "DUE_DATE": "2026-11-01T12:00:00Z", "TIMESTAMP": "2026-10-05T08:00:00Z"}
    found = seen(file(row))

    assert (found.activity, found.at) == ("faser_upload", datetime(2026, 10, 5, 8, tzinfo=UTC).timestamp())


VLE = {
    "USERNAME": "S1",
    "TIMESTAMP": "2026-10-05T09:00:00",
    "OBJECT_ID": "https://vle.example.ac.uk/1",
    "SESSION_ID": "32",
    "TYPE": LMS,
}


def test_a_login_is_one_to_the_vle() -> None:
    assert seen(file(VLE)).activity == "moodle_login"
    assert file(VLE | {"TYPE": "http://id.tincanapi.com/activitytype/email"}) == NotForUs("login to another system")
    assert statement(LOGGED_IN, "http://x/mail") == NotForUs("login to another system")


def test_a_time_without_a_zone_is_local() -> None:
    assert seen(file(VLE)).at == datetime(2026, 10, 5, 8, tzinfo=UTC).timestamp()


def test_an_act_sent_again_is_the_same_and_another_is_not() -> None:
    first = seen(file(VLE)).event

    assert seen(file(VLE | {"CLIENT_IP": "192.0.2.10", "OBJECT_NAME": "Ethics"})).event == first
    others = (
        {"USERNAME": "x"},
        {"TIMESTAMP": "2026-10-05"},
        {"OBJECT_ID": "x"},
        {"SESSION_ID": "x"},
        {"VLE_MOD_ID": ""},
    )
    assert len({first, *(seen(file(VLE | other)).event for other in others)}) == 6


@pytest.mark.parametrize("name", ["USERNAME", "OBJECT_ID", "TIMESTAMP"])
def test_a_row_without_what_is_needed_says_so(name: str) -> None:
    assert file(VLE | {name: ""}) == Unusable(f"{name}: missing")


@pytest.mark.parametrize("time", ["2026-13-01T09:00:00", "05/10/2026 09:00", "10/05/2026", "2026-02-30"])
def test_the_order_of_day_and_month_is_not_guessed(time: str) -> None:
    for found in (file(VLE | {"TIMESTAMP": time}), access(TIMESTAMP=time)):
        assert isinstance(found, Unusable)
        assert found.exchanged == (time == "2026-13-01T09:00:00")


@pytest.mark.parametrize(
    ("column", "reason"), [("GRADE", "marked work"), ("INTERACTION_TYPE", "part of a quiz")], ids=["graded", "answered"]
)
def test_what_is_no_activity_is_not_for_us(column: str, reason: str) -> None:
    assert file(VLE | {column: "x", "SCORE_SCALED": "1", "VLE_MOD_ID": "1"}) == NotForUs(reason)


def test_another_file_is_unusable() -> None:
    assert file({"USERNAME": "S1", "TIMESTAMP": "2026-10-05"}) == Unusable("header: no file of the hub")


@pytest.mark.parametrize(
    ("verb", "kind", "activity"),
    [
        (LOGGED_IN, LMS, "moodle_login"),
        (LOGGED_IN, "http://activitystrea.ms/schema/1.0/application", "moodle_login"),
        (VIEWED, "http://adlnet.gov/expapi/activities/course", "moodle_course"),
        (VIEWED, "http://xapi.jisc.ac.uk/vle/page", "moodle_course"),
        (VIEWED, "http://xapi.jisc.ac.uk/externalURL", "moodle_course"),
        (VIEWED, "http://jisc.ac.uk/reading-list", "reading_list"),
        (VIEWED, "http://xapi.jisc.ac.uk/activities/reading-list-item", "reading_list"),
        (COMPLETED, "http://xapi.jisc.ac.uk/vle/quiz", "moodle_course"),
        (COMPLETED, "http://adlnet.gov/expapi/activities/assessment", "faser_upload"),
        ("http://activitystrea.ms/schema/1.0/submit", "http://adlnet.gov/expapi/activities/assessment", "faser_upload"),
        ("http://activitystrea.ms/schema/1.0/create", "http://xapi.jisc.ac.uk/forum-post", "moodle_course"),
        ("http://activitystrea.ms/schema/1.0/borrowed", "http://xapi.jisc.ac.uk/library/resource", "library_loan"),
    ],
)
def test_a_statement_is_known_by_verb_and_type(verb: str, kind: str, activity: str) -> None:
    found = seen(statement(verb, kind))

    assert (found.person, found.activity) == ("stu1", activity)
    assert found.at == datetime(2026, 10, 5, 8, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("verb", "kind", "reason"),
    [
        (VIEWED, "http://id.tincanapi.com/activitytype/resource", "another statement"),
        (COMPLETED, MODULE, "another statement"),
        (ACCESS, "http://xapi.jisc.ac.uk/activities/externalContent", "another statement"),
        ("http://adlnet.gov/expapi/verbs/scored ", MODULE, "marked work"),
        ("http://adlnet.gov/expapi/verbs/answered", "http://activitystrea.ms/schema/1.0/question", "part of a quiz"),
        ("https://brindlewaye.com/xAPITerms/verbs/loggedout", LMS, "another statement"),
    ],
)
def test_other_statements_are_not_for_us(verb: str, kind: str, reason: str) -> None:
    assert statement(verb, kind) == NotForUs(reason)


@pytest.mark.parametrize(
    ("name", "person", "activity", "at"),
    [
        ("moodle-login.js", "stu1", "moodle_login", datetime(2017, 11, 6, 11, 48, 23, tzinfo=UTC)),
        ("moodle-moduleview.js", "mwebb", "moodle_course", datetime(2017, 10, 31, 13, 51, 47, tzinfo=UTC)),
        ("moodle-assignment_submitted.json", "stu1", "faser_upload", datetime(2017, 11, 17, 10, 11, 20, tzinfo=UTC)),
    ],
)
def test_stored_statements_of_the_sample_count(name: str, person: str, activity: str, at: datetime) -> None:
    """Their keys have their dots escaped, a list stands for an empty object, and an assignment is any module."""
    found = seen(read((DATA / name).read_bytes()))

    assert (found.person, found.activity, found.at) == (person, activity, at.timestamp())


ATTENDED = "http://adlnet.gov/expapi/verbs/attended"


def test_an_absence_is_no_activity() -> None:
    assert (
        seen(statement(ATTENDED, "http://xapi.jisc.ac.uk/event_timetabled", result={"completion": True})).activity
        == "tap_in"
    )
    assert statement(ATTENDED, "http://xapi.jisc.ac.uk/event_timetabled", result={"completion": False}) == NotForUs(
        "absence"
    )


@pytest.mark.parametrize("category", ["http://xapi.jisc.ac.uk/recipeCat", "https://xapi.jisc.ac.uk/statementCat", None])
@pytest.mark.parametrize("course", ["uddCourseInstanceID", "uddCourseInstanceId", "udddCourseInstanceId"])
def test_categories_and_ids_of_courses_decide_nothing(category: str | None, course: str) -> None:
    extensions = {f"http://xapi.jisc.ac.uk/{course}": "C1"} | ({category: "Library"} if category else {})

    assert statement(VIEWED, MODULE, context={"extensions": extensions}) == statement(VIEWED, MODULE, context=[])


def test_a_video_counts_from_the_least_that_the_institution_takes() -> None:
    head_and_row = records("video")[2]

    assert isinstance(sources(Options(least_watched=30))["hub"].read(head_and_row), Seen)
    assert sources(Options())["hub"].read(head_and_row) == NotForUs("watched for too short")
    kind = "https://w3id.org/xapi/video/activity-type/video"
    assert seen(statement(VIEWED, kind, result={"duration": "PT1234S"})).activity == "listen_again"
    assert isinstance(statement(VIEWED, kind, result={"duration": "20.5"}), Unusable)


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b"null", b"A\tB\n1\t2\n", b"\xff", b'{"verb": []}'])
def test_what_is_neither_row_nor_statement_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
