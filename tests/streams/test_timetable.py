"""Who tapped in or joined attended the event that was on there."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.timetable import TimetabledEvent, TimetableError, read_event
from streams.timetable import EARLY, Timetable

NINE = datetime(2026, 10, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(name: str, start: datetime, hours: float = 1, venues: tuple[str, ...] = ("reader:r1",)) -> TimetabledEvent:
    return TimetabledEvent(event=name, start=start, end=start + hours * HOUR, venues=venues)


def table(*events: TimetabledEvent) -> Timetable:
    made = Timetable()
    for one in events:
        made.put(one.event, one)
    return made


@pytest.mark.parametrize(
    ("minutes", "found"),
    # 08:45            09:00                 09:45      10:00                 11:00
    #   |--- a begins ---|------- a -----------|--- b ----|-------- b ----------|
    [(-16, None), (-15, "a"), (0, "a"), (44, "a"), (45, "b"), (60, "b"), (120, "b"), (121, None)],
)
def test_the_event_that_is_on_or_about_to_begin(minutes: int, found: str | None) -> None:
    """Of two that follow each other it is the next one from a quarter of an hour before."""
    held = table(event("a", NINE), event("b", NINE + HOUR)).at("reader:r1", (NINE + minutes * HOUR / 60).timestamp())

    assert (held and held.event) == found


def test_another_place_is_another_event() -> None:
    made = table(event("a", NINE), event("b", NINE, venues=("reader:r2", "zoom:123")))

    assert [held and held.event for v in ("reader:r1", "zoom:123", "zoom:9") for held in [made.at(v, NINE.timestamp())]]
    assert made.knows("zoom:123")
    assert not made.knows("zoom:9")


def test_an_event_that_moves_or_is_cancelled_leaves_its_place() -> None:
    made = table(event("a", NINE))
    made.put("a", event("a", NINE + 3 * HOUR, venues=("reader:r2", "reader:r2")))
    assert made.at("reader:r1", NINE.timestamp()) is None
    assert not made.knows("reader:r1")

    made.put("a", None)
    made.put("never known", None)
    assert not made.knows("reader:r2")
    assert len(made) == 0


@given(
    st.lists(st.tuples(st.integers(0, 48), st.integers(1, 30), st.sampled_from(["reader:1", "reader:2"])), max_size=12),
    st.integers(-60, 60 * 60),
)
def test_it_is_the_one_that_a_plain_search_finds(events: list[tuple[int, int, str]], minute: int) -> None:
    made, when = Timetable(), (NINE + minute * HOUR / 60).timestamp()
    for number, (start, hours, venue) in enumerate(events):
        made.put(f"e{number:02}", event(f"e{number:02}", NINE + start * HOUR, hours, (venue,)))

    on = [
        (begins, ends, f"e{number:02}")
        for number, (start, hours, venue) in enumerate(events)
        if venue == "reader:1"
        and (begins := (NINE + start * HOUR).timestamp()) - EARLY <= when
        and (ends := begins + 3600.0 * min(hours, 24)) >= when
    ]
    assert made.at("reader:1", when) == (max(on) if on else None)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", "key: missing"),
        (b"\xff", b"{}", "key: not UTF-8"),
        (b"e1", b"{", "JSON"),
        (b"e1", b" " * 20_000, "value of 20000 bytes"),
        (b"e2", b'{"event":"e1","start":"2026-10-05T09:00:00Z","end":"2026-10-05T10:00:00Z"}', "not the record's key"),
        (b"e1", b'{"event":"e1","start":"2026-10-05T09:00:00","end":"2026-10-05T10:00:00Z"}', "start"),
        (b"e1", b'{"event":"e1","start":"2026-10-05T11:00:00Z","end":"2026-10-05T10:00:00Z"}', "breaks a rule"),
        (
            b"e1",
            b'{"event":"e1","start":"2026-10-05T09:00:00Z","end":"2026-10-05T10:00:00Z","venues":["room 1"]}',
            "venues",
        ),
    ],
)
def test_a_record_that_is_no_event_says_why(key: bytes | None, value: bytes, reason: str) -> None:
    with pytest.raises(TimetableError, match=reason):
        read_event(key, value)


def test_a_record_without_a_value_cancels() -> None:
    assert read_event(b"e1", None) is None
