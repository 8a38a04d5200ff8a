"""The timetable: events as they come in on ``leap.timetable`` (compacted, keyed by event; no value: cancelled)."""

from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from schemas.reasons import why

EventId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
Venue = Annotated[str, Field(min_length=1, max_length=192, pattern=r"^(reader|zoom):[^\x00-\x1f]+$")]
"""``reader:`` and the card reader's name, or ``zoom:`` and the meeting's id."""


class TimetabledEvent(BaseModel):
    """One teaching event. The key of the Kafka record is its id and must equal ``event``.

    ``venues``: the readers of its rooms and its meetings. No title and no names: nobody downstream needs them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: EventId
    start: AwareDatetime
    end: AwareDatetime
    venues: Annotated[tuple[Venue, ...], Field(max_length=32)] = ()
    mandatory: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            msg = f"the event ends ({self.end}) before it begins ({self.start})"
            raise ValueError(msg)
        return self


LARGEST_EVENT_BYTES = 16 * 1024

_EVENT_ID = TypeAdapter(EventId)


class TimetableError(ValueError):
    """A timetable record cannot be used; the message says why, without quoting it."""


def read_event(key: bytes | None, value: bytes | None) -> TimetabledEvent | None:
    """Return what a timetable record says: an event, or None for a cancelled one (no value).

    Raises:
        TimetableError: the key is no event's id, or the record breaks a rule or is another event's.
    """
    if key is None:
        raise TimetableError("key: missing; the key of a timetable record is the event")
    try:
        event_id = _EVENT_ID.validate_python(key.decode())
    except UnicodeDecodeError:
        raise TimetableError("key: not UTF-8; the key of a timetable record is the event") from None
    except ValidationError as error:
        raise TimetableError(f"key: {why(error)}") from None
    if value is None:
        return None
    if len(value) > LARGEST_EVENT_BYTES:
        raise TimetableError(f"value of {len(value)} bytes: at most {LARGEST_EVENT_BYTES}")
    try:
        event = TimetabledEvent.model_validate_json(value)
    except ValidationError as error:
        raise TimetableError(why(error)) from None
    if event.event != event_id:
        raise TimetableError("event: is not the record's key")
    return event


def refusal(key: bytes | None, value: bytes | None) -> str | None:
    """Return why a timetable record cannot be used; None if it can."""
    try:
        read_event(key, value)
    except TimetableError as error:
        return str(error)
    return None
