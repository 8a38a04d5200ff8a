"""What `leap ingest` says of a file before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from leap.commands import ingest
from leap.errors import CHECK_FAILED, CONFIG, OK, USAGE
from leap.main import run
from schemas.rows import ORDINAL
from streams.sources import NotForUs, Options, Outcome, Seen, Source, Unusable
from streams.sources.reading import row
from streams.sources.registry import sources

ATTENDANCE = Path(__file__).parents[1] / "data" / "jisc" / "attendance.tsv"
EVENT = b'{"student":"s-17","activity":"tap_in","at":"2026-10-05T10:00:00Z","id":"%d"}'


def adapter(raw: bytes) -> Outcome:
    """Read a register of the shape that a sector hub exports; good enough for this page."""
    found = row(raw)
    if isinstance(found, Unusable):
        return found
    if found["EVENT_ATTENDED"] != "1":
        return NotForUs("an absence")
    return Seen(found["STUDENT_ID"], "tap_in", 0.0, found["EVENT_ID"])


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of tables."""
    monkeypatch.setenv("LEAP_SOURCES", '["register","events"]')
    known = sources(Options()) | {"register": Source(adapter)}
    monkeypatch.setattr(ingest, "installed", lambda _: known)


def dry_run(file: Path, source: str, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    code = run(["ingest", str(file), "--source", source, "--dry-run", "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_a_table_is_told_by_outcome(register: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = dry_run(ATTENDANCE, "register", capsys)

    assert (code, found["sent"], found["rows"], found["unusable"]) == (OK, 0, 25, {})
    assert (found["counted"], found["not_for_us"]) == ({"tap_in": 16}, {"an absence": 9})


def test_dates_that_cannot_be_cast_doubt_on_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ten rows have a month 13 or 14: days and months are exchanged, and so they are in the fifteen others."""
    monkeypatch.setenv("LEAP_SOURCES", '["tap-ins"]')
    said = "10 rows have dates that cannot be; the others may have day and month exchanged: check how the file writes dates"

    code, found = dry_run(ATTENDANCE, "tap-ins", capsys)
    assert (code, found["warnings"]) == (CHECK_FAILED, [said])
    run(["ingest", str(ATTENDANCE), "--source", "tap-ins", "--dry-run"])
    assert said in capsys.readouterr().err

    file = tmp_path / "good.tsv"
    file.write_bytes(b"".join(ATTENDANCE.read_bytes().splitlines(keepends=True)[:4]))
    code, found = dry_run(file, "tap-ins", capsys)
    assert (code, found["rows"], found["warnings"]) == (OK, 3, [])


def test_unusable_rows_are_named_by_their_line(
    register: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, first, *_ = ATTENDANCE.read_bytes().splitlines()
    file = tmp_path / "a register"
    file.write_bytes(b"\n".join([head, first, first + b"\tmore", b"", b"short", *[b"short"] * 30]))

    code, found = dry_run(file, "register", capsys, "--form", "tsv")

    assert (code, found["rows"]) == (CHECK_FAILED, 33)
    wrong = {"row: not as many fields as the header has": {"rows": 32, "lines": [3, *range(5, 24)]}}
    assert found["unusable"] == wrong, "the first twenty lines of each reason"
    assert run(["ingest", str(file), "--source", "register", "--dry-run", "--form", "tsv"]) == CHECK_FAILED
    assert "5, 6, 7" in capsys.readouterr().out
    assert run(["ingest", str(file), "--source", "register", "--dry-run"]) == USAGE
    assert "--form tsv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("events.jsonl", b"\n\n".join([EVENT % 1, EVENT % 2, EVENT % 1])),
        ("events.json", b"[" + b",".join([EVENT % 1, EVENT % 2, EVENT % 1]) + b"]"),
    ],
)
def test_objects_are_told_by_outcome(
    name: str, text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_bytes(text)

    code, found = dry_run(file, "events", capsys)

    assert (code, found["counted"]) == (OK, {"tap_in": 3})


def test_a_file_that_is_cut_off_is_said_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events.json"
    file.write_bytes(b"[\n" + EVENT % 1 + b',\n{"student":"s-17')

    assert run(["ingest", str(file), "--source", "events", "--dry-run"]) == CHECK_FAILED
    text = " ".join(capsys.readouterr().err.split())
    assert "line 3: an object that does not end" in text
    assert "s-17" not in text


REPORT = b"Time,Event name,Description\n%s,User has logged in,The user with id '23' has logged in.\n"


def test_rows_are_read_as_the_institution_has_set_its_systems_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logs.csv"
    file.write_bytes(REPORT % b"05.10.2026 11:15")
    monkeypatch.setenv("LEAP_SOURCES", '["moodle"]')

    code, found = dry_run(file, "moodle", capsys)
    assert (code, [*found["unusable"]]) == (CHECK_FAILED, ["Time: not a time in the form %d/%m/%y, %H:%M"])

    monkeypatch.setenv("LEAP_MOODLE_DATES", "%d.%m.%Y %H:%M")
    code, found = dry_run(file, "moodle", capsys)
    assert (code, found["counted"]) == (OK, {"moodle_login": 1})

    monkeypatch.setenv("LEAP_POLICIES", str(tmp_path / "none"))
    assert run(["ingest", str(file), "--source", "moodle", "--dry-run"]) == CONFIG
    assert "none: cannot be read" in " ".join(capsys.readouterr().err.split())


def test_equal_rows_of_a_table_are_numbered_and_objects_are_not(tmp_path: Path) -> None:
    """An object says itself which event it is: sent twice, it is one."""
    table, objects = tmp_path / "rows.tsv", tmp_path / "rows.jsonl"
    table.write_bytes(b"A\n1\n2\r\n1\n")
    objects.write_bytes(b'{"a":1}\n{"a":1}')

    def sent(file: Path, form: Any) -> list[Any]:
        return list(ingest.messages(file, form, ingest.Report(adapter), lambda _: None))

    assert sent(table, "tsv") == [
        (None, b"A\n1", [(ORDINAL, b"0")]),
        (None, b"A\n2", [(ORDINAL, b"0")]),
        (None, b"A\n1", [(ORDINAL, b"1")]),
    ]
    assert sent(objects, "json-lines") == [(None, b'{"a":1}', [])] * 2
