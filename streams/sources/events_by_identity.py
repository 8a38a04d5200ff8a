"""The generic source for a system that knows only its own key of a person: :class:`schemas.source.PersonEvent`."""

from pydantic import ValidationError

from schemas.reasons import why
from schemas.source import PersonEvent
from streams.sources import Outcome, Seen, Unusable


def read(raw: bytes) -> Outcome:
    """Read one event."""
    try:
        event = PersonEvent.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    return Seen(event.person, event.activity, event.at.timestamp(), event.id, event.count, taken_back=event.taken_back)
