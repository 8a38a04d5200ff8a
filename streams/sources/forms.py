"""The forms in which records of one source come: a row of its file, an xAPI statement, an object of its own."""

from collections.abc import Callable, Mapping
from typing import Any

from streams.sources import Outcome, Unusable
from streams.sources.reading import json_object, looks_like_json, row
from streams.sources.xapi import Statement, from_body


def read_form(
    raw: bytes,
    of_row: Callable[[Mapping[str, str]], Outcome],
    of_statement: Callable[[Statement], Outcome],
    of_own: Callable[[dict[str, Any]], Outcome] | None = None,
) -> Outcome:
    """Read a record by what takes its form; without ``of_own`` every JSON object must be a statement."""
    if not looks_like_json(raw):
        fields = row(raw)
        return fields if isinstance(fields, Unusable) else of_row(fields)
    body = json_object(raw)
    if isinstance(body, Unusable):
        return body
    if of_own is not None and "verb" not in body:
        return of_own(body)
    said = from_body(body)
    return said if isinstance(said, Unusable) else of_statement(said)
