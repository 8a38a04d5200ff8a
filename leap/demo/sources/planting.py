"""What is planted: records, each with what has to become of it, and how they travel."""

import csv
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Literal, NamedTuple

from leap.demo.sources.days import Days
from leap.demo.sources.ledger import Fate
from leap.demo.sources.university import NO_STUDENTS, Person, University
from leap.demo.sources.vendors import forms
from schemas.activities import Activity

Way = Literal["kafka", "webhook", "xapi", "caliper", "events", "post", "ingest"]
"""Over Kafka; over HTTP to the gateway: a webhook, xAPI statements, a Caliper envelope, CloudEvents, a file (``post``);
a file that ``leap ingest`` sends."""

WAYS_IN: dict[Way, str] = {
    "kafka": "Kafka",
    "webhook": "gateway",
    "xapi": "gateway",
    "caliper": "gateway",
    "events": "gateway",
    "post": "gateway",
    "ingest": "files",
}
"""The three ways in."""

Form = Literal["tsv", "csv", "jsonl", "json"]

What = bytes | Mapping[str, Any]


class Shown(NamedTuple):
    """What the read model has to show: an activity on a student's day (an ISO date)."""

    student: str
    day: str
    activity: Activity


class Planted(NamedTuple):
    """A record: as it stands on its topic, what has to become of it, and what has to be shown of it."""

    what: What
    fate: Fate
    shown: Shown | None = None
    amount: int = 1


class Shipment(NamedTuple):
    """Records of one source that go out together. ``form``: of a file. ``values``: as they stand on the topic."""

    source: str
    way: Way
    records: tuple[Planted, ...]
    values: tuple[bytes, ...]
    form: Form | None = None

    def file(self) -> bytes:
        """Return the file that they make."""
        if self.form == "json":
            return b"[" + b",\n ".join(self.values) + b"]\n"
        if self.form == "jsonl":
            return b"".join(value + b"\n" for value in self.values)
        header = self.values[0].partition(b"\n")[0]
        return b"".join(line + b"\n" for line in (header, *(value.partition(b"\n")[2] for value in self.values)))


class Planting:
    """Makes records; every choice is the seed's."""

    def __init__(self, university: University, seed: int) -> None:
        """Take the university."""
        self.university = university
        self.days: Days = university.days
        self.random = random.Random(seed)  # noqa: S311 - nothing is secret here
        self._numbers = count(1)

    def number(self) -> int:
        """Return a number that nothing else has."""
        return next(self._numbers)

    def at(self, back: int = 0) -> float:
        """Return an instant of the day so many days ago."""
        return self.days.at(back, self.random.uniform(0.02, 0.98))

    def some(self, people: Sequence[Person], number: int) -> list[Person]:
        """Return so many of some people."""
        return self.random.sample(people, number)

    def nobody(self) -> Person:
        """Return somebody whose keys nobody has ever heard of."""
        return Person(NO_STUDENTS + self.number())

    def seen(self, what: What, person: Person, activity: Activity, back: int = 0, number: int = 1) -> Planted:
        """Return a record of something that a student did so many days ago; of anybody else it waits for ever."""
        if person not in self.university.students:
            return Planted(what, "unmatched")
        shown = Shown(person.student, self.days.date(back).isoformat(), activity)
        return Planted(what, "late" if back else "counted", shown, number)

    def again(self, records: Iterable[Planted]) -> list[Planted]:
        """Return records once more: what counted does not count again, the others share the fate of the first."""
        return [
            Planted(record.what, "repeated" if record.fate in {"counted", "late"} else record.fate)
            for record in records
        ]


def ignored(*what: What) -> list[Planted]:
    """Return records that are not for us."""
    return [Planted(one, "ignored") for one in what]


def broken(*what: What) -> list[Planted]:
    """Return records that cannot be used."""
    return [Planted(one, "dead_letters") for one in what]


def waiting(*what: What) -> list[Planted]:
    """Return records of somebody whom nobody knows."""
    return [Planted(one, "unmatched") for one in what]


def shipments(source: str, way: Way, records: Sequence[Planted], size: int = 1) -> Iterator[Shipment]:
    """Yield records, so many at once, as they come over Kafka or over HTTP."""
    for first in range(0, len(records), size):
        some = records[first : first + size]
        yield Shipment(source, way, tuple(some), tuple(_text(record.what) for record in some))


def objects(source: str, way: Way, records: Sequence[Planted], form: Literal["jsonl", "json"] = "jsonl") -> Shipment:
    """Return a file of JSON objects."""
    return Shipment(source, way, tuple(records), tuple(_text(record.what) for record in records), form)


def table(source: str, way: Way, records: Sequence[Planted], form: Literal["tsv", "csv"] = "tsv") -> Shipment:
    """Return a file of rows: those that are mappings have all the same columns, those that are bytes stand as they are.

    On the topic each is the header line and the row.
    """
    delimiter = "\t" if form == "tsv" else ","
    columns = next(list(record.what) for record in records if not isinstance(record.what, bytes))
    header = _line(columns, delimiter)
    rows = (
        record.what if isinstance(record.what, bytes) else _line([record.what[column] for column in columns], delimiter)
        for record in records
    )
    return Shipment(source, way, tuple(records), tuple(header + b"\n" + row for row in rows), form)


def _line(fields: Sequence[str], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(fields)
    return out.getvalue().encode()


def _text(what: What) -> bytes:
    return what if isinstance(what, bytes) else forms.text(what)
