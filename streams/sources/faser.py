r"""The coursework system (submission and feedback) as a source: our own event, or Moodle's assignments in its place.

Only what a person does to coursework of their own counts: staff read and mark the same work.
"""

from pydantic import ValidationError

from schemas.activities import Activity
from schemas.faser import FaserEvent
from schemas.reasons import why
from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.moodle_acts import ANOTHER, SUBMITTED, Act, from_json
from streams.sources.reading import json_object

_MOODLE: dict[str, Activity] = {
    r"\mod_assign\event\submission_status_viewed": "faser_view",
    r"\mod_assign\event\submission_viewed": "faser_view",
    r"\mod_assign\event\feedback_viewed": "faser_view",
    SUBMITTED: "faser_upload",
}
"""One event an act: an upload is also logged as a file, as a submission made or changed, and as a status."""

_OURS: dict[str, Activity] = {"viewed": "faser_view", "uploaded": "faser_upload"}
_STAFF = NotForUs("work of somebody else")


def read(raw: bytes) -> Outcome:
    """Read one event of ours, one row of Moodle's standard log, or one of its xAPI statements."""
    body = json_object(raw)
    if isinstance(body, Unusable):
        return body
    return _moodle(from_json(body)) if "eventname" in body or "verb" in body else _ours(raw)


def _ours(raw: bytes) -> Outcome:
    try:
        event = FaserEvent.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    if event.on_behalf_of not in {None, event.user}:
        return _STAFF
    return Seen(event.user, _OURS[event.action], event.at.timestamp(), f"event:{event.id}")


def _moodle(act: Act | NotForUs | Unusable) -> Outcome:
    if not isinstance(act, Act):
        return act
    activity = _MOODLE.get(act.name)
    if activity is None:
        return ANOTHER
    if act.owner not in {None, act.user}:
        return _STAFF
    return Seen(act.user, activity, act.at, act.event)
