"""Zoom: who joined a meeting or a webinar, as the bodies of its webhooks say.

Older and newer bodies differ: the meeting's id is a number or a text, the e-mail address may be absent or empty (a
guest's is hidden), ``event_ts`` may be missing. The timetable decides whether a meeting is teaching, and makes a rejoin
the same attendance. No name, topic or telephone number leaves this adapter.
"""

from typing import Any

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.reading import digest, identifier, instant, json_object
from streams.sources.xapi import within

_JOINED = frozenset({"meeting.participant_joined", "webinar.participant_joined"})
_OTHERS = {
    "meeting.participant_left": "somebody left",
    "webinar.participant_left": "somebody left",
    "endpoint.url_validation": "validation of the webhook's address",
}
"""Why other events are not for us, where there is more to say than that they are others."""


def read(raw: bytes) -> Outcome:
    """Read the body of one webhook."""
    body = json_object(raw)
    if isinstance(body, Unusable):
        return body
    event = body.get("event")
    if not isinstance(event, str):
        return Unusable("event: no name")
    if event not in _JOINED:
        return NotForUs(_OTHERS.get(event, "another kind of event"))
    return _joined(body)


def _joined(body: dict[str, Any]) -> Outcome:
    meeting = within(body, "payload", "object")
    number, occurrence = identifier(within(meeting, "id")), identifier(within(meeting, "uuid"))
    if number is None:
        return Unusable("payload.object.id: neither a number nor a text")
    if occurrence is None:
        return Unusable("payload.object.uuid: missing")
    participant = within(meeting, "participant")
    person = _person(participant)
    if person is None:
        return Unusable("payload.object.participant: no email, registrant_id or id of the participant")
    at = instant(within(participant, "join_time"), "payload.object.participant.join_time")
    if isinstance(at, Unusable):
        return at
    # The name of the event is no part of it: who joins a webinar may be told under either name.
    who = _first(participant, "participant_uuid", "user_id", "participant_user_id", "id") or person
    return Seen(person, "zoom", at, digest(occurrence, who, f"{at:.3f}"), venue=f"zoom:{number}")


def _person(participant: Any) -> str | None:
    """Return the e-mail address, or else an id: of the registration, of the account, of this one call."""
    email = within(participant, "email")
    if isinstance(email, str) and email.strip():
        return email.strip().lower()
    if registrant := _first(participant, "registrant_id"):
        return f"registrant:{registrant}"
    if found := _first(participant, "participant_user_id", "id", "user_id"):
        return f"participant:{found}"
    return None


def _first(participant: Any, *names: str) -> str | None:
    return next((found for name in names if (found := identifier(within(participant, name)))), None)
