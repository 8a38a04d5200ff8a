"""Card readers, and the register that a lecturer keeps."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import Row, statement


def swipe(number: int, card: str, reader: str, local: datetime) -> dict[str, Any]:
    """Return a swipe: a card at a reader."""
    return {"card": card, "reader": reader, "at": local.isoformat(), "id": f"sim-{number}"}


def register_row(student: str, event: str, start: datetime, attended: str) -> Row:
    """Return a row of Jisc's ``attendance``: there is one for who was absent (``attended`` 0), too."""
    return {
        "STUDENT_ID": student,
        "EVENT_ID": event,
        "EVENT_NAME": "A simulated seminar",
        "EVENT_TYPE": "SEMINAR",
        "EVENT_MANDATORY": "0",
        "START_TIME": f"{start:%Y-%m-%dT%H:%M:%S}",
        "EVENT_ATTENDED": attended,
        "ATTENDANCE_LATE": "0",
        "STAFF_ID": "STAFFSIM1",
    }


def register_statement(student: str, event: str, at: float, *, attended: bool) -> dict[str, Any]:
    """Return the same as an xAPI statement."""
    site = f"https://sits.{SITE}"
    said = statement(
        student,
        site,
        "http://adlnet.gov/expapi/verbs/attended",
        f"{site}/event/{event}",
        "http://xapi.jisc.ac.uk/event_timetabled",
        at,
        result={"completion": attended},
    )
    said["object"]["definition"]["extensions"] = {"http://xapi.jisc.ac.uk/event_id": event}
    return said
