"""The generic source: our own event (:class:`schemas.source.SourceEvent`), for a system that has no adapter."""

from pydantic import ValidationError

from schemas.source import SourceEvent
from streams.sources import NotForUs, Seen, Unusable


def read(raw: bytes) -> Seen | NotForUs | Unusable:
    """Read one event."""
    try:
        event = SourceEvent.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    return Seen(event.student, event.activity, event.at.timestamp(), event.id, event.count)


def why(error: ValidationError) -> str:
    """Say what is wrong with a record: the place and the reason, without its values."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
