"""A tap at a reader, or a row of a register that says that somebody was there; an absence is no activity."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.tap_ins import read as read_tap
from tests.streams.sources.records import seen, tsv

ATTENDANCE = Path(__file__).parents[2] / "data" / "jisc" / "attendance.tsv"
LONDON = ZoneInfo("Europe/London")
SWIPE = {"card": "0004711", "reader": "LTB 06", "at": "2026-10-05T09:02:11.250+01:00"}


def read(raw: bytes) -> Outcome:
    return read_tap(raw, LONDON)


def swipe(**changes: Any) -> Outcome:
    return read(json.dumps({name: value for name, value in (SWIPE | changes).items() if value is not None}).encode())


def register(**changes: str) -> Outcome:
    """Return what a row of a register is, with some fields changed."""
    row = {
        "STUDENT_ID": "S1",
        "EVENT_ID": "E1",
        "START_TIME": "2026-10-05T14:00:00",
        "EVENT_ATTENDED": "1",
        "ATTENDANCE_LATE": "0",
    }
    return read(tsv(row | changes))


def statement(**changes: Any) -> Outcome:
    made = {
        "actor": {"account": {"name": "S1", "homePage": "https://sits.example.ac.uk"}},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/attended"},
        "object": {
            "id": "https://sits.example.ac.uk/event/E1",
            "definition": {"type": "http://xapi.jisc.ac.uk/event_timetabled"},
        },
        "result": {"completion": True, "extensions": {"http://xapi.jisc.ac.uk/attendance_late": 1}},
        "timestamp": "2026-10-05T14:00:00+01:00",
    }
    return read(json.dumps(made | changes).encode())


def test_a_swipe_is_a_card_at_a_reader_at_a_time() -> None:
    found = seen(swipe())

    assert (found.person, found.activity, found.venue) == ("0004711", "tap_in", "reader:LTB 06")
    assert found.at == datetime(2026, 10, 5, 8, 2, 11, 250000, tzinfo=UTC).timestamp()


def test_a_swipe_sent_twice_is_one() -> None:
    """Whatever the fraction of the second, the way the zone is written, and the number that it was given."""
    first = seen(swipe()).event

    assert seen(swipe(at="2026-10-05T08:02:11.990Z", id="another")).event == first
    assert seen(swipe(at="2026-10-05T08:02:12Z")).event != first
    assert seen(swipe(card="0004712")).event != first
    assert seen(swipe(reader="LTB 07")).event != first


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"card": None}, "card"),
        ({"card": 4711}, "card"),
        ({"card": ""}, "card"),
        ({"reader": "a\nb"}, "reader"),
        ({"at": "2026-10-05T09:02:11"}, "at"),
        ({"at": 1790000000}, "at"),
        ({"at": "2026-13-05T09:02:11Z"}, "at"),
        ({"at": "05/10/2026 09:02"}, "at"),
        ({"name": "Jill Chill"}, "not in the schema"),
    ],
)
def test_a_swipe_that_cannot_be_used_says_where(changes: dict[str, Any], place: str) -> None:
    """A number has lost the zeros in front; a time without a zone is no time; who it was stands nowhere but on the card."""
    found = swipe(**changes)

    assert isinstance(found, Unusable)
    assert place in found.reason


def test_of_the_sample_ten_dates_are_impossible_and_nine_rows_are_absences() -> None:
    """Four rows are both; ten are somebody who was there."""
    lines = ATTENDANCE.read_bytes().splitlines(keepends=True)
    rows = list(csv.DictReader(ATTENDANCE.read_text().splitlines(), delimiter="\t"))
    found = [read(lines[0] + line) for line in lines[1:]]

    rejected = [isinstance(one, Unusable) for one in found]
    assert rejected == [row["START_TIME"][5:7] in {"13", "14"} for row in rows]
    assert sum(rejected) == 10
    absent = [row["EVENT_ATTENDED"] == "0" for row in rows]
    assert sum(absent) == 9
    for one, was_rejected, was_absent in zip(found, rejected, absent, strict=True):
        if not was_rejected:
            assert (one == NotForUs("absence")) == was_absent
    assert [type(one) for one in found].count(Seen) == 10


def test_an_impossible_date_casts_doubt_on_the_other_rows_of_its_file() -> None:
    found = register(START_TIME="2017-13-12T14:00:00")

    assert found == Unusable("START_TIME: a date only if day and month are exchanged", exchanged=True)


@pytest.mark.parametrize("start", ["12/10/2017 14:00", "10/12/2017 14:00", "2017-02-30T14:00:00", "", "14:00"])
def test_the_order_of_day_and_month_is_not_guessed(start: str) -> None:
    assert isinstance(register(START_TIME=start), Unusable)


def test_a_register_row_names_its_event_and_counts_at_its_planned_start() -> None:
    """Local time, where it has no zone; no venue, since the timetable is not asked."""
    found = seen(register())

    assert (found.person, found.activity, found.venue) == ("S1", "tap_in", None)
    assert found.at == datetime(2026, 10, 5, 13, tzinfo=UTC).timestamp()


def test_an_attendance_is_one_event_however_often_the_register_is_sent() -> None:
    first = seen(register()).event

    assert seen(register(ATTENDANCE_LATE="1", START_TIME="2026-10-05T14:05:00")).event == first
    assert seen(register(EVENT_ID="E2")).event != first
    assert seen(register(STUDENT_ID="S2")).event != first


@pytest.mark.parametrize("attended", ["", "2", "yes", "-1"])
def test_a_row_must_say_whether_somebody_was_there(attended: str) -> None:
    found = register(EVENT_ATTENDED=attended)

    assert isinstance(found, Unusable)
    assert "EVENT_ATTENDED" in found.reason


@pytest.mark.parametrize("name", ["STUDENT_ID", "EVENT_ID", "START_TIME"])
def test_a_row_without_student_event_or_start_is_unusable(name: str) -> None:
    assert register(**{name: ""}) == Unusable(f"{name}: missing")


def test_columns_are_never_shifted() -> None:
    head, line, *_ = ATTENDANCE.read_bytes().splitlines(keepends=True)

    assert isinstance(read(head + line.replace(b"\tSEMINAR\tSEMINAR", b"\tSEMINAR")), Unusable)


def test_a_statement_of_the_register_is_the_same_attendance_as_its_row() -> None:
    ours = {
        "id": "https://x/event/E1",
        "definition": {"extensions": {"http://xapi&46;jisc&46;ac&46;uk/event_id": "E1"}},
    }

    assert seen(statement(object=ours)) == seen(register())


def test_a_statement_without_the_registers_own_number_names_the_event_by_its_object() -> None:
    other = {"id": "https://sits.example.ac.uk/event/E2"}

    assert seen(statement()).event == seen(statement(id="sent again")).event
    assert seen(statement(object=other)).event != seen(statement()).event


def test_not_completed_is_an_absence() -> None:
    """Although the verb says attended."""
    assert statement(result={"completion": False}) == NotForUs("absence")


@pytest.mark.parametrize("result", [{}, [], {"completion": "false"}, {"completion": 0}, None])
def test_a_statement_must_say_whether_somebody_was_there(result: Any) -> None:
    assert statement(result=result) == Unusable("result.completion: neither true nor false")


def test_another_statement_is_not_for_us() -> None:
    assert isinstance(statement(verb={"id": "http://activitystrea.ms/schema/1.0/access"}), NotForUs)


def test_names_of_events_and_staff_go_no_further() -> None:
    lines = ATTENDANCE.read_bytes().splitlines(keepends=True)
    found = repr([read(lines[0] + line) for line in lines[1:]])

    assert not any(told in found for told in ("Text Mining", "STAFF_", "MOD_", "SEMINAR"))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"{", b"{}", b"a\tb\n1\t2\n", b"\xff\xfe", b"USERNAME\tTIMESTAMP\n1\t2026-10-05\n"]
)
def test_what_is_neither_swipe_nor_register_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
