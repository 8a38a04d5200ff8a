"""xAPI statements (IEEE 9274.1.1 and xAPI 1.0.3), as far as adapters need them: who, what, when.

Written tolerantly, because what plugins and hubs send is: keys whose dots were escaped as ``&46;`` in storage, an
actor's account, mailbox or its hash, extensions in the activity or in the context.
"""

from typing import Any, NamedTuple

from streams.sources import Unusable
from streams.sources.reading import digest, instant


class Statement(NamedTuple):
    """What a statement says. ``extensions``: those of object, result and context in one, keys as before storage."""

    id: str | None
    person: str
    verb: str
    object_id: str
    object_type: str | None
    at: float
    extensions: dict[str, Any]
    body: dict[str, Any]


def from_body(body: dict[str, Any]) -> Statement | Unusable:
    """Read one statement from the JSON object that it is."""
    try:
        body = _unescaped(body)
    except RecursionError:  # the decoder goes deeper than we can
        return Unusable("not a record: nested too deeply")
    person = agent(body.get("actor"))
    if person is None:
        return Unusable("actor: no account, mbox, mbox_sha1sum or openid")
    verb, thing = within(body, "verb", "id"), body.get("object")
    if not isinstance(verb, str):
        return Unusable("verb: no id")
    if not isinstance(thing, dict) or not isinstance(thing.get("id"), str):
        return Unusable("object: no id")
    at = instant(body.get("timestamp", body.get("stored")), "timestamp")
    if isinstance(at, Unusable):
        return at
    identifier, kind = body.get("id"), within(thing, "definition", "type")
    return Statement(
        identifier if isinstance(identifier, str) else None,
        person,
        verb,
        thing["id"],
        kind if isinstance(kind, str) else None,
        at,
        _extensions(body),
        body,
    )


def once(said: Statement, *further: object) -> str:
    """Return what makes a statement one event: a hash of who, what and when, and of further parts.

    Not its id: plugins send none, and a store gives another one to a statement that is sent again. The id only if there
    is no time but that of storage.
    """
    if "timestamp" not in said.body and said.id:
        return digest(said.id)
    return digest(said.person, said.verb, said.object_id, said.object_type, said.at, *further)


def _unescaped(value: Any) -> Any:
    """Return a value with dots in its keys where storage had escaped them."""
    if isinstance(value, dict):
        return {key.replace("&46;", "."): _unescaped(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_unescaped(held) for held in value]
    return value


def agent(actor: Any) -> str | None:
    """Return the key of an actor, or of another agent that a statement names; None if it has none."""
    if not isinstance(actor, dict):
        return None
    for found in (within(actor, "account", "name"), actor.get("mbox"), actor.get("mbox_sha1sum"), actor.get("openid")):
        if isinstance(found, str) and found:
            return found.removeprefix("mailto:")
    return None


def within(value: Any, *names: str) -> Any:
    """Return what is at the end of a path of names; None if it leads nowhere (``[]`` may stand for an empty object)."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _extensions(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in (("object", "definition"), ("result",), ("context",)):
        held = within(body, *place, "extensions")
        if isinstance(held, dict):
            found |= held
    return found
