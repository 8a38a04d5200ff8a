"""A sector hub's exports of what it holds of all systems: rows of its files, and statements of its xAPI profile.

========================  ========================================================  ==============
kind, as its file         statement: verb, and type of the object                   activity
========================  ========================================================  ==============
``attendance``            attended                                                  ``tap_in``
``access``                access; library, facility, learning space                 ``tap_in``
``borrowed``              borrowed                                                  ``library_loan``
``logged_in``             logged in; application                                    ``moodle_login``
``viewed``                viewed; course, module, part of the VLE, external page    ``moodle_course``
``quiz_completed``        completed; quiz                                           ``moodle_course``
``forum_post``            create; forum post                                        ``moodle_course``
``assignment_submitted``  completed, submit; assessment, or Moodle's assignment     ``faser_upload``
reading list, its items   viewed; reading list, item                                ``reading_list``
``video``                 viewed; video                                             ``listen_again``
``answered_questions``    answered                                                  not for us
``assignment_graded``     scored                                                    not for us
========================  ========================================================  ==============

Any other statement is not for us. Attendance, loans, reading lists and videos are read by the adapters of those
sources. Files are told apart by their columns, statements by verb and type: hubs hold categories and ids of courses in
several spellings. No name, title or address leaves this adapter; what makes an event one is a hash.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from schemas.activities import Activity
from streams.sources import NotForUs, Options, Outcome, Seen, Unusable, library, listen_again, reading_lists, tap_ins
from streams.sources.reading import digest, json_object, looks_like_json, moment, row
from streams.sources.xapi import Statement, from_body, once

_FILES: tuple[tuple[str, set[str]], ...] = (
    ("attendance", {"EVENT_ATTENDED"}),
    ("access", {"DIRECTION_OF_ACCESS"}),
    ("borrowed", {"ITEM_ID"}),
    ("reading list", {"ACTIVITY_TYPE"}),
    ("video", {"MINUTES_WATCHED"}),
    ("assignment_graded", {"GRADE"}),
    ("assignment_submitted", {"DUE_DATE"}),
    ("answered_questions", {"INTERACTION_TYPE"}),
    ("quiz_completed", {"SCORE_SCALED"}),
    ("forum_post", {"PARENT_ID"}),
    ("viewed", {"TYPE", "VLE_MOD_ID"}),
    ("logged_in", {"TYPE", "SESSION_ID"}),
)
"""Kinds by columns that no later one has."""

_SYSTEM = re.compile(r"https?://(id\.tincanapi\.com/activitytype/lms|activitystrea\.ms/schema/1\.0/application)/?")
_PART = re.compile(
    r"https?://(adlnet\.gov/expapi/activities/(assessment|course|module)|id\.tincanapi\.com/activitytype/lms/\w+"
    r"|xapi\.jisc\.ac\.uk/(vle/.+|(activities/)?external(Content|URL)))"
)
_VIEWED = re.compile(r"https?://id\.tincanapi\.com/verb/viewed/?")
_COMPLETED = re.compile(r"https?://(adlnet\.gov/expapi/verbs/completed|activitystrea\.ms/schema/1\.0/submit)/?")
_ANY = re.compile(r"(?s).*")
_STATEMENTS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = (
    ("attendance", re.compile(r"https?://adlnet\.gov/expapi/verbs/attended/?"), _ANY),
    (
        "access",
        re.compile(r"https?://activitystrea\.ms/schema/1\.0/access/?"),
        re.compile(r"https?://xapi\.jisc\.ac\.uk/(activities/)?(facility|learning_space|library)/?"),
    ),
    ("borrowed", re.compile(r"https?://activitystrea\.ms/schema/1\.0/borrowed/?"), _ANY),
    ("logged_in", re.compile(r"https?://brindlewaye\.com/xAPITerms/verbs/loggedin/?"), _ANY),
    ("reading list", _VIEWED, reading_lists.LIST),
    ("video", _VIEWED, listen_again.VIDEO),
    ("viewed", _VIEWED, _PART),
    ("quiz_completed", _COMPLETED, re.compile(r"https?://xapi\.jisc\.ac\.uk/vle/quiz/?")),
    ("assignment_submitted", _COMPLETED, re.compile(r"https?://adlnet\.gov/expapi/activities/assessment/?")),
    (
        "forum_post",
        re.compile(r"https?://activitystrea\.ms/schema/1\.0/create/?"),
        re.compile(r"https?://xapi\.jisc\.ac\.uk/(vle/)?forum-post/?"),
    ),
    ("answered_questions", re.compile(r"https?://adlnet\.gov/expapi/verbs/answered/?"), _ANY),
    ("assignment_graded", re.compile(r"https?://adlnet\.gov/expapi/verbs/scored/? ?"), _ANY),
)
"""Kinds by verb and type, the first that fits."""

_OF_OTHERS: dict[str, Callable[[bytes, Options], Outcome]] = {
    "attendance": lambda raw, options: tap_ins.read(raw, options.zone),
    "borrowed": lambda raw, options: library.read(raw, options.zone),
    "reading list": lambda raw, options: reading_lists.read(raw, options.zone),
    "video": lambda raw, options: listen_again.read(raw, options.zone, options.least_watched),
}
_OURS: dict[str, Activity | NotForUs] = {
    "logged_in": "moodle_login",
    "viewed": "moodle_course",
    "quiz_completed": "moodle_course",
    "forum_post": "moodle_course",
    "assignment_submitted": "faser_upload",
    "answered_questions": NotForUs("part of a quiz"),
    "assignment_graded": NotForUs("marked work"),
}
_ELSEWHERE = NotForUs("login to another system")
_DIRECTIONS = (
    "http://xapi.jisc.ac.uk/extensions/direction_of_access",
    "http://xapi.jisc.ac.uk/direction_of_access",
)


def read(raw: bytes, options: Options) -> Outcome:
    """Read one row or statement."""
    return _of_statement(raw, options) if looks_like_json(raw) else _of_row(raw, options)


def _of_row(raw: bytes, options: Options) -> Outcome:
    fields = row(raw)
    if isinstance(fields, Unusable):
        return fields
    fields = _apart(fields)
    kind = next((kind for kind, columns in _FILES if columns <= fields.keys()), None)
    if kind is None:
        return Unusable("header: no file of the hub")
    if kind in _OF_OTHERS:
        return _OF_OTHERS[kind](raw, options)
    if kind == "access":
        return _access_row(fields, options.zone)
    return _vle_row(kind, fields, options.zone)


def _apart(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the columns, those apart whose tabs became blanks, in the header line and in the row alike.

    A name has no blanks, so one with blanks is several; they have values only if the row's field has as many parts.
    """
    found: dict[str, str] = {}
    for name, value in fields.items():
        names, values = name.split(), value.split()
        if len(names) < 2:
            found[name] = value
        elif len(names) == len(values):
            found |= zip(names, values, strict=True)
    return found


def _vle_row(kind: str, fields: Mapping[str, str], zone: ZoneInfo) -> Outcome:
    activity = _OURS[kind]
    if isinstance(activity, NotForUs):
        return activity
    if kind == "assignment_submitted" and "TIMESTAMP" not in fields:
        return Unusable("no time of submission: a due date is none")
    if kind == "logged_in" and not _SYSTEM.fullmatch(fields["TYPE"]):
        return _ELSEWHERE
    who = "STUDENT_ID" if "STUDENT_ID" in fields else "USERNAME"
    for name in (who, "OBJECT_ID", "TIMESTAMP"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    person = fields[who]
    at = moment(fields["TIMESTAMP"], zone, "TIMESTAMP")
    if isinstance(at, Unusable):
        return at
    return Seen(person, activity, at, digest(kind, person, fields["OBJECT_ID"], fields.get("SESSION_ID", ""), at))


def _access_row(fields: Mapping[str, str], zone: ZoneInfo) -> Outcome:
    for name in ("USERNAME", "TIMESTAMP", "SITE"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    # Midnight without a zone is how this file writes a day.
    at = moment(fields["TIMESTAMP"].removesuffix("T00:00:00"), zone, "TIMESTAMP")
    if isinstance(at, Unusable):
        return at
    # ACCESS_ID stays the same from day to day: one event is the content of the row.
    content = (fields.get(name, "") for name in ("TYPE", "ACCESS_ID", "DIRECTION_OF_ACCESS"))
    event = digest("access", fields["USERNAME"], fields["SITE"], at, *content)
    return _entry(fields["USERNAME"], at, event, fields["SITE"], fields["DIRECTION_OF_ACCESS"])


def _access_statement(said: Statement) -> Outcome:
    direction = next((said.extensions[name] for name in _DIRECTIONS if name in said.extensions), None)
    return _entry(said.person, said.at, once(said), said.object_id.rstrip("/").rpartition("/")[2], direction)


def _entry(person: str, at: float, event: str, site: str, direction: Any) -> Outcome:
    """Return a tap at the reader of a building, if it is one on the way in; where no direction is told, it is.

    The timetable knows whether there was teaching.
    """
    word = direction.lower() if isinstance(direction, str) else direction
    if word in ("o", "out"):
        return NotForUs("leaving")
    if word not in (None, "", "i", "in"):
        return Unusable("direction of access: neither in nor out")
    return Seen(person, "tap_in", at, event, venue=f"reader:{site}")


def _of_statement(raw: bytes, options: Options) -> Outcome:
    body = json_object(raw)
    said = body if isinstance(body, Unusable) else from_body(body)
    if isinstance(said, Unusable):
        return said
    kind = _kind(said)
    if kind is None:
        return NotForUs("another statement")
    if kind in _OF_OTHERS:
        return _OF_OTHERS[kind](raw, options)
    return _access_statement(said) if kind == "access" else _vle_statement(kind, said)


def _vle_statement(kind: str, said: Statement) -> Outcome:
    if kind == "logged_in" and not _SYSTEM.fullmatch(said.object_type or ""):
        return _ELSEWHERE
    activity = _OURS[kind]
    return activity if isinstance(activity, NotForUs) else Seen(said.person, activity, said.at, once(said))


def _kind(said: Statement) -> str | None:
    # Moodle's plugin gives its assignments the type of any module.
    if _COMPLETED.fullmatch(said.verb) and "/mod/assign/" in said.object_id:
        return "assignment_submitted"
    thing = said.object_type or ""
    return next((kind for kind, verb, of in _STATEMENTS if verb.fullmatch(said.verb) and of.fullmatch(thing)), None)
