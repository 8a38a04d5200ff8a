"""Library loans: Alma's webhooks, rows of Jisc's ``borrowed`` file, and xAPI statements that somebody borrowed.

What was borrowed is a person's reading history: no title, no author and no kind of item leaves this adapter. Only print
items count; what says of itself that it is another thing does not. Alma's bodies may come inside the event of an API
gateway, where the body is a text.
"""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.forms import read_form
from streams.sources.reading import digest, identifier, instant, json_object, moment
from streams.sources.xapi import Statement, within

_BORROWED = "http://activitystrea.ms/schema/1.0/borrowed"
_SUBTYPE = "http://xapi.jisc.ac.uk/subType"
_NOT_PRINT = frozenset(
    {"audiobook", "cd", "dvd", "digital", "ebook", "ejournal", "electronic", "equipment", "key", "laptop", "online"}
    | {"streaming", "tablet", "video"}
)
"""Kinds of item as libraries name them, in small letters without hyphens, blanks and underscores."""

_JOINTS = str.maketrans("", "", "-_ ")


def read(raw: bytes, zone: ZoneInfo) -> Outcome:
    """Read one loan; ``zone``: of times without one."""
    return read_form(raw, lambda fields: _borrowed(fields, zone), _statement, _own)


def _own(body: dict[str, Any]) -> Outcome:
    if isinstance(wrapped := body.get("body"), str):
        inner = json_object(wrapped.encode())
        return inner if isinstance(inner, Unusable) else _alma(inner)
    if within(body, "queryStringParameters", "challenge") is not None:
        return NotForUs("validation of the webhook's address")
    return _alma(body)


def _alma(body: dict[str, Any]) -> Outcome:
    kind = within(body, "event", "value")
    if not isinstance(kind, str):
        return Unusable("event.value: no name")
    # A renewal carries the date of the loan that it renews, and so does a return.
    if kind != "LOAN_CREATED":
        return NotForUs("another event than a new loan")
    item = within(body, "item", "item_data", "physical_material_type", "value")
    if body.get("portfolio") or body.get("representation") or not _is_print(item):
        return NotForUs("not a print item")
    person, loan = identifier(within(body, "item_loan", "user_id")), identifier(within(body, "item_loan", "loan_id"))
    if person is None:
        return Unusable("item_loan.user_id: missing")
    if loan is None:
        return Unusable("item_loan.loan_id: missing")
    # `time` is when the webhook was sent, again at each try.
    at = instant(within(body, "item_loan", "loan_date"), "item_loan.loan_date")
    # `id` of the body is no event's own: all events of a loan have been seen with one.
    return at if isinstance(at, Unusable) else Seen(person, "library_loan", at, digest(loan, kind))


def _borrowed(fields: Mapping[str, str], zone: ZoneInfo) -> Outcome:
    for name in ("USERNAME", "ITEM_ID", "TIMESTAMP"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    if not _is_print(fields.get("ITEM_SUBTYPE")):
        return NotForUs("not a print item")
    person, item, at = fields["USERNAME"], fields["ITEM_ID"], moment(fields["TIMESTAMP"], zone, "TIMESTAMP")
    return (
        at
        if isinstance(at, Unusable)
        else Seen(person, "library_loan", at, digest("borrowed", person, item, f"{at:.0f}"))
    )


def _statement(found: Statement) -> Outcome:
    if found.verb != _BORROWED:
        return NotForUs("another statement than of a loan")
    if not _is_print(found.extensions.get(_SUBTYPE)):
        return NotForUs("not a print item")
    event = (found.id,) if found.id else ("borrowed", found.person, found.object_id, f"{found.at:.3f}")
    return Seen(found.person, "library_loan", found.at, digest(*event))


def _is_print(kind: Any) -> bool:
    """Whether an item may be a print item: what does not say so may. The kind is a word, or an IRI that ends in it."""
    if not isinstance(kind, str):
        return True
    word = kind.rstrip("/").rpartition("/")[2].lower()
    return word.translate(_JOINTS) not in _NOT_PRINT
