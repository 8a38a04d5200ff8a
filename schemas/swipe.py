"""The swipe: what a card reader's system sends to the source topic ``tap-ins``, if it has no format of its own."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]


class Swipe(BaseModel):
    """A card at a reader.

    ``card`` is the number as the identities have it: a text, since zeros in front count. ``reader`` is the reader's
    name in the timetable. ``at`` needs a zone (``Z`` or an offset) and is the time of the swipe, not of its sending;
    the same card at the same reader in the same second is the same swipe. ``id`` is for whoever looks for the swipe at
    its source; nothing rests on it. ``taken_back``: it was no swipe of this person (a lent card, a test); send it as it
    was, with this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    card: _Name
    reader: _Name
    at: Annotated[AwareDatetime, Field(strict=True)]
    id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    taken_back: Annotated[bool, Field(strict=True)] = False
