r"""Moodle: which of its acts are activities, by whom, and what makes each of them one.

what it is             web                         ws (the app)
user_loggedin          moodle_login                moodle_mobile
a view in a course     moodle_course               moodle_mobile
submission, feedback   (the source faser)          (the source faser)
webservice_*           -                           not for us
anything else          not for us                  moodle_mobile
"""

import csv
import io
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Options, Outcome, Seen, Unusable, faser
from streams.sources.moodle import adapter

SAMPLES = Path(__file__).parents[2] / "data/jisc"
AT = 1_791_191_700
"""2026-10-05T09:15:00Z"""

read = adapter(Options())


def log_row(name: str = r"\core\event\course_viewed", **changes: Any) -> bytes:
    """Return a row of mdl_logstore_standard_log, whole."""
    row = {
        "id": 8712,
        "eventname": name,
        "component": "core",
        "action": "viewed",
        "target": "course",
        "objecttable": None,
        "objectid": None,
        "crud": "r",
        "edulevel": 2,
        "contextid": 40,
        "contextlevel": 50,
        "contextinstanceid": 7,
        "userid": 23,
        "courseid": 7,
        "relateduserid": None,
        "anonymous": 0,
        "other": "null",
        "timecreated": AT,
        "origin": "web",
        "ip": "192.0.2.10",
        "realuserid": None,
    }
    return json.dumps(row | changes).encode()


def statement(name: str | None = r"\core\event\course_viewed", **changes: Any) -> bytes:
    """Return a statement in the form of moodle-logstore_xapi as of 2026."""
    made: dict[str, Any] = {
        "actor": {"account": {"homePage": "https://moodle.example.ac.uk", "name": "23"}, "name": "Jo Doe"},
        "verb": {"id": "http://id.tincanapi.com/verb/viewed", "display": {"en": "Viewed"}},
        "object": {
            "id": "https://moodle.example.ac.uk/course/view.php?id=7",
            "definition": {"type": "https://w3id.org/xapi/cmi5/activitytype/course"},
            "objectType": "Activity",
        },
        "context": {"platform": "Moodle", "extensions": {}},
        "timestamp": "2026-10-05T10:15:00+01:00",
    } | changes
    if name is not None:
        made["context"]["extensions"]["http://lrs.learninglocker.net/define/extensions/info"] = {
            "http://moodle.org": "2026042000",
            "event_name": name,
            "event_function": r"\src\transformer\events\core",
        }
    return json.dumps(made).encode()


REPORT = {
    "Time": "5/10/26, 10:15",
    "User full name": "Jo Doe",
    "Affected user": "-",
    "Event context": "Course: Logic, an introduction",
    "Component": "System",
    "Event name": "Course viewed",
    "Description": "The user with id '23' viewed the course with id '7'.",
    "Origin": "web",
    "IP address": "192.0.2.10",
}


def report(ending: str = "\r\n", **changes: str) -> bytes:
    """Return a row of the report's CSV; names of columns with `_` for a space."""
    columns = REPORT | {name.replace("_", " "): held for name, held in changes.items()}
    out = io.StringIO()
    csv.writer(out, lineterminator=ending).writerows([columns.keys(), columns.values()])
    return out.getvalue().encode()


def caliper(**changes: Any) -> bytes:
    """Return a thinned Caliper event of 1.1."""
    made = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p1",
        "id": "urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f11",
        "type": "NavigationEvent",
        "actor": "https://moodle.example.ac.uk/user/23",
        "action": "NavigatedTo",
        "object": "https://moodle.example.ac.uk/course/7",
        "eventTime": "2026-10-05T09:15:00.000Z",
    }
    return json.dumps(made | changes).encode()


def event_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Seen), outcome
    return outcome.event


# Which acts are which activities


@pytest.mark.parametrize(
    ("name", "activity"),
    [
        (r"\core\event\user_loggedin", "moodle_login"),
        (r"\core\event\course_viewed", "moodle_course"),
        (r"\mod_page\event\course_module_viewed", "moodle_course"),
        (r"\mod_assign\event\course_module_viewed", "moodle_course"),
        (r"\mod_forum\event\discussion_viewed", "moodle_course"),
        (r"\mod_quiz\event\attempt_viewed", "moodle_course"),
        (r"\mod_resource\event\course_module_instance_list_viewed", "moodle_course"),
        (r"\mod_assign\event\course_module_instance_list_viewed", "moodle_course"),
    ],
)
def test_logins_and_views_in_a_course_are_activities(name: str, activity: str) -> None:
    assert read(log_row(name)) == Seen("23", activity, float(AT), "log:8712")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        r"\core\event\user_loggedout",
        r"\core\event\user_loggedinas",
        r"\core\event\user_login_failed",
        r"\core\event\user_profile_viewed",
        r"\mod_forum\event\post_created",
        r"\core\event\course_module_completion_updated",
        r"\report_log\event\report_viewed",
        r"\mod_assign\event\submission_viewed",
        r"\mod_assign\event\grading_table_viewed",
        r"\mod_quiz\event\attempt_reviewed",
        "viewed",
    ],
)
def test_every_other_event_is_not_for_us(name: str) -> None:
    assert read(log_row(name)) == NotForUs("another event")


@pytest.mark.parametrize(
    "name", [r"\core\event\course_viewed", r"\core\event\user_loggedin", r"\mod_forum\event\post_created"]
)
def test_what_came_by_the_app_is_use_of_the_app_and_nothing_else(name: str) -> None:
    seen = read(log_row(name, origin="ws", courseid=1))

    assert seen == Seen("23", "moodle_mobile", float(AT), "log:8712")


def test_a_call_of_the_app_is_no_act_of_the_student() -> None:
    """One is logged for each of the app's calls, of those in the background, too."""
    assert read(log_row(r"\core\event\webservice_function_called", origin="ws")) == NotForUs("another event")


@pytest.mark.parametrize("origin", ["web", "ws"])
@pytest.mark.parametrize(
    "name",
    [
        r"\mod_assign\event\submission_status_viewed",
        r"\mod_assign\event\submission_viewed",
        r"\mod_assign\event\feedback_viewed",
        r"\mod_assign\event\assessable_submitted",
        r"\mod_assign\event\course_module_viewed",
        r"\mod_assign\event\submission_form_viewed",
        r"\assignsubmission_file\event\assessable_uploaded",
        r"\core\event\course_viewed",
    ],
)
def test_no_row_counts_both_here_and_as_coursework(name: str, origin: str) -> None:
    row = log_row(name, origin=origin)

    assert not (isinstance(read(row), Seen) and isinstance(faser.read(row), Seen))


# Who is meant


@pytest.mark.parametrize("course", [1, "1", 0, None])
def test_the_front_page_of_the_site_is_no_course(course: object) -> None:
    assert read(log_row(courseid=course)) == NotForUs("outside of a course")


@pytest.mark.parametrize("by", [2, "2"])
def test_staff_who_logged_in_as_a_student_are_not_the_student(by: object) -> None:
    assert read(log_row(realuserid=by)) == NotForUs("logged in as somebody else")


@pytest.mark.parametrize("nobody", [None, "", 0, "0", "NULL"])
def test_an_empty_column_is_nobody_however_a_database_exports_it(nobody: object) -> None:
    assert isinstance(read(log_row(realuserid=nobody, relateduserid=nobody, anonymous=nobody)), Seen)


@pytest.mark.parametrize("flag", [1, "1"])
def test_anonymous_acts_stay_anonymous(flag: object) -> None:
    assert read(log_row(anonymous=flag)) == NotForUs("anonymous")


@pytest.mark.parametrize("origin", ["cli", "cron", "restore"])
def test_what_no_person_did_is_not_for_us(origin: str) -> None:
    """A restored course brings its old log along, under `restore`."""
    assert read(log_row(origin=origin)) == NotForUs("not done by a person")


@pytest.mark.parametrize("user", [1, "1", 0, -1, "-20"])
@pytest.mark.parametrize("origin", ["web", "ws"])
def test_guests_and_the_system_are_nobody(user: object, origin: str) -> None:
    assert read(log_row(userid=user, origin=origin)) == NotForUs("guest or nobody")


# The standard log


def test_numbers_may_be_text() -> None:
    row = json.loads(log_row())
    text = {name: str(held) if isinstance(held, int) else held for name, held in row.items()}

    assert read(json.dumps(text).encode()) == read(log_row())


def test_a_row_sent_again_is_the_same_event_and_no_other_row_is() -> None:
    assert event_of(read(log_row())) == event_of(read(log_row()))
    assert event_of(read(log_row())) != event_of(read(log_row(id=8713)))


def test_rows_without_an_id_are_told_apart_by_who_what_and_when() -> None:
    first = read(log_row(id=None))
    others: list[dict[str, Any]] = [{"userid": 24}, {"timecreated": AT + 1}, {"contextinstanceid": 8}, {"objectid": 3}]

    assert first == read(log_row(id=None, ip="192.0.2.11"))
    assert len({event_of(first), *(event_of(read(log_row(id=None, **other))) for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"userid": None}, "Expected `int`, got `null` - at `$.userid`"),
        ({"userid": "jdoe"}, "Expected `int`, got `str` - at `$.userid`"),
        ({"userid": True}, "Expected `int`, got `bool` - at `$.userid`"),
        ({"timecreated": "2026-10-05"}, "Expected `int`, got `str` - at `$.timecreated`"),
        ({"timecreated": AT * 1000}, "Expected `int` <= 100000000000 - at `$.timecreated`"),
        ({"realuserid": []}, "Expected `int | null`, got `array` - at `$.realuserid`"),
        ({"origin": 7}, "Expected `str | null`, got `int` - at `$.origin`"),
        ({"eventname": None}, "Expected `str`, got `null` - at `$.eventname`"),
    ],
)
def test_a_row_that_cannot_be_read_says_where(changes: dict[str, Any], reason: str) -> None:
    assert read(log_row(**changes)) == Unusable(reason)


def test_an_export_without_the_course_column_is_told_of_and_not_counted_as_nothing() -> None:
    row = json.loads(log_row())
    del row["courseid"]

    assert read(json.dumps(row).encode()) == Unusable("Object missing required field `courseid`")


# The report


def test_a_row_of_the_report_is_the_user_whose_id_its_description_has() -> None:
    seen = read(report())

    assert isinstance(seen, Seen)
    assert (seen.person, seen.activity, seen.at) == ("23", "moodle_course", float(AT))


@pytest.mark.parametrize(
    ("name", "description", "activity"),
    [
        ("User has logged in", "The user with id '23' has logged in.", "moodle_login"),
        ("User has logged in", "The user with the id '23' has logged in.", "moodle_login"),
        (
            "Course module viewed",
            "The user with id '23' viewed the 'page' activity with course module id '81'.",
            "moodle_course",
        ),
        (
            "Discussion viewed",
            "The user with id '23' has viewed the discussion with id '3' in the forum with course module id '81'.",
            "moodle_course",
        ),
    ],
)
def test_events_of_the_report_are_known_by_their_english_names(name: str, description: str, activity: str) -> None:
    seen = read(report(Event_name=name, Description=description))

    assert isinstance(seen, Seen)
    assert (seen.person, seen.activity) == ("23", activity)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_ending_and_a_byte_order_mark_are_taken(ending: str, mark: bytes) -> None:
    assert read(mark + report(ending)) == read(report())


def test_columns_are_found_by_name() -> None:
    """Origin and IP address come in either order; a site-wide report has the course first, and columns may be hidden."""
    names = ["Course", "Time", "Event context", "Component", "Event name", "Description", "IP address", "Origin"]
    out = io.StringIO()
    csv.writer(out).writerows([names, [(REPORT | {"Course": "LG101"})[name] for name in names]])

    assert read(out.getvalue().encode()) == read(report())


def test_a_description_over_two_lines_is_one_field() -> None:
    row = report(
        Event_name="Submission viewed.", Description="The user with the id 23 viewed the\n            assignment."
    )

    assert read(row) == NotForUs("another event")


def test_times_of_the_report_are_those_of_the_site() -> None:
    seconds = adapter(Options(zone=ZoneInfo("Europe/Paris"), moodle_dates="%d/%m/%y, %H:%M:%S"))
    seen = seconds(report(Time="05/10/26, 11:15:30"))

    assert isinstance(seen, Seen)
    assert seen.at == AT + 30
    assert read(report(Time="05/10/26, 11:15:30")) == Unusable("Time: not a time in the form %d/%m/%y, %H:%M")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Description": "The user with id '23' viewed the course with id '1'."}, "outside of a course"),
        ({"Description": "The user with id '1' viewed the course with id '7'."}, "guest or nobody"),
        ({"User_full_name": "Ann Admin as Jo Doe"}, "logged in as somebody else"),
        ({"Origin": "cron"}, "not done by a person"),
        ({"Event_name": "Log report viewed"}, "another event"),
        ({"Origin": "ws", "Event_name": "Web service function called"}, "another event"),
        ({"Origin": "ws", "Component": "Assignment", "Event_name": "Feedback viewed"}, "another event"),
    ],
)
def test_the_same_rules_hold_for_the_report(changes: dict[str, str], reason: str) -> None:
    assert read(report(**changes)) == NotForUs(reason)


def test_the_report_tells_use_of_the_app() -> None:
    for name in ("Course viewed", "Post created"):
        seen = read(report(Origin="ws", Event_name=name))

        assert isinstance(seen, Seen)
        assert seen.activity == "moodle_mobile"


@pytest.mark.parametrize("description", ["Viewed.", "", f"The user with id '{10**18}' viewed the course with id '7'."])
def test_a_row_without_a_user_id_is_unusable_for_a_name_is_no_key(description: str) -> None:
    assert read(report(Description=description)) == Unusable("Description: does not begin with a user id")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not a header line and one row"),
        (b"Time,Description\n1,2\n", "row: no column Event name"),
        (report() + report().split(b"\r\n")[1], "not a header line and one row"),
        (report().replace(b",web,", b",web,,"), "row: not as many fields as the header has"),
        (b'Time,"Event name\n', "row: quotes that do not match"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_row_of_the_report_is_unusable(raw: bytes, reason: str) -> None:
    assert read(raw) == Unusable(reason)


def test_a_report_that_is_exported_twice_counts_once() -> None:
    assert read(report()) == read(report(IP_address="192.0.2.11"))
    assert event_of(read(report())) != event_of(read(report(Time="5/10/26, 10:16")))
    assert event_of(read(report())) != event_of(
        read(report(Description="The user with id '23' viewed the course with id '8'."))
    )


# xAPI


@pytest.mark.parametrize(
    ("sample", "person", "activity", "at"),
    [
        ("moodle-login.js", "stu1", "moodle_login", 1_509_968_903.0),
        ("moodle-moduleview.js", "mwebb", "moodle_course", 1_509_457_907.0),
    ],
)
def test_stored_statements_of_2017_are_read_by_verb_and_object(
    sample: str, person: str, activity: str, at: float
) -> None:
    """Their keys have `&46;` for dots, and `[]` stands where an object without members was."""
    seen = read((SAMPLES / sample).read_bytes())

    assert isinstance(seen, Seen)
    assert (seen.person, seen.activity, seen.at) == (person, activity, at)


def test_a_stored_statement_of_a_submission_is_not_for_us() -> None:
    assert read((SAMPLES / "moodle-assignment_submitted.json").read_bytes()) == NotForUs("another event")


@pytest.mark.parametrize(
    ("name", "activity"),
    [
        (r"\core\event\user_loggedin", "moodle_login"),
        (r"\core\event\course_viewed", "moodle_course"),
        (r"\mod_book\event\chapter_viewed", "moodle_course"),
    ],
)
@pytest.mark.parametrize("verb", ["https://xapi.edlm/profiles/edlm-lms/concepts/verbs/login", "urn:any"])
def test_where_a_statement_has_moodles_name_of_the_event_the_verb_says_nothing(
    name: str, activity: str, verb: str
) -> None:
    seen = read(statement(name, verb={"id": verb}))

    assert isinstance(seen, Seen)
    assert (seen.person, seen.activity, seen.at) == ("23", activity, float(AT))


@pytest.mark.parametrize(
    ("verb", "kind", "outcome"),
    [
        (
            "https://brindlewaye.com/xAPITerms/verbs/loggedin/",
            "http://id.tincanapi.com/activitytype/lms",
            "moodle_login",
        ),
        (
            "https://xapi.edlm/profiles/edlm-lms/concepts/verbs/login",
            "http://id.tincanapi.com/activitytype/lms",
            "moodle_login",
        ),
        ("https://brindlewaye.com/xAPITerms/verbs/loggedin", "http://adlnet.gov/expapi/activities/meeting", None),
        ("http://id.tincanapi.com/verb/viewed", "http://adlnet.gov/expapi/activities/course", "moodle_course"),
        ("http://id.tincanapi.com/verb/viewed", "https://w3id.org/xapi/video/activity-type/video", None),
        ("http://adlnet.gov/expapi/verbs/answered", "http://adlnet.gov/expapi/activities/course", None),
    ],
)
def test_a_statement_without_the_name_is_known_by_verb_and_object(verb: str, kind: str, outcome: str | None) -> None:
    thing = {"id": "https://moodle.example.ac.uk/x", "definition": {"type": kind}}
    seen = read(statement(None, verb={"id": verb}, object=thing))

    assert (seen.activity if isinstance(seen, Seen) else None) == outcome
    assert outcome or seen == NotForUs("another event")


def test_the_name_is_found_in_a_statement_as_a_store_keeps_it() -> None:
    kept = statement(verb={"id": "urn:any"}).replace(b"lrs.learninglocker.net", b"lrs&46;learninglocker&46;net")

    assert read(kept) == read(statement())


@pytest.mark.parametrize("relation", ["parent", "grouping"])
@pytest.mark.parametrize(("course", "counts"), [(1, False), (7, True), (11, True)])
def test_a_module_is_in_the_course_that_its_context_names(relation: str, course: int, counts: bool) -> None:
    page = {"id": f"https://moodle.example.ac.uk/course/view.php?id={course}"}
    raw = statement(
        r"\mod_page\event\course_module_viewed",
        object={"id": "https://moodle.example.ac.uk/mod/page/view.php?id=81"},
        context={"extensions": {}, "contextActivities": {relation: [{"id": "https://moodle.example.ac.uk"}, page]}},
    )

    assert isinstance(read(raw), Seen) == counts
    assert counts or read(raw) == NotForUs("outside of a course")


@pytest.mark.parametrize("name", ["1", "0", "guest"])
def test_a_guest_of_a_statement_is_nobody(name: str) -> None:
    actor = {"account": {"homePage": "https://moodle.example.ac.uk", "name": name}}

    assert read(statement(actor=actor)) == NotForUs("guest or nobody")


def test_a_statement_that_is_sent_again_is_the_same_event_though_its_store_gives_it_another_id() -> None:
    """The plugins send no id, and send again what they do not know to have arrived."""
    first = read(statement(id="6ee080c5-1626-4216-98cf-16611636b68c", stored="2026-10-05T09:16:00Z"))
    again = read(statement(id="327282cd-c02a-495e-9a92-4f2b6a619c4d", stored="2026-10-05T11:00:00Z"))

    assert first == again == read(statement())
    assert event_of(first) != event_of(read(statement(timestamp="2026-10-05T10:15:01+01:00")))


def test_a_statement_that_has_only_the_time_of_storage_is_told_apart_by_its_id() -> None:
    def stored(identifier: str, at: str) -> bytes:
        body = json.loads(statement(id=identifier, stored=at))
        del body["timestamp"]
        return json.dumps(body).encode()

    first, second = stored("a", "2026-10-05T09:16:00Z"), stored("b", "2026-10-05T09:16:00Z")

    assert event_of(read(first)) != event_of(read(second))
    assert event_of(read(first)) == event_of(read(stored("a", "2026-10-05T09:17:00Z")))


# Caliper


@pytest.mark.parametrize(
    ("kind", "action", "activity"),
    [
        ("SessionEvent", "LoggedIn", "moodle_login"),
        ("NavigationEvent", "NavigatedTo", "moodle_course"),
        ("ViewEvent", "Viewed", "moodle_course"),
    ],
)
def test_logins_and_views_of_caliper_are_activities(kind: str, action: str, activity: str) -> None:
    seen = read(caliper(type=kind, action=action))

    assert seen == Seen("23", activity, float(AT), "caliper:urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f11")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "SessionEvent", "action": "LoggedOut"}, "another event"),
        ({"type": "AssessmentEvent", "action": "Submitted"}, "another event"),
        ({"actor": "http://purl.imsglobal.org/caliper/Person"}, "anonymous"),
        ({"actor": {"id": "http://purl.imsglobal.org/caliper/Person", "type": "Person"}}, "anonymous"),
        ({"actor": {"id": "https://moodle.example.ac.uk", "type": "SoftwareApplication"}}, "not done by a person"),
        ({"actor": "https://moodle.example.ac.uk/user/1"}, "guest or nobody"),
        ({"object": "https://moodle.example.ac.uk/course/1"}, "outside of a course"),
        (
            {"object": "https://moodle.example.ac.uk/module/4", "group": "https://moodle.example.ac.uk/course/1"},
            "outside of a course",
        ),
    ],
)
def test_the_same_rules_hold_for_caliper(changes: dict[str, Any], reason: str) -> None:
    assert read(caliper(**changes)) == NotForUs(reason)


def test_a_caliper_event_without_a_time_says_so() -> None:
    body = json.loads(caliper())
    del body["eventTime"]

    assert read(json.dumps(body).encode()) == Unusable("eventTime: no time")


def test_a_user_whose_iri_is_not_moodles_is_known_by_the_whole_of_it() -> None:
    """The number at its end may be of another register, where it is somebody else."""
    seen = read(caliper(actor={"id": "https://example.edu/users/23", "type": "Person"}))

    assert isinstance(seen, Seen)
    assert seen.person == "https://example.edu/users/23"


def test_a_caliper_event_without_an_id_is_told_apart_by_who_what_and_when() -> None:
    assert event_of(read(caliper(id=None))) == event_of(read(caliper(id=None)))
    assert event_of(read(caliper(id=None))) != event_of(read(caliper(id=None, eventTime="2026-10-05T09:15:01.000Z")))


# Anything else


@pytest.mark.parametrize("raw", [b"{}", b'{"sensor": "x", "data": []}'])
def test_a_json_object_of_none_of_these_forms_is_unusable(raw: bytes) -> None:
    assert read(raw) == Unusable("neither a log row nor a statement or an event")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "Expected `object`, got `array`"),
        (b'{"eventname": ', "not a record: Input data was truncated"),
        (b'{"eventname": "\xff"}', "not a record: not UTF-8"),
        (b'{"verb":' + b'{"a":' * 950 + b"1" + b"}" * 951, "not a record: nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_unusable(raw: bytes, reason: str) -> None:
    assert read(raw) == Unusable(reason)


def test_the_rows_that_the_page_for_source_owners_shows_are_read() -> None:
    page = (Path(__file__).parents[3] / "docs/sources/moodle.md").read_text(encoding="utf-8")
    shown = [block.partition("```")[0] for block in page.split("```json\n")[1:]]

    assert [read(row.encode()) for row in shown] == [read(log_row())]
