r"""What Moodle says of one act, whichever way it tells it: a row of its log, an xAPI statement, a Caliper event.

Each comes to an :class:`Act` under Moodle's own name of the event (``\core\event\user_loggedin``): verbs differ from
plugin to plugin and from version to version, the name does not. A record that does not carry the name gets that of the
same event.

What is nobody's own act is told here, for all adapters alike: what cron or a restored backup wrote, guests, staff who
logged in as a student, anonymous acts.
"""

import re
from typing import Annotated, Any, NamedTuple

import msgspec

from schemas.reasons import why
from streams.sources import NotForUs, Unusable, caliper, xapi

LOGGED_IN = r"\core\event\user_loggedin"
COURSE_VIEWED = r"\core\event\course_viewed"
SUBMITTED = r"\mod_assign\event\assessable_submitted"

ANOTHER = NotForUs("another event")
NOBODY = NotForUs("guest or nobody")
SOMEBODY_ELSE = NotForUs("logged in as somebody else")
_ANONYMOUS = NotForUs("anonymous")
_NO_PERSON = NotForUs("not done by a person")

GUEST = 1
"""The user id of all who are not logged in; 0 is the system."""


class Act(NamedTuple):
    """Who did what and when.

    ``user``: Moodle's user id as text, or what a plugin sends in place of it. ``name``: Moodle's name of the event.
    ``event``: what makes it one event. ``course``: its id; 1 is the site's front page, 0 none, None if the record does
    not tell. ``mobile``: came by the web services, as the app does. ``owner``: whose work it is about.
    """

    user: str
    name: str
    at: float
    event: str
    course: int | None = None
    mobile: bool = False
    owner: str | None = None


Said = Act | NotForUs | Unusable


def from_json(body: dict[str, Any]) -> Said:
    """Read a row of the standard log or an xAPI statement, told apart by what only one of them has."""
    if "eventname" in body:
        return _from_log(body)
    if "verb" in body:
        return _from_statement(body)
    return Unusable("neither a log row nor a statement or an event")


class _LogRow(msgspec.Struct):
    """Columns of ``mdl_logstore_standard_log`` that we need. Numbers may be text, as some databases export them."""

    eventname: str
    userid: int
    courseid: int | None
    timecreated: Annotated[int, msgspec.Meta(ge=0, le=10**11)]
    id: int | None = None
    contextinstanceid: int | None = None
    objectid: int | None = None
    relateduserid: int | None = None
    anonymous: int | None = None
    origin: str | None = None
    realuserid: int | None = None


def _from_log(body: dict[str, Any]) -> Said:
    if "" in body.values():
        body = {name: None if held == "" else held for name, held in body.items()}
    try:
        row = msgspec.convert(body, _LogRow, strict=False)
    except msgspec.ValidationError as error:
        return Unusable(why(error))
    mobile = is_mobile(row.origin)
    if isinstance(mobile, NotForUs):
        return mobile
    if row.realuserid:
        return SOMEBODY_ELSE
    if row.anonymous:
        return _ANONYMOUS
    if row.userid <= GUEST:
        return NOBODY
    user, at, owner = str(row.userid), float(row.timecreated), row.relateduserid
    thing = f"{row.contextinstanceid}/{row.objectid}"
    event = f"log:{row.id}" if row.id else composed(user, row.eventname, thing, at)
    return Act(user, row.eventname, at, event, row.courseid or 0, mobile, str(owner) if owner else None)


def is_mobile(origin: str | None) -> bool | NotForUs:
    """Return whether an act came by the web services; ``cli``, ``cron`` and ``restore`` are no person's."""
    return origin == "ws" if origin in {None, "", "web", "ws"} else _NO_PERSON


def composed(user: str, name: str, thing: str, at: float) -> str:
    """Return what makes an act one event where nothing that stays the same when it is sent again says so."""
    return f"act:{msgspec.json.encode([user, name, thing, at]).decode()}"


_INFO = "http://lrs.learninglocker.net/define/extensions/info"
_FOR = "https://yetanalytics.com/profiles/prepositions/concepts/context-extensions/for"
_LOGIN_VERBS = {"brindlewaye.com/xAPITerms/verbs/loggedin", "xapi.edlm/profiles/edlm-lms/concepts/verbs/login"}
_SITES = {"http://id.tincanapi.com/activitytype/lms", "http://activitystrea.ms/schema/1.0/application"}
_VIEW_VERB = "id.tincanapi.com/verb/viewed"
_COURSE_PARTS = re.compile(
    r"http://adlnet\.gov/expapi/activities/(course|module)|http://id\.tincanapi\.com/activitytype/lms/(course|module)"
    r"|http://xapi\.jisc\.ac\.uk/vle/.+"
)
_SUBMIT_VERBS = {"activitystrea.ms/schema/1.0/submit", "adlnet.gov/expapi/verbs/completed"}
_COURSE_PAGE = re.compile(r"/course/view\.php\?id=([0-9]{1,18})")


def _from_statement(body: dict[str, Any]) -> Said:
    """Read a statement of Moodle's xAPI plugins.

    They give it no id: who stores it does, and another one when it is sent again. So it is one event by who, what and
    when, unless it does not say when.
    """
    said = xapi.from_body(body)
    if isinstance(said, Unusable):
        return said
    info = said.extensions.get(_INFO)
    name = info.get("event_name") if isinstance(info, dict) else None
    if not isinstance(name, str):
        name = _named_by_verb(said)
    if name is None:
        return ANOTHER
    if said.person in {"0", "1", "guest"}:
        return NOBODY
    tells_no_time = "timestamp" not in said.body and said.id
    event = f"statement:{said.id}" if tells_no_time else composed(said.person, name, said.object_id, said.at)
    return Act(said.person, name, said.at, event, _course(said), owner=xapi.agent(said.extensions.get(_FOR)))


def _named_by_verb(said: xapi.Statement) -> str | None:
    verb, kind = said.verb.partition("://")[2].rstrip("/"), said.object_type or ""
    if verb in _LOGIN_VERBS and kind in _SITES:
        return LOGGED_IN
    if verb == _VIEW_VERB and _COURSE_PARTS.fullmatch(kind):
        return COURSE_VIEWED
    if verb in _SUBMIT_VERBS and "/mod/assign/" in said.object_id:
        return SUBMITTED
    return None


def _course(said: xapi.Statement) -> int | None:
    """Return the course that a statement is about or that its context names."""
    places: list[Any] = [said.object_id]
    for relation in ("parent", "grouping"):
        held = xapi.within(said.body, "context", "contextActivities", relation)
        places += [xapi.within(activity, "id") for activity in (held if isinstance(held, list) else [held])]
    found = [_COURSE_PAGE.search(place) for place in places if isinstance(place, str)]
    return max((int(page[1]) for page in found if page), default=None)


_CALIPER = {
    ("SessionEvent", "LoggedIn"): LOGGED_IN,
    ("NavigationEvent", "NavigatedTo"): COURSE_VIEWED,
    ("ViewEvent", "Viewed"): COURSE_VIEWED,
}
_CALIPER_USER = re.compile(r".*/user/([0-9]{1,18})")
_CALIPER_COURSE = re.compile(r".*/course/([0-9]{1,18})")


def from_caliper(body: dict[str, Any]) -> Said:
    """Read a Caliper event.

    Moodle's sensors name a user ``<site>/user/<id>``; the key of any other is the whole IRI.
    """
    event = caliper.from_body(body)
    if isinstance(event, Unusable):
        return event
    name = _CALIPER.get((event.type, event.action))
    if name is None:
        return ANOTHER
    if event.actor == caliper.ANONYMOUS:
        return _ANONYMOUS
    if event.actor_type not in {None, "Person"}:
        return _NO_PERSON
    known = _CALIPER_USER.fullmatch(event.actor)
    user = known[1] if known else event.actor
    if known and int(user) <= GUEST:
        return NOBODY
    courses = [_CALIPER_COURSE.fullmatch(place) for place in (event.object, event.group or "")]
    course = max((int(page[1]) for page in courses if page), default=None)
    once = f"caliper:{event.id}" if event.id else composed(user, name, event.object, event.at)
    return Act(user, name, event.at, once, course)
