"""A recording watched for long enough counts once a stretch, and nobody learns which it was."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.listen_again import read as read_view
from streams.sources.registry import sources
from tests.streams.sources.records import seen, tsv

VIDEO = Path(__file__).parents[2] / "data" / "jisc" / "video.tsv"
TOO_SHORT = NotForUs("watched for too short")


def read(raw: bytes, least: float = 60.0) -> Outcome:
    return read_view(raw, ZoneInfo("Europe/London"), least)


def usage(**changes: str) -> Outcome:
    """Return what a row is, with some fields changed."""
    row = {
        "TIMESTAMP": "7/1/2026 1:31:13 PM",
        "USERNAME": "jdoe",
        "EMAIL": "jdoe@example.ac.uk",
        "SESSION_ID": "6c97b17c",
        "SESSION_NAME": "Ethics, week 3",
        "MINUTES_WATCHED": "1.166161977",
    }
    return read(tsv(row | changes, "\r\n"))


def statement(duration: Any = "PT1234S", **changes: Any) -> Outcome:
    made = {
        "id": "6ee080c5-1626-4216-98cf-16611636b68c",
        "actor": {"account": {"name": "jdoe", "homePage": "https://video.example.ac.uk"}, "name": "Jo Doe"},
        "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
        "object": {
            "id": "https://video.example.ac.uk/6c97b17c",
            "definition": {"type": "https://w3id.org/xapi/video/activity-type/video", "name": {"en": "Ethics"}},
        },
        "result": {"duration": duration},
        "timestamp": "2026-07-01T12:31:13Z",
    }
    return read(json.dumps(made | changes).encode())


@pytest.mark.parametrize(("least", "short"), [(60.0, 8), (2.0, 2), (0.0, 0)])
def test_of_the_sample_what_was_watched_for_too_short_is_not_for_us(least: float, short: int) -> None:
    """Two rows are of less than two seconds, eight of less than a minute. The rest are events of their own."""
    head, *rows = VIDEO.read_bytes().strip().splitlines(keepends=True)
    found = [read(head + row, least) for row in rows]

    assert [one for one in found if not isinstance(one, Seen)] == [TOO_SHORT] * short
    assert len({seen(one).event for one in found if one != TOO_SHORT}) == 9 - short


def test_the_least_that_counts_is_the_institutions() -> None:
    head, row = VIDEO.read_bytes().splitlines(keepends=True)[:2]

    assert isinstance(sources(Options(least_watched=1.0))["listen-again"].read(head + row), Seen)
    assert sources(Options())["listen-again"].read(head + row) == TOO_SHORT


def test_a_row_says_who_and_when_in_local_time() -> None:
    found = seen(usage())

    assert (found.person, found.activity, found.venue) == ("jdoe", "listen_again", None)
    assert found.at == datetime(2026, 7, 1, 12, 31, 13, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("time", ["2026-07-01T13:31:13", "7/1/2026 13:31:13", "2/30/2026 1:31:13 PM"])
def test_the_month_comes_first_and_nothing_else_is_guessed(time: str) -> None:
    assert usage(TIMESTAMP=time) == Unusable("TIMESTAMP: not a time in the form %m/%d/%Y %I:%M:%S %p")
    exchanged = usage(TIMESTAMP="13/1/2026 1:31:13 PM")
    assert exchanged == Unusable("TIMESTAMP: a date only if day and month are exchanged", exchanged=True)


def test_a_row_sent_again_is_the_same_and_another_stretch_is_not() -> None:
    first = seen(usage()).event

    assert seen(usage(SESSION_NAME="renamed", EMAIL="")).event == first
    others = ({"TIMESTAMP": "7/1/2026 1:33:28 PM"}, {"USERNAME": "x"}, {"SESSION_ID": "x"}, {"MINUTES_WATCHED": "2"})
    assert len({first, *(seen(usage(**other)).event for other in others)}) == 5


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1", "1,5", "0x10", "1_0", "PT70S", "1 m"])
def test_minutes_are_a_number(minutes: str) -> None:
    assert usage(MINUTES_WATCHED=minutes) == Unusable("MINUTES_WATCHED: not a number")


def test_a_minute_is_enough_and_a_little_less_is_not() -> None:
    assert isinstance(usage(MINUTES_WATCHED="1"), Seen)
    assert usage(MINUTES_WATCHED="0.999") == TOO_SHORT
    assert usage(MINUTES_WATCHED="5.0E-05") == TOO_SHORT


@pytest.mark.parametrize("name", ["USERNAME", "SESSION_ID", "TIMESTAMP", "MINUTES_WATCHED"])
def test_a_row_without_what_is_needed_says_so(name: str) -> None:
    assert usage(**{name: ""}) == Unusable(f"{name}: missing")


@pytest.mark.parametrize("duration", ["PT1234S", "PT60S", "PT1M", "PT0.5H", "P1DT1S", "PT59M60,0S", "P0DT0H1M0.000S"])
def test_a_statement_says_how_long(duration: str) -> None:
    found = seen(statement(duration))

    assert (found.person, found.activity) == ("jdoe", "listen_again")
    assert found.at == datetime(2026, 7, 1, 12, 31, 13, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("duration", ["PT59.99S", "PT0S", "P0D"])
def test_a_statement_of_too_short_a_view_is_not_for_us(duration: str) -> None:
    assert statement(duration) == TOO_SHORT


@pytest.mark.parametrize(
    "duration",
    ["20.5", 20.5, 1234, "P", "PT", "P1DT", "PT1234", "P1Y", "P1M", "PT-5S", "-PT70S", "pt70s", "", [], {}, "PT70S\n"],
)
def test_raw_minutes_and_whatever_is_no_duration_are_unusable(duration: Any) -> None:
    assert statement(duration) == Unusable("result.duration: not a duration in ISO 8601")


@pytest.mark.parametrize("result", [None, [], {}, {"duration": None}])
def test_a_statement_must_say_how_long(result: Any) -> None:
    assert statement(result=result) == Unusable("result.duration: missing")


@pytest.mark.parametrize(
    "changes", [{"verb": {"id": "http://adlnet.gov/expapi/verbs/completed"}}, {"object": {"id": "x"}}]
)
def test_another_statement_is_not_for_us(changes: dict[str, Any]) -> None:
    assert statement(**changes) == NotForUs("another statement than of a video")


def test_a_statement_is_one_event_whatever_id_its_store_gives_it() -> None:
    first = seen(statement()).event

    assert seen(statement(id="another")).event == first
    assert seen(statement("PT70S")).event != first
    assert seen(statement(timestamp="2026-07-01T12:31:14Z")).event != first


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b"A\tB\n1\t2\n", b"\xff", VIDEO.read_bytes()])
def test_what_is_neither_row_nor_statement_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
