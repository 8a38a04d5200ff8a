"""Reading lists: views of lists and of their items, as rows of Talis and as xAPI statements.

What somebody reads is their own business: no title and no address of an item leaves this adapter.
"""

import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.forms import read_form
from streams.sources.reading import digest, identifier, moment
from streams.sources.xapi import Statement, once

_VIEWED = "http://id.tincanapi.com/verb/viewed"
LIST = re.compile(r"https?://(xapi\.)?jisc\.ac\.uk/(activities/)?reading-list(-item)?/?")
"""The types of a statement's object that are a list or an item. Their documentation contradicts itself: it writes them
with and without ``activities``, with and without ``xapi``."""

_SESSION = "http://xapi.jisc.ac.uk/sessionId"
_VIEWS = frozenset({"list.view", "list.item.view"})
_STUDENTS = frozenset({"undergraduate", "postgraduate", "student"})
_STAFF = frozenset(
    {"academic", "administrator", "lecturer", "librarian", "professor", "staff", "teacher", "technologist", "tutor"}
)
"""Words of roles; people choose their role themselves."""


def read(raw: bytes, zone: ZoneInfo) -> Outcome:
    """Read one row or statement; ``zone``: of times without one."""
    return read_form(raw, lambda fields: _view(fields, zone), _statement)


def _view(fields: Mapping[str, str], zone: ZoneInfo) -> Outcome:
    for name in ("USERNAME", "OBJECT_ID", "TIMESTAMP", "ACTIVITY_TYPE"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    person, kind = fields["USERNAME"], fields["ACTIVITY_TYPE"]
    if kind not in _VIEWS:
        return NotForUs("another activity than a view")
    if _is_staff(fields.get("JOB_ROLE", "")):
        return NotForUs("staff")
    at = moment(fields["TIMESTAMP"], zone, "TIMESTAMP")
    if isinstance(at, Unusable):
        return at
    # A time is a minute: the session tells two views in it apart, and of two items of one list their addresses do.
    what = (fields["OBJECT_ID"], fields.get("ITEM_URL", ""))
    return Seen(person, "reading_list", at, digest(kind, fields.get("SESSION_ID", ""), person, *what, at))


def _is_staff(role: str) -> bool:
    """Whether a role is one of staff.

    An empty or unknown one is not: a student's view that is missed could raise an alert, a view of staff is no
    student's, which their identity shows.
    """
    words = set(role.lower().split())
    return not words.isdisjoint(_STAFF) and words.isdisjoint(_STUDENTS)


def _statement(found: Statement) -> Outcome:
    if found.verb != _VIEWED or not LIST.fullmatch(found.object_type or ""):
        return NotForUs("another statement than of a reading list")
    return Seen(found.person, "reading_list", found.at, once(found, identifier(found.extensions.get(_SESSION))))
