"""What adapters have in common: a value, or what is wrong in words that can be counted."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import Unusable
from streams.sources.reading import digest, identifier, instant, json_object, local, looks_like_json, moment, row

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-01", datetime(2026, 7, 1, 11, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-07-01T09:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-07-01 09:00:00.5", datetime(2026, 7, 1, 8, 0, 0, 500000, tzinfo=UTC)),
        ("2026-07-01T00:00:00", datetime(2026, 6, 30, 23, tzinfo=UTC)),
        ("2026-07-01T09:00:00Z", datetime(2026, 7, 1, 9, tzinfo=UTC)),
        ("2026-07-01T09:00:00-05:00", datetime(2026, 7, 1, 14, tzinfo=UTC)),
        # The hour that comes twice, and the one that does not come.
        ("2026-10-25T01:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-03-29T01:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_date_is_at_noon_and_a_time_without_a_zone_is_local(text: str, at: datetime) -> None:
    assert moment(text, LONDON, "x") == at.timestamp()


@pytest.mark.parametrize("text", ["", "1/7/2026", "2026-13-01", "2026-02-29", "2026-07-01T25:00", "09:00", None, 5, []])
def test_what_is_no_date_or_time_says_where(text: Any) -> None:
    found = moment(text, LONDON, "PLACE")

    assert isinstance(found, Unusable)
    assert found.reason.startswith("PLACE: ")


@pytest.mark.parametrize(
    ("found", "exchanged"),
    [
        (moment("2026-13-01", LONDON, "x"), True),
        (moment("20261301T0900", LONDON, "x"), True),
        (moment("2026-13-01T09:00", LONDON, "x"), True),
        (moment("2026-13-13", LONDON, "x"), False),
        (moment("2026-02-29", LONDON, "x"), False),
        (moment("2026-13-01T25:00", LONDON, "x"), False),
        (instant("2026-13-01T09:00:00Z", "x"), True),
        (instant("2026-12-01T09:00:00", "x"), False),
        (local("5/13/26 100%", "%d/%m/%y 100%%", LONDON, "x"), True),
        (local("29/2/26 100%", "%d/%m/%y 100%%", LONDON, "x"), False),
    ],
)
def test_a_date_that_is_one_with_day_and_month_exchanged_is_told_and_not_guessed(
    found: float | Unusable, exchanged: bool
) -> None:
    assert isinstance(found, Unusable)
    assert found.exchanged == exchanged
    assert ("exchanged" in found.reason) == exchanged


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        ("7", "7"),
        (" a b ", "a b"),
        (0, "0"),
        ("", None),
        (" ", None),
        (True, None),
        (7.0, None),
        (None, None),
        ([], None),
    ],
)
def test_an_id_is_a_text_or_a_whole_number(value: Any, text: str | None) -> None:
    assert identifier(value) == text


def test_json_is_told_from_a_row() -> None:
    assert looks_like_json(b' \n{"a": 1}')
    assert not looks_like_json(b"A\tB\n{\t}\n")


def test_reasons_do_not_differ_from_record_to_record() -> None:
    """They are counted: with a number of its own in each, every count would be one."""
    broken = {repr(json_object(b'{"a": ' + b" " * spaces + b"x}")) for spaces in range(20)}
    short = {repr(row(b"A\tB\tC\n" + b"1\t" * fields + b"\n")) for fields in (1, 3, 4, 9)}

    assert len(broken) == 1
    assert len(short) == 1


def test_quotes_around_part_of_a_field_are_text_between_tabs() -> None:
    """As in titles and posts. Columns are counted all the same."""
    assert row(b'A\tB\n"So" he said\t1\n') == {"A": '"So" he said', "B": "1"}
    assert row(b'A\tB\n"left open\t1\n') == {"A": '"left open', "B": "1"}
    assert row(b'A\tB\n"x\ty"\t1\n') == {"A": "x\ty", "B": "1"}
    assert row(b'A\tB\n"So" he said\t1\t2\n') == Unusable("row: not as many fields as the header has")
    assert row(b'A,B\n"So" he said,1\n', ",") == Unusable("row: quotes that do not match")


def test_a_hash_tells_apart_and_does_not_tell() -> None:
    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("ab"), digest("a", "b", "")}) == 4
    assert "jo@example.com" not in digest("jo@example.com")
