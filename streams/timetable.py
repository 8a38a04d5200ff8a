"""Which teaching event was on where somebody tapped in or joined."""

from bisect import bisect_right, insort
from typing import NamedTuple

from schemas.timetable import TimetabledEvent

EARLY = 15 * 60.0
"""Seconds before its start from which a tap or a join is attendance of an event."""
_LONGEST = 24 * 3600.0
"""Seconds of an event at most: a longer one is no teaching event, and every look-up would search that far back."""


class Held(NamedTuple):
    """An event at one venue, by its start; seconds since 1970."""

    start: float
    end: float
    event: str


class Timetable:
    """All events by venue and start. One process's view; not for several threads."""

    def __init__(self) -> None:
        """Begin without any event."""
        self._at: dict[str, list[Held]] = {}
        self._events: dict[str, TimetabledEvent] = {}

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self._events)

    def put(self, event_id: str, event: TimetabledEvent | None) -> None:
        """Take an event over in place of what was known of it; None: it is cancelled."""
        before = self._events.pop(event_id, None)
        if before is not None:
            held = _held(before)
            for venue in before.venues:
                self._at[venue].remove(held)
                if not self._at[venue]:
                    del self._at[venue]
        if event is not None:
            self._events[event_id] = event
            held = _held(event)
            # A venue may stand twice in a record; it is removed as often as it was put here.
            for venue in event.venues:
                insort(self._at.setdefault(venue, []), held)

    def knows(self, venue: str) -> bool:
        """Whether anything is timetabled at a venue at all."""
        return venue in self._at

    def at(self, venue: str, when: float) -> Held | None:
        """Return the event that was on, or about to begin: of several the one that began last."""
        held = self._at.get(venue, ())
        i = bisect_right(held, (when + EARLY, float("inf"), ""))
        while i:
            i -= 1
            if held[i].end >= when:
                return held[i]
            if held[i].start < when - _LONGEST:
                break
        return None


def _held(event: TimetabledEvent) -> Held:
    start = event.start.timestamp()
    return Held(start, min(event.end.timestamp(), start + _LONGEST), event.event)
