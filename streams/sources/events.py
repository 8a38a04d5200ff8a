"""The generic source: our own event (:class:`schemas.source.SourceEvent`), for a system that has no adapter."""

from pydantic import ValidationError

from schemas.reasons import why
from schemas.source import SourceEvent
from streams.sources import Outcome, Seen, Unusable


def read(raw: bytes) -> Outcome:
    """Read one event."""
    try:
        event = SourceEvent.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    return Seen(event.student, event.activity, event.at.timestamp(), event.id, event.count, taken_back=event.taken_back)
