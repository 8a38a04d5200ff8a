"""A file is cut into its rows whatever stands in them and however its bytes arrive, and each row is read as it was written."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rows import FileError, Form, Ordinals, Row, Table, rows
from streams.sources import Unusable
from streams.sources.reading import row

DATA = Path(__file__).parents[1] / "data" / "jisc"
CELL = st.text(st.sampled_from('ab"é,\t \n\r'), max_size=6)
CUTS = st.lists(st.integers(1, 9), max_size=30)


def cut(form: Form, raw: bytes, sizes: Iterable[int] = ()) -> list[Row]:
    """Cut a file that arrives in pieces of these sizes, and the rest of it at once."""
    cutter = rows(form)
    found: list[Row] = []
    for size in sizes:
        found += cutter.feed(raw[:size])
        raw = raw[size:]
    return [*found, *cutter.feed(raw), *cutter.end()]


def values(form: Form, raw: bytes) -> list[bytes]:
    return [found.value for found in cut(form, raw)]


@given(
    st.lists(st.tuples(CELL, CELL), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
    CUTS,
)
def test_what_a_csv_writer_writes_is_read_back_row_by_row(
    table: list[tuple[str, str]], ending: str, tabs: bool, mark: bool, sizes: list[int]
) -> None:
    """Quotes, line breaks and delimiters in fields, every line ending, a byte order mark, any cuts of the stream."""
    form: Form = "tsv" if tabs else "csv"
    delimiter = "\t" if tabs else ","
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("one", "two"), *table])
    raw = text.getvalue().encode("utf-8-sig" if mark else "utf-8")

    found = cut(form, raw, sizes)

    assert found == cut(form, raw)
    read = [row(one.value, delimiter) for one in found]
    assert read == [{"one": first.strip(), "two": second.strip()} for first, second in table]


@given(st.binary(max_size=60) | st.text(st.sampled_from('a"\t\n\r{}[],\\'), max_size=40).map(str.encode), CUTS)
def test_any_bytes_are_cut_alike_however_they_arrive(raw: bytes, sizes: list[int]) -> None:
    for form in ("tsv", "csv", "json-lines", "json"):
        try:
            whole: list[Row] | str = cut(form, raw)
        except FileError as error:
            whole = str(error)
        try:
            pieces: list[Row] | str = cut(form, raw, sizes)
        except FileError as error:
            pieces = str(error)
        assert pieces == whole


def test_a_record_is_the_header_a_line_feed_and_the_row_as_it_stands() -> None:
    raw = b'\xef\xbb\xbfA\tB\r\n1\t"x\r\ny"\r\n\r\n 2 \t\xff\r\n'

    assert [one[:2] for one in cut("tsv", raw)] == [
        (2, b'\xef\xbb\xbfA\tB\n1\t"x\r\ny"'),
        (5, b"\xef\xbb\xbfA\tB\n 2 \t\xff"),
    ]


@pytest.mark.parametrize("spoilt", [b'"never closed,1', b'"closed" too early,1'])
def test_a_quote_that_is_wrong_spoils_its_own_line_only(spoilt: bytes) -> None:
    """Else one quotation mark in a title would swallow the rest of the file."""
    raw = b"A,B\n1,1\n" + spoilt + b'\n2,2\n3,"3"\n'

    found = cut("csv", raw)

    assert [one.value for one in found] == [b"A,B\n1,1", b"A,B\n" + spoilt, b"A,B\n2,2", b'A,B\n3,"3"']
    assert row(found[1].value, ",") == Unusable("row: quotes that do not match")
    assert [one.wrong for one in found] == [None, "quotes that do not match", None, None]


@pytest.mark.parametrize("text", ['"never closed', '"closed" too early'])
def test_between_tabs_such_a_quote_is_text(text: str) -> None:
    found = cut("tsv", f"A\tB\n1\t1\n{text}\t1\n2\t2\n".encode())

    assert [row(one.value) for one in found] == [{"A": "1", "B": "1"}, {"A": text, "B": "1"}, {"A": "2", "B": "2"}]
    assert [one.wrong for one in found] == [None, None, None]


def test_a_quote_that_is_never_closed_holds_no_more_than_a_row_may_be_large() -> None:
    raw = b'A\n"open\n' + b"x\n" * 600_000

    cutter = rows("csv")
    found = list(cutter.feed(raw))

    assert found[:2] == [(2, b'A\n"open', "quotes that do not match"), (3, b"A\nx", None)]
    assert len([*found, *cutter.end()]) == 600_001


@pytest.mark.parametrize("delimiter", [b"\t", b",", b";", b"|"])
def test_a_delimiter_that_nobody_names_is_what_the_header_has_most_of(delimiter: bytes) -> None:
    cutter = Table()

    found = [*cutter.feed(b'"A"|B\n1|"x\ny"\n'.replace(b"|", delimiter)), *cutter.end()]

    assert (cutter.header, len(found), found[0].wrong) == (b'"A"|B'.replace(b"|", delimiter), 1, None)


def test_quotes_in_the_middle_of_a_field_are_none() -> None:
    assert values("csv", b'A,B\n5" disk,x\ny,z\n') == [b'A,B\n5" disk,x', b"A,B\ny,z"]


@pytest.mark.parametrize("form", ["tsv", "csv", "json-lines"])
def test_utf_16_is_said(form: Form) -> None:
    """What a spreadsheet calls Unicode text."""
    with pytest.raises(FileError, match="UTF-16"):
        cut(form, "A\tB\n1\t2\n".encode("utf-16"))


@given(st.lists(st.dictionaries(CELL, CELL | st.lists(CELL) | st.dictionaries(CELL, CELL))), st.booleans(), CUTS)
def test_objects_of_an_array_or_one_after_the_other(objects: list[dict], indented: bool, sizes: list[int]) -> None:
    written = [json.dumps(one, indent=2 if indented else None, ensure_ascii=False).encode() for one in objects]
    array, stream = b"\xef\xbb\xbf [\n" + b" ,\n".join(written) + b"]\n", b"\n".join(written)

    for raw in (array, stream):
        found = cut("json", raw, sizes)
        assert [one.value for one in found] == written
        assert [raw.split(b"\n")[one.line - 1].strip()[:1] for one in found if raw is stream] == [b"{"] * len(found) * (
            raw is stream
        )
    if not indented:
        assert [one.value for one in cut("json-lines", stream, sizes)] == written


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'[{"a":1}', "line 1: a list that does not end"),
        (b'\n{"a":', "line 2: an object that does not end"),
        (b"[1, 2]", "line 1: neither a list"),
        (b'{"a":1},{"a":2}', "line 1: neither a list"),
        (b'[{"a":1}]\nmore', "line 2: neither a list"),
        (b"<html>", "line 1: neither a list"),
    ],
)
def test_what_is_no_json_of_ours_is_said_with_its_line(raw: bytes, said: str) -> None:
    with pytest.raises(FileError, match=said):
        cut("json", raw)


def test_ordinals_count_equal_rows() -> None:
    ordinals = Ordinals()

    assert [ordinals.of(value) for value in (b"a", b"b", b"a", b"a", b"b")] == [0, 0, 1, 2, 1]
    ordinals.close()


@pytest.mark.parametrize(
    ("name", "there_are", "spoilt"),
    [("attendance.tsv", 25, 0), ("forum_post.tsv", 9, 4), ("video.tsv", 9, 0)],
)
def test_real_exports(name: str, there_are: int, spoilt: int) -> None:
    """In the forum's, each row has words behind a quote that closed: none takes another one along. Four lack columns."""
    read = [row(value) for value in values("tsv", (DATA / name).read_bytes())]

    assert len(read) == there_are
    assert sum(isinstance(one, Unusable) for one in read) == spoilt
