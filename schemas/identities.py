"""Identities (``leap.identities``, compacted): which student a source's own key belongs to, and on which days.

Each record is a claim. Its key is ``<source>/<hash>/<from>/<student>``: the source system, the keyed hash of its key
for the person (16 hexadecimal digits; the key itself is nowhere), the first day (empty: since ever), and the student,
so that the claims of two students on one key never replace one another. A record without a value withdraws the claim.

Of two claims on one key and day the older one holds. ``claimed`` says which that is, and not the place on the topic,
of which compaction leaves only the last record a key (docs/decisions/0009-identities.md).
"""

import re
from datetime import date
from typing import Annotated, NamedTuple

import msgspec
from pydantic import TypeAdapter, ValidationError

from schemas.decoding import decoder
from schemas.reasons import why
from schemas.students import StudentId

VERSION = 1
FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2099, 12, 31)

_SOURCE = re.compile(r"[a-zA-Z0-9._-]{1,200}")
_HASH = re.compile(r"[0-9a-f]{16}")
_STUDENT = TypeAdapter(StudentId)
_LARGEST = 1024


class IdentityError(ValueError):
    """A record is no claim; the message says why, without quoting it."""


class Claim(NamedTuple):
    """What a record's key says: ``student`` has the key hashed to ``hash`` at ``source`` since ``first``."""

    source: str
    hash: int
    first: date | None
    student: str

    def key(self) -> bytes:
        """Return the record's key."""
        first = "" if self.first is None else self.first.isoformat()
        return f"{self.source}/{self.hash:016x}/{first}/{self.student}".encode()


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record's value: until when a claim holds (that day included; None: for ever), and since when it is claimed.

    ``claimed``: seconds since 1970. Whoever writes a claim again keeps it, and lets it grow over nobody else's days.
    """

    version: int
    claimed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
    last: Annotated[date | None, msgspec.Meta(description="the last day; null: for ever")] = msgspec.field(
        name="to", default=None
    )


encode = msgspec.json.Encoder().encode
"""Terms to a record's value."""

_decode = decoder(Terms)


def read(key: bytes | None, value: bytes | None) -> tuple[Claim, Terms | None]:
    """Return what a record says: a claim and its terms, or a claim and None: it is withdrawn.

    Raises:
        IdentityError: it cannot be used.
    """
    claim = _claim(key)
    if value is None:
        return claim, None
    if len(value) > _LARGEST:
        raise IdentityError(f"value of {len(value)} bytes: at most {_LARGEST}")
    try:
        terms = _decode(value)
    except msgspec.DecodeError as error:
        raise IdentityError(why(error)) from None
    if terms.version != VERSION:
        raise IdentityError("version: not known to this release")
    check_days(claim.first, terms.last)
    return claim, terms


def check_days(first: date | None, last: date | None) -> None:
    """Check the days of a claim.

    Raises:
        IdentityError: one is not in 1990 to 2099, or they are in the wrong order.
    """
    for name, day in (("from", first), ("to", last)):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise IdentityError(f"{name}: not in 1990 to 2099")
    if first is not None and last is not None and last < first:
        raise IdentityError("to: before from")


def check_student(student: str) -> None:
    """Check a student's id.

    Raises:
        IdentityError: it is none.
    """
    try:
        _STUDENT.validate_python(student)
    except ValidationError as error:
        raise IdentityError(f"student: {why(error)}") from None


def _claim(key: bytes | None) -> Claim:
    try:
        source, digest, first, student = (key or b"").decode().split("/", 3)
    except ValueError:
        raise IdentityError("key: not <source>/<hash>/<from>/<student>") from None
    if not _SOURCE.fullmatch(source) or not _HASH.fullmatch(digest):
        raise IdentityError("key: no source, or no hash")
    try:
        since = date.fromisoformat(first) if first else None
    except ValueError:
        raise IdentityError("key: from is not a date") from None
    if since is not None and since.isoformat() != first:
        raise IdentityError("key: from is not in the form of 2026-10-05")
    check_student(student)
    check_days(since, None)
    return Claim(source, int(digest, 16), since, student)
