"""Files, cut into the records that their rows become, while they are read: what is held is a row, not the file.

A row of a table becomes the file's header line, a line feed and the row, byte for byte: a file of one row, which an
adapter reads by :func:`streams.sources.reading.row`. A row ends where that function's CSV ends it: at any line ending
that stands in no quotes. A quote that is never closed, or closed in the middle of a field, spoils its own line only: it
becomes a row by itself, which is unusable, and the rows after it are rows again.

A JSON object becomes itself.
"""

import hashlib
import re
import sqlite3
from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from schemas.topics import LARGEST_SOURCE_BYTES

Form = Literal["tsv", "csv", "json-lines", "json"]

_LONGEST_ROW = 1024 * 1024
"""Bytes after which quotes that are still open are taken for quotes that nobody closes: no larger row is usable."""

_DELIMITERS = (b"\t", b",", b";", b"|")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_BLANK_BYTES = frozenset((b" ", b"\t", b"\r", *(_BYTE_ORDER_MARK[i : i + 1] for i in range(3))))


class FileError(Exception):
    """A file cannot be cut into rows; the message has the line and the reason, and never what stands there."""


class Row(NamedTuple):
    """What becomes a record.

    ``line``: where it begins in the file, from 1. ``wrong``: why it is no row, if it is none.
    """

    line: int
    value: bytes
    wrong: str | None = None


class Rows(Protocol):
    """Cuts a file. All of it raises :class:`FileError`."""

    def feed(self, chunk: bytes) -> Iterator[Row]:
        """Take the next bytes of the file, however they are cut; yields the rows that are complete with them."""

    def end(self) -> Iterator[Row]:
        """Yield what is left when the file is at its end."""


def rows(form: Form) -> Rows:
    """Return what cuts a file of a form. ``json``: one array of objects, or objects one after the other."""
    if form == "json":
        return Objects()
    return Lines() if form == "json-lines" else Table(b"\t" if form == "tsv" else b",")


class Lines:
    """Every line that is not blank is a row: JSON lines."""

    def __init__(self) -> None:
        """Begin at the first line."""
        self._rest: bytes | None = None
        self._line = 0

    def feed(self, chunk: bytes) -> Iterator[Row]:
        """Take the next bytes of the file."""
        held = chunk if self._rest is None else self._rest + chunk
        if not self._line and held.startswith(_UTF_16):
            raise FileError("line 1: UTF-16; save the file as UTF-8")
        lines = held.splitlines(keepends=True)
        # A line may go on, and a carriage return may be half of a line ending.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._rest) > LARGEST_SOURCE_BYTES:
            raise FileError(f"line {self._line + 1}: longer than {LARGEST_SOURCE_BYTES} bytes")
        for line in lines:
            self._line += 1
            yield from self._take(line)

    def end(self) -> Iterator[Row]:
        """Yield what is left."""
        rest, self._rest = self._rest, b""
        if rest:
            self._line += 1
            yield from self._take(rest)

    def _take(self, line: bytes) -> Iterator[Row]:
        value = line.removeprefix(_BYTE_ORDER_MARK).strip(_BLANK) if self._line == 1 else line.strip(_BLANK)
        if value:
            yield Row(self._line, value)


class Table(Lines):
    """CSV: a header line and rows; a line that is empty is no row."""

    def __init__(self, delimiter: bytes | None = None) -> None:
        """Take the byte that stands between fields; if nobody knows, it is what the header has most of."""
        super().__init__()
        self._delimiter = delimiter
        self.header: bytes | None = None
        self._open: list[tuple[int, bytes]] = []
        self._size = 0

    def end(self) -> Iterator[Row]:
        """Yield what is left."""
        yield from super().end()
        while self._open:
            yield from self._first_alone()

    def _take(self, line: bytes, number: int | None = None) -> Iterator[Row]:
        """Add a line to the row that is open, and yield the row if it is complete with it."""
        self._open.append((number or self._line, line))
        self._size += len(line)
        closed = self._closed(line.rstrip(b"\r\n"), inside=len(self._open) > 1)
        if closed:
            yield from self._row(self._open[0][0], b"".join(line for _, line in self._open))
            self._open, self._size = [], 0
        elif closed is None or self._size > _LONGEST_ROW:
            yield from self._first_alone()

    def _first_alone(self) -> Iterator[Row]:
        """Take the first line of what is open for a row by itself, and the others as if it had not been there."""
        (number, line), others = self._open[0], deque(self._open[1:])
        self._open, self._size = [], 0
        # Between tabs a quote may be text; between commas it may hide one.
        yield from self._row(number, line, None if self._delimiter == b"\t" else "quotes that do not match")
        while others:
            number, line = others.popleft()
            yield from self._take(line, number)

    def _row(self, line: int, raw: bytes, wrong: str | None = None) -> Iterator[Row]:
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if not raw:
            return
        if self.header is None:
            self.header = raw
            self._delimiter = self._delimiter or max(_DELIMITERS, key=raw.count)
        elif len(self.header) + len(raw) > LARGEST_SOURCE_BYTES:
            raise FileError(f"line {line}: a row of more than {LARGEST_SOURCE_BYTES} bytes")
        else:
            yield Row(line, self.header + b"\n" + raw, wrong)

    def _closed(self, text: bytes, *, inside: bool) -> bool | None:
        """Say whether a row may end with this line; None if a quote is where none may be.

        ``inside``: the line begins within quotes.
        """
        if not inside and b'"' not in text:
            return True
        delimiter = self._delimiter or max(_DELIMITERS, key=text.count)  # a header's own line
        at = 0
        while True:
            if inside:
                quote = text.find(b'"', at)
                if quote < 0:
                    return False
                following = text[quote + 1 : quote + 2]
                at = quote + 2
                if following == b"":
                    return True
                if following == delimiter:
                    inside = False
                elif following != b'"':
                    return None
            elif text.startswith(b'"', at):
                inside, at = True, at + 1
            else:
                end = text.find(delimiter, at)
                if end < 0:
                    return True
                at = end + 1


class Objects:
    """JSON: one array of objects, or objects one after the other, however they are laid out."""

    def __init__(self) -> None:
        """Begin before the first object."""
        self._held = b""
        self._at = 0  # where to go on in what is held
        self._line = 1
        self._depth = 0
        self._in_string = self._in_array = False
        self._may_begin = True

    def feed(self, chunk: bytes) -> Iterator[Row]:
        """Take the next bytes of the file."""
        held, at, start = self._held + chunk, self._at, 0
        while at < len(held):
            if not self._depth:
                start = at
                self._between(held[at : at + 1])
                at += 1
                continue
            found = (_IN_STRING if self._in_string else _IN_OBJECT).search(held, at)
            if found is None:
                at = len(held)
                break
            at = found.end()
            self._inside(found[0])
            if found[0] == b"\\":
                at += 1  # what is escaped may be a quote
            elif not self._depth:
                yield Row(self._line, held[start:at])
                self._line += held.count(b"\n", start, at)
        self._held = held[start:] if self._depth else b""
        self._at = at - start if self._depth else 0
        if len(self._held) > LARGEST_SOURCE_BYTES:
            raise FileError(f"line {self._line}: an object of more than {LARGEST_SOURCE_BYTES} bytes")

    def end(self) -> Iterator[Row]:
        """Check that nothing is missing."""
        if self._depth or self._in_array:
            raise FileError(f"line {self._line}: {'an object' if self._depth else 'a list'} that does not end")
        yield from ()

    def _inside(self, byte: bytes) -> None:
        """Take a byte of an object's structure."""
        if byte == b'"':
            self._in_string = not self._in_string
        elif byte in {b"{", b"["}:
            self._depth += 1
        elif byte in {b"}", b"]"}:
            self._depth -= 1

    def _between(self, byte: bytes) -> None:
        """Take a byte before, between or after objects."""
        if byte == b"{" and self._may_begin:
            self._depth, self._may_begin = 1, not self._in_array
        elif byte == b"[" and self._may_begin and not self._in_array:
            self._in_array = True
        elif byte == b"," and self._in_array and not self._may_begin:
            self._may_begin = True
        elif byte == b"]" and self._in_array:
            self._in_array = self._may_begin = False
        elif byte == b"\n":
            self._line += 1
        elif byte not in _BLANK_BYTES:
            raise FileError(f"line {self._line}: neither a list of JSON objects nor one object after the other")


class Ordinals:
    """How many rows before this one are equal to it.

    Kept in a database of SQLite that has no name: in memory up to a bound, beyond it in a file that goes with the
    process. Rows are told apart by 64 bits of a hash.
    """

    def __init__(self) -> None:
        """Know no row."""
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY, times INTEGER NOT NULL)")
        self._rows.execute("BEGIN")

    def of(self, value: bytes) -> int:
        """Return a row's ordinal, from 0."""
        digest = int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little", signed=True)
        (times,) = self._rows.execute(_COUNT, (digest,)).fetchone()
        return int(times)

    def close(self) -> None:
        """Forget everything."""
        self._rows.close()


_IN_STRING = re.compile(rb'["\\]')
_IN_OBJECT = re.compile(rb'["{}\[\]]')
_CACHE_KIB = 64 * 1024
_COUNT = "INSERT INTO seen VALUES (?, 0) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
