r"""Moodle: rows of its standard log, its report, statements of two generations of its xAPI plugins, Caliper events."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import Row, statement, utc

MOODLE = f"https://moodle.{SITE}"
LOGGED_IN = r"\core\event\user_loggedin"
VIEWED = r"\core\event\course_viewed"
PAGE_VIEWED = r"\mod_page\event\course_module_viewed"
STATUS_VIEWED = r"\mod_assign\event\submission_status_viewed"
SUBMITTED = r"\mod_assign\event\assessable_submitted"
GRADED = r"\mod_assign\event\submission_graded"

_INFO = "http://lrs.learninglocker.net/define/extensions/info"
_VERBS = {
    LOGGED_IN: "https://xapi.edlm/profiles/edlm-lms/concepts/verbs/login",
    VIEWED: "http://id.tincanapi.com/verb/viewed",
    SUBMITTED: "http://activitystrea.ms/schema/1.0/submit",
}
_VERBS_OF_2017 = {
    LOGGED_IN: "https://brindlewaye.com/xAPITerms/verbs/loggedin",
    VIEWED: "http://id.tincanapi.com/verb/viewed",
    SUBMITTED: "http://adlnet.gov/expapi/verbs/completed",
}
_CALIPER = "http://purl.imsglobal.org/ctx/caliper/v1p2"


def log_row(number: int, name: str, user: int, at: float, course: int = 7, **more: Any) -> dict[str, Any]:
    """Return a row of ``mdl_logstore_standard_log``; ``more``: other columns."""
    _, component, _, what = name.split("\\")
    return {
        "id": number,
        "eventname": name,
        "component": component,
        "action": what.rpartition("_")[2],
        "target": what.rpartition("_")[0],
        "objecttable": None,
        "objectid": None,
        "crud": "r",
        "edulevel": 2,
        "contextid": 40 + course,
        "contextlevel": 50,
        "contextinstanceid": course,
        "userid": user,
        "courseid": course,
        "relateduserid": None,
        "anonymous": 0,
        "other": "null",
        "timecreated": int(at),
        "origin": "web",
        "ip": "192.0.2.10",
        "realuserid": None,
    } | more


def report_row(words: str, description: str, who: str, local: datetime, origin: str = "web") -> Row:
    """Return a row of the report *Logs*, as it is downloaded; ``local``: in the site's zone."""
    return {
        "Time": f"{local.day}/{local:%m/%y, %H:%M}",
        "User full name": who,
        "Affected user": "-",
        "Event context": "Course: Logic, simulated",
        "Component": "System",
        "Event name": words,
        "Description": description,
        "Origin": origin,
        "IP address": "192.0.2.10",
    }


def _thing(name: str, number: int) -> str:
    if name == LOGGED_IN:
        return MOODLE
    page = "mod/assign" if name == SUBMITTED else "course"
    return f"{MOODLE}/{page}/view.php?id={number}"


def plugin(name: str, user: int, at: float, number: int = 7) -> dict[str, Any]:
    """Return a statement of the plugin of today: it names Moodle's event; ``number``: of the course or assignment."""
    kind = "http://id.tincanapi.com/activitytype/lms" + ("" if name == LOGGED_IN else "/course")
    info = {"http://moodle.org": "2026042000", "event_name": name, "event_function": r"\src\transformer\events\core"}
    context = {"platform": "Moodle", "extensions": {_INFO: info}}
    return statement(str(user), MOODLE, _VERBS[name], _thing(name, number), kind, at, context=context)


def plugin_of_2017(name: str, user: int, at: float, number: int = 7) -> dict[str, Any]:
    """Return a statement of Jisc's plugin: verb and type of the object have to do."""
    kind = {
        LOGGED_IN: "http://activitystrea.ms/schema/1.0/application",
        VIEWED: "http://adlnet.gov/expapi/activities/course",
        SUBMITTED: "http://adlnet.gov/expapi/activities/module",
    }[name]
    context = {"platform": "Moodle", "extensions": {"http://xapi.jisc.ac.uk/version": "1.0"}}
    return statement(str(user), MOODLE, _VERBS_OF_2017[name], _thing(name, number), kind, at, context=context)


def caliper(number: int, user: int | None, at: float, *, login: bool = False, course: int = 7) -> dict[str, Any]:
    """Return a Caliper event: a login, or a view of a course; ``user`` None: of nobody in particular."""
    actor = f"{MOODLE}/user/{user}" if user is not None else "http://purl.imsglobal.org/caliper/Person"
    site = {"id": MOODLE, "type": "SoftwareApplication"}
    return {
        "@context": _CALIPER,
        "id": f"urn:uuid:00000000-0000-4000-8000-{number:012x}",
        "type": "SessionEvent" if login else "NavigationEvent",
        "profile": "SessionProfile" if login else "ReadingProfile",
        "actor": {"id": actor, "type": "Person"},
        "action": "LoggedIn" if login else "NavigatedTo",
        "object": site if login else {"id": f"{MOODLE}/course/{course}", "type": "CourseOffering"},
        "eventTime": utc(at, ".000"),
        "edApp": site,
    }


def envelope(events: list[bytes], at: float) -> bytes:
    """Return a Caliper envelope of events."""
    head = f'{{"sensor":"{MOODLE}/sensor","sendTime":"{utc(at, ".000")}","dataVersion":"{_CALIPER}","data":['
    return head.encode() + b",".join(events) + b"]}"
