"""Tap-ins, of two shapes: swipes (:class:`schemas.swipe.Swipe`) and rows of a register.

A swipe says that a card was at a reader; the timetable knows what was on there. It may repeat.

A register row says who was at which event: a row of Jisc's ``attendance`` file, or an xAPI statement of the same
recipe. It names its event, so no timetable is needed; its time is the planned start, not that of a tap. There is one
for who was absent, too: that is no activity.
"""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from schemas.reasons import why
from schemas.swipe import Swipe
from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.forms import read_form
from streams.sources.reading import digest, identifier, moment
from streams.sources.xapi import Statement, within

_ATTENDED = "http://adlnet.gov/expapi/verbs/attended"
_EVENT_ID = "http://xapi.jisc.ac.uk/event_id"
_ABSENT = NotForUs("absence")


def read(raw: bytes, zone: ZoneInfo) -> Outcome:
    """Read one swipe or register row; ``zone``: of planned starts without one."""
    return read_form(raw, lambda fields: _register(fields, zone), _statement, lambda _: _swipe(raw))


def _swipe(raw: bytes) -> Outcome:
    try:
        swipe = Swipe.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    at = swipe.at.timestamp()
    event = digest("swipe", swipe.card, swipe.reader, at // 1)
    return Seen(swipe.card, "tap_in", at, event, venue=f"reader:{swipe.reader}", taken_back=swipe.taken_back)


def _register(fields: Mapping[str, str], zone: ZoneInfo) -> Outcome:
    for name in ("STUDENT_ID", "EVENT_ID", "START_TIME", "EVENT_ATTENDED"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    at = moment(fields["START_TIME"], zone, "START_TIME")
    if isinstance(at, Unusable):
        return at
    if fields["EVENT_ATTENDED"] not in {"0", "1"}:
        return Unusable("EVENT_ATTENDED: neither 0 nor 1")
    if fields["EVENT_ATTENDED"] == "0":
        return _ABSENT
    return _attendance(fields["STUDENT_ID"], fields["EVENT_ID"], at)


def _statement(found: Statement) -> Outcome:
    if found.verb != _ATTENDED:
        return NotForUs("another statement than of an attendance")
    attended = within(found.body, "result", "completion")
    if not isinstance(attended, bool):
        return Unusable("result.completion: neither true nor false")
    event = identifier(found.extensions.get(_EVENT_ID)) or found.object_id
    return _attendance(found.person, event, found.at) if attended else _ABSENT


def _attendance(student: str, event: str, at: float) -> Outcome:
    return Seen(student, "tap_in", at, digest("register", student, event), attended=event)
