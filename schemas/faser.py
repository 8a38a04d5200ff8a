"""The event of a coursework system (online submission and feedback), which has no public format: this is ours."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_Id = Annotated[str, Field(min_length=1, max_length=256)]


class FaserEvent(BaseModel):
    """A person looked at coursework or its feedback, or uploaded some.

    ``id`` is what makes the event one event at its source. ``user`` is who did it, by the system's own key of the
    person; ``on_behalf_of`` is whose coursework it is if not the user's: staff at a student's work. ``work`` is the
    submission, or the assignment while there is none. ``at`` needs a zone (``Z`` or an offset).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Id
    user: _Id
    action: Literal["viewed", "uploaded"]
    work: _Id
    at: AwareDatetime
    on_behalf_of: _Id | None = None
