"""Caliper events (1EdTech Caliper 1.1 and 1.2), as far as adapters need them: who, what, when.

One event, not the envelope that it was sent in. Entities may be objects, or thinned to the IRI that is their id.
"""

from typing import Any, NamedTuple

from streams.sources import Unusable
from streams.sources.reading import instant, json_object

ANONYMOUS = "http://purl.imsglobal.org/caliper/Person"
"""The one id of all whom a sender does not name: kept, it would be one student who is everybody."""


class Event(NamedTuple):
    """What an event says. ``actor_type`` is None if the actor is thinned; ``group`` is most often a course."""

    id: str | None
    type: str
    action: str
    actor: str
    actor_type: str | None
    object: str
    group: str | None
    at: float


def event(raw: bytes) -> Event | Unusable:
    """Read one event."""
    body = json_object(raw)
    return body if isinstance(body, Unusable) else from_body(body)


def from_body(body: dict[str, Any]) -> Event | Unusable:
    """Read one event from the JSON object that it is."""
    kind, action = body.get("type"), body.get("action")
    if not isinstance(kind, str):
        return Unusable("type: no event type of Caliper 1.1 or 1.2")
    if not isinstance(action, str):
        return Unusable("action: no text")
    actor, thing = entity(body.get("actor")), entity(body.get("object"))
    if actor is None:
        return Unusable("actor: no id")
    if thing is None:
        return Unusable("object: no id")
    at = instant(body.get("eventTime"), "eventTime")
    if isinstance(at, Unusable):
        return at
    identifier, whole = body.get("id"), body.get("actor")
    actor_type = whole.get("type") if isinstance(whole, dict) else None
    return Event(
        identifier if isinstance(identifier, str) and identifier else None,
        kind,
        action,
        actor,
        actor_type if isinstance(actor_type, str) else None,
        thing,
        entity(body.get("group")),
        at,
    )


def entity(value: Any) -> str | None:
    """Return the id of an entity, which may be all that there is of it."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None
