import io

import pytest
from rich.console import Console

from leap.demo.board import Board
from leap.demo.picture import Picture


def drawn(width: int, height: int, picture: Picture) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(Board(picture, "Europe/London", (7, 14)))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def full() -> Picture:
    picture = Picture(students=60, rows=1000, days=13, phase="Monday", now=1_790_900_000.0, day=7, sent=500)
    for number in range(50):
        band = ("very_low", "low", "partial", "good", "high")[number % 5]
        student = str(2_000_000 + number)
        picture.rating({"student": student, "version": 1, "rating": band, "score": 12.3, "cause": "late_activity"})
        named = {"student": student, "alert": "no_activity_2.2026-10-02", "kind": "no_activity"}
        picture.alert({**named, "version": 1, "state": "opened", "opened_for": "2026-10-02"})
    picture.latency = (0.034, 1.25)
    picture.rates.extend([1.0, 1500.0])
    return picture


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_board_fits_the_terminal_and_names_every_rating(width: int, height: int) -> None:
    lines = drawn(width, height, full())

    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for name in ("High", "Good", "Partial", "Low", "Very low", "Not rated", "No activity, 14 days", "2000049"):
        assert name in text
    assert "p50 34 ms  p99 1.2 s" in text
    assert "500 of 1,000 activities" in text
    assert "decides nothing" in text


def test_the_board_can_be_drawn_before_anything_happened() -> None:
    assert drawn(80, 24, Picture(students=0, rows=0, days=0))
