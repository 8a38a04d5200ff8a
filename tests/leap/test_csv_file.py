"""A CSV file that somebody gives to a command, and what the command says of it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from leap.csv_file import Bad, Report, Row, rows
from leap.errors import CHECK_FAILED, OK, CommandError

COLUMNS = ("source", "key")


def read(tmp_path: Path, text: bytes) -> list[Row | Bad]:
    file = tmp_path / "file.csv"
    file.write_bytes(text)
    return list(rows(file, COLUMNS))


@pytest.mark.parametrize("header", [b"source,key", b"\xef\xbb\xbfSource , KEY\r"])
def test_columns_are_known_however_they_are_written(tmp_path: Path, header: bytes) -> None:
    assert read(tmp_path, header + b'\n moodle , 17 \n\n"a\nb",""\n') == [
        Row(2, ["moodle", "17"]),
        Row(5, ["a\nb", ""]),
    ]


def test_a_line_that_is_none_is_told_by_its_number_and_the_others_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, b'source,key\nmoodle\nmoodle,"1"7\nmoodle,1,7\nmoodle,17\n') == [
        Bad(2, "1 columns, not 2"),
        Bad(3, "not CSV: ',' expected after '\"'"),
        Bad(4, "3 columns, not 2"),
        Row(5, ["moodle", "17"]),
    ]


@pytest.mark.parametrize(
    ("text", "said"), [(b"", "the first line must be: source,key"), (b"key,source\n", "first line"), (b"\xff", "UTF-8")]
)
def test_another_file_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        read(tmp_path, text)
    with pytest.raises(CommandError, match="No such file"):
        list(rows(tmp_path / "none.csv", COLUMNS))


def test_a_report_counts_what_was_done_and_names_the_first_lines_that_were_not_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report(Path("cards.csv"), Counter(written=2, unchanged=0), lines=2)
    assert report.show(json=False) == OK
    assert capsys.readouterr().out == "2 lines: 2 written, 0 unchanged, 0 not taken\n"

    report.bad = [Bad(number, "key: empty") for number in range(2, 24)]
    assert report.show(json=False) == CHECK_FAILED
    said = capsys.readouterr().err.splitlines()
    assert (said[0], said[-2:]) == ("line 2: key: empty", ["line 21: key: empty", "and 2 more: --json names them all"])

    assert report.show(json=True) == CHECK_FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["lines"], found["written"], found["unchanged"]) == ("cards.csv", 2, 2, 0)
    assert found["bad"][21] == {"number": 23, "reason": "key: empty"}
