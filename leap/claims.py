"""What has to be written to ``leap.identities`` so that it says what a directory's file says."""

from typing import NamedTuple

from leap.identity_file import Line
from schemas.identities import VERSION, Claim, Terms, encode
from streams.identities import REFUSED, Hashing, days_of, hold
from streams.identity_table import IdentityTable
from streams.producer import Message
from streams.settings import Settings

NO_CLAIM = "no such claim: source, key, student and from must be those it was made with"

_YOUNGEST = 1 << 32


class Change(NamedTuple):
    """What a line leads to: claims to write, and then claims to withdraw. Neither: it stands already."""

    write: list[Message]
    withdraw: list[Message]


class Claims:
    """The claims that stand, as a table; it takes up what it tells to write, so that later lines see earlier ones."""

    def __init__(self, settings: Settings, now: float) -> None:
        """Begin without claims; ``now`` (seconds since 1970) is when new ones are made."""
        self._hashing = Hashing(settings)
        self._now = int(now)
        self.table = IdentityTable()

    def load(self, line: Line) -> Change | str:
        """Return what makes a line stand, or why it may not.

        A claim that stands keeps its age. On days that it does not have yet there may be no claim of somebody else.
        """
        today, *others = self._claims(line)
        student, (first, last) = line.student.encode(), days_of(line.first, line.last)
        standing = [(claim, self.table.get(claim.hash, student, first)) for claim in (today, *others)]
        held = next((held for _, held in standing if held is not None), None)
        added = first if held is None else held.last + 1
        if added <= last and any(
            self.table.rival(claim.hash, student, added, last, _YOUNGEST) for claim in (today, *others)
        ):
            return REFUSED
        change = Change([], [])
        if standing[0][1] is None or standing[0][1].last != last:
            terms = Terms(VERSION, self._now if held is None else held.claimed, line.last)
            change.write.append((today.key(), encode(terms), []))
            hold(self.table, today, terms)
        for claim, old in standing[1:]:
            if old is not None:
                self._withdraw(claim, change)
        return change

    def withdraw(self, line: Line) -> Change | str:
        """Return what takes a line's claim away, or that there is none."""
        change = Change([], [])
        student, (first, _) = line.student.encode(), days_of(line.first, line.last)
        for claim in self._claims(line):
            if self.table.get(claim.hash, student, first) is not None:
                self._withdraw(claim, change)
        return change if change.withdraw else NO_CLAIM

    def _claims(self, line: Line) -> list[Claim]:
        """Return a line's claim under today's key, and under the one before it, if there is one."""
        return [
            Claim(line.source, digest, line.first, line.student) for digest in self._hashing.of(line.source, line.key)
        ]

    def _withdraw(self, claim: Claim, change: Change) -> None:
        change.withdraw.append((claim.key(), None, []))
        hold(self.table, claim, None)
