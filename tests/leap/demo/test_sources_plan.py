"""The plan of the simulated university: whole, and the same at every hour; each adapter agrees with what was planted."""

import re
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leap.commands.timetable import _lines as timetable_lines
from leap.demo.sources.days import Days
from leap.demo.sources.ledger import COLUMNS, FATES
from leap.demo.sources.plan import SOURCES, STUDENTS, Plan, make
from leap.demo.sources.planting import WAYS_IN
from leap.demo.sources.university import SITE
from leap.identity_file import Line, read
from schemas.activities import ACTIVITIES
from schemas.timetable import TimetabledEvent
from streams.intake import SKEW
from streams.settings import Settings
from streams.sources import NotForUs, Options, Seen, Unusable
from streams.sources.registry import sources
from streams.timetable import Timetable
from windows.civil import CivilDays, date_of

ZONE = "Europe/London"
HOURS = [
    "2026-11-25T00:00:00",
    "2026-11-25T00:00:01",
    "2026-11-25T00:20:00",
    "2026-11-25T06:30:00",
    "2026-11-25T12:00:00",
    "2026-11-25T23:58:59",
    "2026-10-25T00:10:00",  # the clocks go back this night
    "2026-10-25T15:00:00",
    "2026-10-26T01:30:00",
    "2027-03-28T01:30:00",  # and forward
    "2027-03-28T03:00:00",
    "2027-01-01T00:01:00",
]
AT_INTAKE = {"at: in the future", "student: unknown"}
"""What no adapter can tell."""


def plan(when: str = "2026-11-25T15:00:00", seed: int = 1) -> Plan:
    return make(Days(ZONE, datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(ZONE)).timestamp()), seed)


def timetable(of: Plan, tmp_path: Any) -> Timetable:
    file = tmp_path / "timetable.csv"
    file.write_bytes(of.timetable())
    held = Timetable()
    for line in timetable_lines(file):
        assert isinstance(line, TimetabledEvent), line
        held.put(line.event, line)
    return held


def test_every_source_every_way_in_every_fate_and_every_activity_occurs() -> None:
    made = plan()

    assert made.ledger().sources == sorted(SOURCES)
    assert {WAYS_IN[shipment.way] for shipment in made.shipments} == {"Kafka", "gateway", "files"}
    assert {shipment.way for shipment in made.shipments} == set(WAYS_IN)
    assert {shown.activity for shown in made.shown()} == set(ACTIVITIES)
    for source in SOURCES:
        # A system that sends only what it means has nothing to leave out; one that gives student ids, nobody unknown.
        never = {"events": {"ignored", "unmatched"}, "events-by-identity": {"ignored"}}.get(source, set())
        assert {fate for fate in FATES if not made.ledger().line(source)[fate]} == never, source


def test_the_ledger_sums_and_every_activity_that_counts_is_shown() -> None:
    made = plan()
    ledger = made.ledger()

    for line in (*ledger.as_json().values(), ledger.total()):
        assert tuple(line) == COLUMNS
        assert line["sent"] == sum(line[fate] for fate in FATES)
    records = [record for shipment in made.shipments for record in shipment.records]
    assert made.shown().total() == sum(record.amount for record in records if record.fate in {"counted", "late"})
    assert all((record.shown is not None) == (record.fate in {"counted", "late"}) for record in records)


def test_the_seed_decides() -> None:
    assert plan().shipments == plan().shipments
    assert plan(seed=2).shipments != plan().shipments


def test_it_says_of_itself_that_it_is_simulated() -> None:
    """Whoever sees a student, an address or a site of it must not take it for somebody's."""
    made = plan()

    assert len(made.roster) == STUDENTS
    assert all(student.student.startswith("sim-") and student.department == "SIM" for student in made.roster)
    sent = b"\n".join(value for shipment in made.shipments for value in shipment.values)
    assert set(re.findall(rb"[\w.+-]+@([\w.-]+)", sent)) == {SITE.encode()}
    homes = set(re.findall(rb'"homePage":"https://([^/"]+)', sent))
    assert homes
    assert all(home.endswith(SITE.encode()) for home in homes)


@pytest.mark.parametrize("when", HOURS)
def test_the_adapters_make_of_it_what_was_planted_at_every_hour(when: str, tmp_path: Any) -> None:
    made = plan(when)
    now, civil, held = made.university.days.now, CivilDays(ZONE), timetable(made, tmp_path)
    adapters = sources(Options())
    today = civil.day_of(now)

    for shipment in made.shipments:
        for record, value in zip(shipment.records, shipment.values, strict=True):
            outcome = adapters[shipment.source].read(value)
            if isinstance(outcome, Seen) and outcome.activity == "zoom" and outcome.venue:
                outcome = outcome if held.at(outcome.venue, outcome.at) else NotForUs("outside of the timetable")
            place = f"{shipment.source} by {shipment.way}: {value!r}: {outcome}"
            if record.fate == "ignored":
                assert isinstance(outcome, NotForUs), place
            elif record.fate == "dead_letters":
                is_for_intake = isinstance(outcome, Seen) and (outcome.at > now + SKEW or outcome.person == "sim-9999")
                assert isinstance(outcome, Unusable) or is_for_intake, place
            else:
                assert isinstance(outcome, Seen), place
                assert outcome.at <= now + SKEW, place
                day = civil.day_of(outcome.at)
                assert day <= today, place
                if record.shown is not None:
                    assert (outcome.activity, outcome.count) == (record.shown.activity, record.amount), place
                    assert date_of(day).isoformat() == record.shown.day, place
                    assert (record.fate == "late") == (day < today), place


@pytest.mark.parametrize("when", HOURS)
def test_what_is_planted_as_a_repeat_is_one_and_nothing_else_is(when: str, tmp_path: Any) -> None:
    """By the same event at the source, or one more evidence of an attendance; equal rows of one file are several."""
    made = plan(when)
    held, civil, adapters = timetable(made, tmp_path), CivilDays(ZONE), sources(Options())
    who = whose(made, tmp_path)
    planted: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    evidence: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    for shipment in made.shipments:
        ordinals: Counter[bytes] = Counter()
        for record, value in zip(shipment.records, shipment.values, strict=True):
            outcome = adapters[shipment.source].read(value)
            ordinal = ordinals[value] if shipment.form in {"tsv", "csv"} else 0
            ordinals[value] += 1
            if record.fate not in {"counted", "late", "repeated"}:
                continue
            assert isinstance(outcome, Seen)
            day = date_of(civil.day_of(outcome.at)).isoformat()
            student = who(shipment.source, outcome.person, day)
            key: tuple[Any, ...] = (shipment.source, outcome.event, ordinal)
            if outcome.attended is not None:
                key = (student, outcome.attended)
            elif outcome.venue is not None:
                event = held.at(outcome.venue, outcome.at)
                key = (student, event.event if event else (outcome.venue, outcome.at // 3600))
                if event:
                    evidence[student, event.event].add((shipment.source, outcome.activity))
            planted[day, key]["repeated" if record.fate == "repeated" else "first"] += 1
            assert record.shown is None or record.shown.student == student

    assert {of["first"] for of in planted.values()} == {1}
    assert sum(of["repeated"] for of in planted.values()) == made.ledger().total()["repeated"]
    assert all(len(kinds) == 1 for kinds in evidence.values()), "either taps or joins, and of one source"
    assert len(evidence) > 300


def whose(made: Plan, tmp_path: Any) -> Any:
    """Return who has a key of a source on a day, by both files of the directory."""
    claims: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for name, content in (("early", made.identities()), ("late", made.late_identities())):
        file = tmp_path / f"{name}.csv"
        file.write_bytes(content)
        for line in read(file, SOURCES):
            assert isinstance(line, Line), line
            claims[line.source, line.key.lower()].append(line)

    def student(source: str, key: str, day: str) -> str:
        if source == "events":
            return key
        held = [
            line.student
            for line in claims[source, key.lower()]
            if (line.first is None or line.first.isoformat() <= day)
            and (line.last is None or day <= line.last.isoformat())
        ]
        assert len(held) == 1, (source, key, day, held)
        return held[0]

    return student


def test_some_are_claimed_late_and_some_wait_for_good(tmp_path: Any) -> None:
    made = plan()
    late = {line.split(b",")[2].decode() for line in made.late_identities().splitlines()[1:]}

    assert late == {person.student for person in made.university.latecomers}
    assert len({shown.student for shown in made.shown()} & late) == len(late)
    assert made.ledger().total()["unmatched"] > 20


def test_its_sources_are_those_that_there_are() -> None:
    assert set(SOURCES) == set(sources(Options())) - {"oulad"}
    assert Settings(sources=SOURCES).topics.sources.keys() == set(SOURCES)
