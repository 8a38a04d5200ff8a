"""A sector hub of Jisc's profile: rows of its files, and its statements."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import Row, statement

VLE = f"https://vle.{SITE}"
COURSE = "http://adlnet.gov/expapi/activities/course"
LMS = "http://id.tincanapi.com/activitytype/lms"


def borrowed(user: str, item: int, day: str, kind: str = "BOOK") -> Row:
    """Return a row of ``borrowed``; ``day``: a date, or a time with a zone."""
    return {
        "USERNAME": user,
        "ITEM_ID": f"67998{item:05}",
        "ITEM_NAME": f"Simulated book {item}",
        "ITEM_SUBTYPE": kind,
        "BORROWING_SITE": "Library",
        "TIMESTAMP": day,
    }


def access(user: str, site: str, local: datetime, direction: str = "I") -> Row:
    """Return a row of ``access``: somebody went in or out (``O``)."""
    return {
        "USERNAME": user,
        "TIMESTAMP": f"{local:%Y-%m-%dT%H:%M:%S}",
        "TYPE": "GATE",
        "SITE": site,
        "ACCESS_ID": "1001527",
        "DIRECTION_OF_ACCESS": direction,
    }


def logged_in(user: str, session: int, local: datetime, kind: str = LMS) -> Row:
    """Return a row of ``logged_in``."""
    return {
        "USERNAME": user,
        "CLIENT_IP": "192.0.2.10",
        "TIMESTAMP": local.isoformat(),
        "SESSION_ID": str(session),
        "OBJECT_ID": VLE,
        "OBJECT_NAME": "Simulated VLE",
        "TYPE": kind,
    }


def viewed(user: str, session: int, local: datetime) -> Row:
    """Return a row of ``viewed``."""
    return {
        "STUDENT_ID": user,
        "PLATFORM": "Moodle",
        "TIMESTAMP": local.isoformat(),
        "OBJECT_ID": f"{VLE}/course/view.php?id=7",
        "OBJECT_NAME": "Simulated course",
        "TYPE": COURSE,
        "ITEM_SUBTYPE": "",
        "VLE_MOD_ID": "VLESIM1",
        "SESSION_ID": str(session),
        "CLIENT_IP": "192.0.2.10",
    }


def submitted(user: str, session: int, local: datetime | None) -> Row:
    """Return a row of ``assignment_submitted``; without a time it has only the date on which the work is due."""
    when = {} if local is None else {"TIMESTAMP": local.isoformat()}
    return {
        "USERNAME": user,
        "SESSION_ID": str(session),
        "OBJECT_ID": f"{VLE}/mod/assign/view.php?id={session}",
        "DUE_DATE": "2026-12-01T12:00:00.000Z",
        "VLE_MOD_ID": "VLESIM1",
        **when,
    }


def stored(said: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a statement as a store gives it out: with an id, and the dots of its extensions' names escaped."""
    context = {"extensions": {"http://xapi&46;jisc&46;ac&46;uk/sessionId": f"SIM{number}"}}
    return {"id": f"00000000-0000-4000-8000-{number:012x}", **said, "context": context}


def login(user: str, at: float) -> dict[str, Any]:
    """Return the statement that somebody logged in."""
    kind = "http://activitystrea.ms/schema/1.0/application"
    return statement(user, VLE, "https://brindlewaye.com/xAPITerms/verbs/loggedin", VLE, kind, at)


def quiz(user: str, number: int, at: float, verb: str = "completed") -> dict[str, Any]:
    """Return the statement that somebody completed a quiz, or ``answered`` one of its questions."""
    thing = f"{VLE}/mod/quiz/view.php?id={number}"
    return statement(user, VLE, f"http://adlnet.gov/expapi/verbs/{verb}", thing, "http://xapi.jisc.ac.uk/vle/quiz", at)
