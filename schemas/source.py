"""The generic event of a source topic: what ``leap replay`` sends and what a source owner without an adapter can send.

Each source system's own format has an adapter in :mod:`streams.intake`; this is the format of ours.
"""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.activities import Activity
from schemas.students import StudentId


class _Event(BaseModel):
    """One activity.

    ``at`` needs a zone (``Z`` or an offset); ``id`` is what makes the event one event at its source. ``taken_back``:
    it was not so; send the event as it was, with this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    activity: Activity
    at: AwareDatetime
    count: Annotated[int, Field(ge=1, le=65535, strict=True)] = 1
    id: Annotated[str, Field(min_length=1, max_length=256)]
    taken_back: Annotated[bool, Field(strict=True)] = False


class SourceEvent(_Event):
    """One activity of a student.

    ``at`` needs a zone (``Z`` or an offset); ``id`` is what makes the event one event at its source. ``taken_back``:
    it was not so; send the event as it was, with this.
    """

    student: StudentId


class PersonEvent(_Event):
    """One activity of a person whom the source knows by a key of its own: ``person`` (a card, an account, an address).

    Otherwise as :class:`SourceEvent`. Which student that is says ``leap.identities``.
    """

    person: Annotated[str, Field(min_length=1, max_length=256)]
