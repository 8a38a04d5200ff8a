"""A timetable file, line by line."""

from pathlib import Path

import pytest

from leap.commands.timetable import _lines
from leap.csv_file import Bad
from leap.errors import CommandError
from schemas.timetable import TimetabledEvent

HEADER = "event,start,end,venues,mandatory\n"
GOOD = "CS101-L-01,2026-10-05T09:00+01:00,2026-10-05T10:00+01:00,reader:LTB 06; zoom:123 ,no\n"


def lines(tmp_path: Path, text: str) -> list[TimetabledEvent | Bad]:
    file = tmp_path / "timetable.csv"
    file.write_text(text, newline="")
    return list(_lines(file))


def test_a_line_is_an_event(tmp_path: Path) -> None:
    (event,) = lines(tmp_path, "\ufeff" + HEADER + GOOD)

    assert isinstance(event, TimetabledEvent)
    assert (event.event, event.venues, event.mandatory) == ("CS101-L-01", ("reader:LTB 06", "zoom:123"), False)
    assert event.start.isoformat() == "2026-10-05T09:00:00+01:00"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace(",no", ",perhaps"), "mandatory: neither yes nor no"),
        (GOOD.replace(",no", ""), "4 columns, not 5"),
        (GOOD.replace(",no", ",no,no"), "6 columns, not 5"),
        (GOOD.replace("+01:00,2026", ",2026"), "start: "),
        (GOOD.replace("T10:00", "T08:00"), "breaks a rule"),
        (GOOD.replace("reader:", "room "), "venues.0: "),
        (GOOD.replace("CS101-L-01", ""), "event: "),
    ],
)
def test_a_line_that_is_none_is_told_by_its_number_and_the_others_are_taken(
    tmp_path: Path, line: str, reason: str
) -> None:
    bad, good = lines(tmp_path, HEADER + line + GOOD)

    assert isinstance(bad, Bad)
    assert bad.number == 2
    assert reason in bad.reason
    assert isinstance(good, TimetabledEvent)


@pytest.mark.parametrize("text", ["", "start,end\n", b"\xff\xfe".decode("latin-1")])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandError, match="the first line must be"):
        lines(tmp_path, text)
    with pytest.raises(CommandError, match="No such file"):
        list(_lines(tmp_path / "none.csv"))
