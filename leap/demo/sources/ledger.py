"""The ledger: what became of every record, by source; two of them side by side; and where they differ."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

Fate = Literal["counted", "repeated", "ignored", "late", "unmatched", "dead_letters"]
"""What becomes of a record, in the end:

- ``counted``: an activity of an open day.
- ``repeated``: in the student log, but the same as one that was there: the source's event once more, or one more
  evidence of an attendance.
- ``ignored``: a proper record that is not for us.
- ``late``: an activity of a day that was closed, or before the day on which counting began: it counts on its day.
- ``unmatched``: it waits, because nobody knows whose it is.
- ``dead_letters``: it cannot be used.
"""
FATES: tuple[Fate, ...] = get_args(Fate)
COLUMNS = ("sent", *FATES)
"""``sent``: records on the source's topic; each has one of the fates."""


class Ledger:
    """How many records of each source had which fate, and how many there are."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sent: Counter[str] = Counter()
        self._fates: defaultdict[str, Counter[Fate]] = defaultdict(Counter)

    def add(self, source: str, fate: Fate, number: int = 1) -> None:
        """Note what became of records."""
        self._fates[source][fate] += number

    @property
    def sources(self) -> list[str]:
        """The sources of which anything is known."""
        return sorted(self.sent.keys() | self._fates.keys())

    def line(self, source: str) -> dict[str, int]:
        """Return the figures of a source, by column."""
        return {"sent": self.sent[source], **{fate: self._fates[source][fate] for fate in FATES}}

    def total(self) -> dict[str, int]:
        """Return the figures of all sources together."""
        lines = [self.line(source) for source in self.sources]
        return {column: sum(line[column] for line in lines) for column in COLUMNS}

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return the figures by source."""
        return {source: self.line(source) for source in self.sources}


class Difference(NamedTuple):
    """A figure that is not what was planted. ``source``: a source, or another place that was looked at."""

    source: str
    column: str
    expected: int
    measured: int

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.source}: {self.column}: expected {self.expected:,}, measured {self.measured:,}"


def differences(expected: Ledger, measured: Ledger) -> list[Difference]:
    """Return every figure in which two ledgers differ, and every source whose fates are not as many as its records."""
    found = []
    for source in sorted({*expected.sources, *measured.sources}):
        should, have = expected.line(source), measured.line(source)
        found += of_figures(source, should, have)
        found += of_figures(source, {"sum of the fates": have["sent"]}, {"sum of the fates": _sum(have)})
    return found


def of_figures(
    place: str, expected: Mapping[str, int], measured: Mapping[str, int], names: Iterable[str] = ()
) -> list[Difference]:
    """Return the figures of one place that differ; ``names``: only these."""
    wanted = names or sorted({*expected, *measured})
    pairs = ((name, expected.get(name, 0), measured.get(name, 0)) for name in wanted)
    return [Difference(place, name, should, have) for name, should, have in pairs if should != have]


def _sum(line: Mapping[str, int]) -> int:
    return sum(line[fate] for fate in FATES)
