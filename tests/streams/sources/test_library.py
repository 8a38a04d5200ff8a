"""A new loan of a print item counts once, on the day it was borrowed, and nobody learns what was borrowed."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.library import read as read_loan
from streams.sources.registry import sources
from tests.streams.sources import records

DATA = Path(__file__).parents[2] / "data"
LONDON = ZoneInfo("Europe/London")
TITLE, AUTHOR = "Journey", "Trip, A"


def read(raw: bytes) -> Outcome:
    return read_loan(raw, LONDON)


def call(name: str = "loan_created") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "alma" / f"{name}_event.json").read_bytes())
    return found


def body(**changes: Any) -> dict[str, Any]:
    """Return the body of a new loan, with some fields of the loan or of the body changed."""
    made: dict[str, Any] = json.loads(call()["body"])
    for name, value in changes.items():
        place = made if name in made else made["item_loan"]
        place[name] = value
    return made


def seen(record: dict[str, Any]) -> Seen:
    return records.seen(read(json.dumps(record).encode()))


def rows() -> list[bytes]:
    """Return the records of the sample file: its header line and one row each."""
    head, *found = (DATA / "jisc" / "borrowed.tsv").read_bytes().splitlines(keepends=True)
    return [head + row for row in found]


def statement(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "6ee080c5-1626-4216-98cf-16611636b68c",
        "actor": {"account": {"name": "jsmith20", "homePage": "http://library.example.ac.uk/"}, "name": "John Smith"},
        "verb": {"id": "http://activitystrea.ms/schema/1.0/borrowed"},
        "object": {
            "id": "http://library.example.ac.uk/resource/13579",
            "definition": {
                "name": {"en": TITLE},
                "extensions": {"http://xapi.jisc.ac.uk/subType": "http://id.tincanapi.com/activitytype/book"},
            },
        },
        "timestamp": "2018-11-18T13:05:51.484Z",
    }
    return made | changes


def test_a_new_loan_of_alma_counts_when_it_was_borrowed() -> None:
    """Not when the webhook was sent."""
    found = seen(call())

    assert (found.person, found.activity, found.venue) == ("LBAAJH", "library_loan", None)
    assert found.at == datetime(2018, 2, 23, 11, 10, 6, 546000, tzinfo=UTC).timestamp()


def test_the_body_alone_is_the_same_as_in_the_event_of_a_gateway() -> None:
    assert seen(body()) == seen(call())


@pytest.mark.parametrize("name", ["loan_renewed", "loan_returned", "loan_due_date", "request_created"])
def test_what_else_alma_tells_is_not_for_us(name: str) -> None:
    """All of them carry the date of the loan that they are about."""
    assert read(json.dumps(call(name)).encode()) == NotForUs("another event than a new loan")


def test_the_challenge_of_a_webhook_is_not_for_us() -> None:
    assert isinstance(read((DATA / "alma" / "challenge.json").read_bytes()), NotForUs)


def test_a_loan_is_one_event_however_often_it_is_sent() -> None:
    """Alma's own ids do not tell: they have been the same for all events of a loan."""
    assert seen(body(time="2018-02-23T12:10:12.005Z")).event == seen(body()).event
    assert seen(body(loan_id="18263808770001222")).event != seen(body()).event
    assert seen(body(loan_id=18263808770001221)).event == seen(body()).event


@pytest.mark.parametrize("changes", [{"portfolio": {"id": "1"}}, {"representation": {"id": "1"}}])
def test_what_alma_says_is_no_print_item_is_not_for_us(changes: dict[str, Any]) -> None:
    assert read(json.dumps(body(**changes)).encode()) == NotForUs("not a print item")


@pytest.mark.parametrize(("kind", "counts"), [("BOOK", True), ("LAPTOP", False), ("something local", True)])
def test_alma_may_say_what_an_item_is_made_of(kind: str, counts: bool) -> None:
    item = {"item_data": {"physical_material_type": {"value": kind}}}

    assert isinstance(read(json.dumps(body(item=item)).encode()), Seen) == counts


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"user_id": None}, "item_loan.user_id"),
        ({"user_id": ""}, "item_loan.user_id"),
        ({"loan_id": {}}, "item_loan.loan_id"),
        ({"loan_date": None}, "item_loan.loan_date"),
        ({"loan_date": "23/02/2018"}, "item_loan.loan_date"),
        ({"item_loan": []}, "item_loan.user_id"),
        ({"event": []}, "event.value"),
    ],
)
def test_what_cannot_be_used_of_alma_says_where(changes: dict[str, Any], place: str) -> None:
    found = read(json.dumps(body(**changes)).encode())

    assert isinstance(found, Unusable)
    assert place in found.reason


def test_every_row_of_the_sample_counts_at_noon_of_its_day_but_the_29th_of_february_2021() -> None:
    """A date without a time is a valid day, where there is such a day."""
    found = [read(record) for record in rows()]
    impossible = [b"2021-02-29" in record for record in rows()]

    assert [isinstance(one, Unusable) for one in found] == impossible
    assert (len(found), sum(impossible)) == (1097, 7)
    assert len({one.event for one in found if isinstance(one, Seen)}) == 1090
    first, *_ = found
    assert isinstance(first, Seen)
    assert (first.person, first.activity) == ("1001", "library_loan")
    assert first.at == datetime(2020, 9, 19, 12, tzinfo=LONDON).timestamp()


def row(stamp: str = "2020-09-19", kind: str = "BOOK", user: str = "1001", item: str = "7") -> bytes:
    head = "USERNAME\tITEM_ID\tITEM_NAME\tITEM_SUBTYPE\tBORROWING_SITE\tTIMESTAMP"
    return f"{head}\r\n{user}\t{item}\tI'm a Book\t{kind}\tLibrary\t{stamp}\r\n".encode()


@pytest.mark.parametrize(
    ("stamp", "at"),
    [
        ("2020-07-19", datetime(2020, 7, 19, 11, tzinfo=UTC)),
        ("2020-07-19T09:30:00", datetime(2020, 7, 19, 8, 30, tzinfo=UTC)),
        ("2020-07-19T09:30:00Z", datetime(2020, 7, 19, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_row_without_a_zone_is_of_the_institutions_zone(stamp: str, at: datetime) -> None:
    found = read(row(stamp))

    assert isinstance(found, Seen)
    assert found.at == at.timestamp()


def test_an_item_that_is_borrowed_again_or_by_another_is_another_loan() -> None:
    found = [read(raw) for raw in (row(), row(), row("2020-09-20"), row(user="1002"), row(item="8"))]

    assert [isinstance(one, Seen) for one in found] == [True] * 5
    assert len({one.event for one in found if isinstance(one, Seen)}) == 4


@pytest.mark.parametrize("zone", ["Europe/London", "Pacific/Auckland"])
def test_the_zone_is_the_institutions(zone: str) -> None:
    found = sources(Options(zone=ZoneInfo(zone)))["library"].read(row())

    assert isinstance(found, Seen)
    assert found.at == datetime(2020, 9, 19, 12, tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize("stamp", ["19/09/2020", "2020-13-09", "2020-02-30", "", "yesterday"])
def test_a_row_whose_date_is_none_is_unusable(stamp: str) -> None:
    found = read(row(stamp))

    assert isinstance(found, Unusable)
    assert "TIMESTAMP" in found.reason


def test_rows_without_user_or_item_or_with_other_columns_are_unusable() -> None:
    for raw in (
        row(user=""),
        row(item=""),
        b"A\tB\n1\t2\n",
        row() + b"1001\t8\tx\tBOOK\tLibrary\t2020-09-19\n",
        row()[:-20],
    ):
        assert isinstance(read(raw), Unusable)


@pytest.mark.parametrize("kind", ["EBOOK", "e-book", "E Journal", "http://example.org/type/ebook/", "Laptop", "DVD"])
def test_a_row_that_says_it_is_no_print_item_is_not_for_us(kind: str) -> None:
    assert read(row(kind=kind)) == NotForUs("not a print item")


@pytest.mark.parametrize("kind", ["", "BOOK", "JOURNAL", "3-hour loan", "http://id.tincanapi.com/activitytype/book"])
def test_a_row_that_says_nothing_of_the_kind_counts(kind: str) -> None:
    assert isinstance(read(row(kind=kind)), Seen)


def test_a_statement_that_somebody_borrowed_counts_once() -> None:
    found = seen(statement())

    assert (found.person, found.activity) == ("jsmith20", "library_loan")
    assert found.at == datetime(2018, 11, 18, 13, 5, 51, 484000, tzinfo=UTC).timestamp()
    assert seen(statement(stored="2018-11-19T00:00:00Z")).event == found.event
    assert seen(statement(id="another")).event != found.event


def test_statements_without_an_id_are_told_apart_by_what_they_say() -> None:
    bare = {name: value for name, value in statement().items() if name != "id"}

    assert seen(bare).event == seen(dict(bare)).event
    assert seen(bare | {"timestamp": "2018-11-18T13:06:51Z"}).event != seen(bare).event


def test_statements_of_other_things_are_not_for_us() -> None:
    returned = statement(verb={"id": "http://activitystrea.ms/schema/1.0/return"})
    ebook = {
        "id": "http://x/1",
        "definition": {"extensions": {"http://xapi&46;jisc&46;ac&46;uk/subType": "http://x/ebook"}},
    }

    assert isinstance(read(json.dumps(returned).encode()), NotForUs)
    assert read(json.dumps(statement(object=ebook)).encode()) == NotForUs("not a print item")


def test_what_was_borrowed_goes_no_further() -> None:
    """Nor does it stand in the reason for which something could not be used."""
    broken = body(loan_date=TITLE, user_id=AUTHOR)
    found = [
        *(seen(record) for record in (call(), body(), statement())),
        *map(read, rows()[:5]),
        read(json.dumps(broken).encode()),
    ]

    for told in (TITLE, AUTHOR, "I'm a Book", "owncopy", "12345", "BOOK"):
        assert told not in repr(found)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"{}", b'{"body": "nothing"}', b'{"body": "[]"}', b'{"body": null}', b"\xff\xfe"]
)
def test_what_is_no_loan_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
