"""A student's view of a reading list or of an item counts; what it was stays with the source."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.reading_lists import read as read_view
from tests.streams.sources.records import seen, tsv

DATA = Path(__file__).parents[2] / "data" / "jisc"
STAFF = NotForUs("staff")


def read(raw: bytes) -> Outcome:
    return read_view(raw, ZoneInfo("Europe/London"))


def view(**changes: str) -> Outcome:
    """Return what a row is, with some fields changed."""
    row = {
        "SESSION_ID": "94323afa",
        "USERNAME": "jdoe",
        "EMAIL": "jdoe@example.ac.uk",
        "JOB_ROLE": "an undergraduate",
        "OBJECT_ID": "http://lists.example.ac.uk/lists/86EB",
        "OBJECT_NAME": "Ethics",
        "ITEM_URL": "http://lists.example.ac.uk/items/C06B",
        "TIMESTAMP": "2026-07-01 16:53",
        "ACTIVITY_TYPE": "list.item.view",
    }
    return read(tsv(row | changes))


def statement(kind: Any = "http://jisc.ac.uk/reading-list", **changes: Any) -> Outcome:
    made = {
        "actor": {"account": {"name": "jdoe", "homePage": "https://lists.example.ac.uk"}, "name": "Jo Doe"},
        "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
        "object": {"id": "https://lists.example.ac.uk/4", "definition": {"type": kind, "name": {"en": "Ethics"}}},
        "context": {"extensions": {"http://xapi&46;jisc&46;ac&46;uk/sessionId": "32456891"}},
        "timestamp": "2026-07-01T15:53:00Z",
    }
    return read(json.dumps(made | changes).encode())


@pytest.mark.parametrize(
    ("name", "staff", "students"),
    [("readinglist-view-reading-list", 13, 0), ("readinglist-viewed-reading-list-item", 3, 7)],
)
def test_of_the_samples_students_views_count_and_those_of_staff_do_not(name: str, staff: int, students: int) -> None:
    head, *rows = (DATA / f"{name}.tsv").read_bytes().splitlines(keepends=True)
    found = [read(head + row) for row in rows]

    assert [one for one in found if not isinstance(one, Seen)] == [STAFF] * staff
    assert len({seen(one).event for one in found if one != STAFF}) == students


def test_a_row_says_who_and_in_which_minute_of_local_time() -> None:
    found = seen(view())

    assert (found.person, found.activity, found.venue) == ("jdoe", "reading_list", None)
    assert found.at == datetime(2026, 7, 1, 15, 53, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("role", ["a librarian", "an academic", "A Librarian", "Senior lecturer", "member of staff"])
def test_staff_are_not_for_us(role: str) -> None:
    assert view(JOB_ROLE=role) == STAFF


@pytest.mark.parametrize("role", ["an undergraduate", "a postgraduate", "a student", "Student", "a student librarian"])
def test_students_count(role: str) -> None:
    assert isinstance(view(JOB_ROLE=role), Seen)


@pytest.mark.parametrize("role", ["", "a researcher", "other", "?"])
def test_who_does_not_say_what_they_are_may_be_a_student(role: str) -> None:
    """Whether they are is known by their identity; a view that is missed could raise an alert."""
    assert isinstance(view(JOB_ROLE=role), Seen)


def test_two_views_in_a_minute_are_two_if_session_object_item_or_kind_differ() -> None:
    first = seen(view()).event

    assert seen(view(OBJECT_NAME="renamed", EMAIL="", JOB_ROLE="")).event == first
    others = (
        {"SESSION_ID": "x"},
        {"OBJECT_ID": "x"},
        {"ITEM_URL": "x"},
        {"TIMESTAMP": "2026-07-01 16:54"},
        {"ACTIVITY_TYPE": "list.view"},
        {"USERNAME": "x"},
    )
    assert len({first, *(seen(view(**other)).event for other in others)}) == 7


def test_another_activity_than_a_view_is_not_for_us() -> None:
    assert view(ACTIVITY_TYPE="list.edit") == NotForUs("another activity than a view")


@pytest.mark.parametrize("name", ["USERNAME", "OBJECT_ID", "TIMESTAMP", "ACTIVITY_TYPE"])
def test_a_row_without_what_is_needed_says_so(name: str) -> None:
    assert view(**{name: ""}) == Unusable(f"{name}: missing")


@pytest.mark.parametrize("time", ["22/02/2019 16:53", "02/22/2019 16:53", "2019-13-13 16:53", "16:53"])
def test_the_order_of_day_and_month_is_not_guessed(time: str) -> None:
    assert view(TIMESTAMP=time) == Unusable("TIMESTAMP: not a date or time in ISO 8601")


@pytest.mark.parametrize("place", ["http://jisc.ac.uk/", "http://xapi.jisc.ac.uk/", "https://xapi.jisc.ac.uk/"])
@pytest.mark.parametrize("folder", ["", "activities/"])
@pytest.mark.parametrize("name", ["reading-list", "reading-list-item"])
def test_a_statement_of_any_spelling_of_a_list_or_an_item_counts(place: str, folder: str, name: str) -> None:
    found = seen(statement(place + folder + name))

    assert (found.person, found.activity) == ("jdoe", "reading_list")
    assert found.at == datetime(2026, 7, 1, 15, 53, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "kind", ["http://jisc.ac.uk/reading-lists", "http://x/jisc.ac.uk/reading-list", "", None, [], {}]
)
def test_another_object_is_not_for_us(kind: Any) -> None:
    assert statement(kind) == NotForUs("another statement than of a reading list")


def test_another_verb_is_not_for_us() -> None:
    assert isinstance(statement(verb={"id": "http://activitystrea.ms/schema/1.0/access"}), NotForUs)


def test_a_statement_is_one_event_whatever_id_its_store_gives_it() -> None:
    first = seen(statement()).event

    assert seen(statement(id="another")).event == first
    assert seen(statement(context=[])).event != first
    assert seen(statement(timestamp="2026-07-01T15:54:00Z")).event != first


def test_a_statement_without_a_time_is_one_by_its_id() -> None:
    """It counts when it was stored, and that is another time when it is stored again."""

    def stored(at: str, number: str) -> str:
        body = {
            "actor": {"account": {"name": "jdoe"}},
            "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
            "object": {"id": "x", "definition": {"type": "http://jisc.ac.uk/reading-list"}},
        }
        return seen(read(json.dumps(body | {"stored": at, "id": number}).encode())).event

    assert stored("2026-07-01T15:53:00Z", "1") == stored("2026-07-02T15:53:00Z", "1")
    assert stored("2026-07-01T15:53:00Z", "1") != stored("2026-07-01T15:53:00Z", "2")


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b"A\tB\n1\t2\n", b"\xff"])
def test_what_is_neither_row_nor_statement_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
