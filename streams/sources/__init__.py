"""The source systems: one adapter a system, one file an adapter.

An adapter turns a raw record into what it means. It is called by intake, one record after the other; it must not block,
keeps nothing between records, and may raise nothing: what it cannot use it says.
"""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.activities import Activity


@dataclass(frozen=True, slots=True)
class Seen:
    """An activity as its source tells it.

    ``at``: seconds since 1970, UTC. ``event``: what makes it one event at its source.
    """

    student: str
    activity: Activity
    at: float
    event: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class NotForUs:
    """A proper record that is no activity of a student; the reason is counted, the record is not kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record that cannot be used. The reason names the place in the record and never quotes a value."""

    reason: str


Adapter = Callable[[bytes], Seen | NotForUs | Unusable]
