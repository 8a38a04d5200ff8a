"""What adapters have in common: JSON objects, files of one row, times. Each gives a value or what is wrong."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from schemas.decoding import decoder
from schemas.reasons import why
from streams.sources import Unusable

_decode = decoder(dict[str, Any])


def json_object(raw: bytes) -> dict[str, Any] | Unusable:
    """Read a JSON object."""
    try:
        return _decode(raw)
    except msgspec.DecodeError as error:
        # Without the place in the record: reasons are counted.
        return Unusable(why(error).partition(" (byte ")[0])


def looks_like_json(raw: bytes) -> bool:
    """Whether a record is meant to be a JSON object, rather than a file's header line and row."""
    return raw.lstrip()[:1] == b"{"


def identifier(value: Any) -> str | None:
    """Return an id as text: one system's writers give the same id as a number or as a text. None: there is none."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def row(raw: bytes, delimiter: str = "\t") -> Mapping[str, str] | Unusable:
    """Read a file of one row: the header line and the row; any line ending, with or without a byte order mark.

    A row that has not as many fields as the header is unusable: to shift columns is to make things up. Quotes that do
    not go around a whole field are text between tabs, and unusable between commas, where they may hide one.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Unusable("not UTF-8")
    lines = _lines(text, delimiter, csv.QUOTE_MINIMAL)
    if lines is None and delimiter == "\t":
        lines = _lines(text, delimiter, csv.QUOTE_NONE)
    if lines is None:
        return Unusable("row: quotes that do not match")
    if len(lines) != 2:
        return Unusable("not a header line and one row")
    names, fields = lines
    if len(names) != len(fields):
        return Unusable("row: not as many fields as the header has")
    return dict(zip(map(str.strip, names), map(str.strip, fields), strict=True))


def _lines(text: str, delimiter: str, quoting: Literal[0, 3]) -> list[list[str]] | None:
    """Return the fields of every line; None: they are not to be had with this way of quoting."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, quoting=quoting)
    try:
        return [line for line in reader if line]
    except csv.Error:
        return None


def digest(*parts: object) -> str:
    """Return a short hash of what makes an event one, where that is nobody's business: who, or what it is called."""
    return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def instant(text: Any, place: str) -> float | Unusable:
    """Read an ISO 8601 time with a zone; seconds since 1970. Fractions beyond a microsecond are cut off."""
    if not isinstance(text, str):
        return Unusable(f"{place}: no time")
    found = _iso(text)
    if found is None:
        return _no_date(place, "not a time in ISO 8601", exchanged=_iso_exchanged(text))
    if found.tzinfo is None:
        return Unusable(f"{place}: a time without a zone")
    return found.timestamp()


def moment(text: Any, zone: ZoneInfo, place: str) -> float | Unusable:
    """Read an ISO 8601 time or date; seconds since 1970. Without a zone it is of ``zone``; a date counts at noon.

    When clocks go back, an hour comes twice: the first of them is taken.
    """
    if not isinstance(text, str) or not text:
        return Unusable(f"{place}: no time")
    try:
        found: datetime | None = datetime.combine(date.fromisoformat(text), time(12))
    except ValueError:
        found = _iso(text)
    if found is None:
        return _no_date(place, "not a date or time in ISO 8601", exchanged=_iso_exchanged(text))
    return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).timestamp()


def local(text: str, form: str, zone: ZoneInfo, place: str) -> float | Unusable:
    """Read a time without a zone in a form of ``strptime``; seconds since 1970.

    When clocks go back, an hour comes twice: the first of them is taken.
    """
    try:
        found = _in_form(text, form)
        if found is not None:
            return found.replace(tzinfo=zone).timestamp()
    except OverflowError:
        pass
    other = _DAY_OR_MONTH.sub(lambda part: _OTHER.get(part[0], part[0]), form)
    return _no_date(place, f"not a time in the form {form}", exchanged=_in_form(text, other) is not None)


_ISO_DATE = re.compile(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_DAY_OR_MONTH = re.compile("%.", re.DOTALL)
_OTHER = {"%d": "%m", "%m": "%d"}


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _in_form(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - whoever asks gives it a zone
    except ValueError:
        return None


def _iso_exchanged(text: str) -> bool:
    return _iso(_ISO_DATE.sub(r"\1\2\4\2\3", text, count=1)) is not None


def _no_date(place: str, reason: str, *, exchanged: bool) -> Unusable:
    return Unusable(
        f"{place}: a date only if day and month are exchanged" if exchanged else f"{place}: {reason}", exchanged
    )
