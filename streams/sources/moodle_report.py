r"""Moodle's report of its log, as people export it to CSV: in English, its times local and in the form of the site.

The report leaves anonymous acts out. Its person is a full name, which is no key: who it was stands in the description,
as the user id.
"""

import re
from collections.abc import Mapping

from streams.sources import NotForUs, Options, Unusable
from streams.sources.moodle_acts import (
    ANOTHER,
    COURSE_VIEWED,
    GUEST,
    LOGGED_IN,
    NOBODY,
    SOMEBODY_ELSE,
    Act,
    Said,
    composed,
    is_mobile,
)
from streams.sources.reading import local, row

_NAMES = {
    "User has logged in": LOGGED_IN,
    "Course viewed": COURSE_VIEWED,
    "Course module viewed": r"\core\event\course_module_viewed",
    "Chapter viewed": r"\mod_book\event\chapter_viewed",
    "Content page viewed": r"\mod_lesson\event\content_page_viewed",
    "Discussion viewed": r"\mod_forum\event\discussion_viewed",
    "Quiz attempt viewed": r"\mod_quiz\event\attempt_viewed",
    "Wiki page viewed": r"\mod_wiki\event\page_viewed",
}
_USER = re.compile(r"The user with (?:the )?id '?([0-9]{1,18})(?![0-9])")
_COURSE = re.compile(r"course with (?:the )?id '?([0-9]{1,18})(?![0-9])")


def from_report(raw: bytes, options: Options) -> Said:
    """Read the header line and one row."""
    columns = row(raw, ",")
    if isinstance(columns, Unusable):
        return columns
    for column in ("Time", "Event name", "Description"):
        if column not in columns:
            return Unusable(f"row: no column {column}")
    mobile = is_mobile(columns.get("Origin"))
    if isinstance(mobile, NotForUs):
        return mobile
    name = _event_name(columns, mobile=mobile)
    if name is None:
        return ANOTHER
    # The English of "<who> as <whom>"; there is no other sign of it.
    if " as " in columns.get("User full name", ""):
        return SOMEBODY_ELSE
    return _act(columns, name, options, mobile=mobile)


def _event_name(columns: Mapping[str, str], *, mobile: bool) -> str | None:
    """Return Moodle's name of an event; the words of the report for one that counts only as use of the app."""
    words = columns["Event name"]
    if words in _NAMES or not mobile:
        return _NAMES.get(words)
    return None if words.startswith("Web service ") or columns.get("Component") == "Assignment" else words


def _act(columns: Mapping[str, str], name: str, options: Options, *, mobile: bool) -> Said:
    description = columns["Description"]
    found = _USER.match(description)
    if found is None:
        return Unusable("Description: does not begin with a user id")
    user = found[1]
    if int(user) <= GUEST:
        return NOBODY
    at = local(columns["Time"], options.moodle_dates, options.zone, "Time")
    if isinstance(at, Unusable):
        return at
    course = _COURSE.search(description)
    return Act(user, name, at, composed(user, name, description, at), int(course[1]) if course else None, mobile)
