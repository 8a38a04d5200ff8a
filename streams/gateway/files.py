"""Files of slow feeds: a row becomes a record, and the answer says of every row that is of no use why.

Such a row is stored with the others and ends in the dead letters: a sender that does not read the answer loses nothing.
Rows are stored while the file comes, so a failure leaves some of them stored. The file is then sent again: equal rows
have their ordinals, so none counts twice.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from schemas.rows import ordinal
from streams.gateway import limits
from streams.gateway.entrance import Entrance, media_type
from streams.gateway.problems import ProblemError, responses
from streams.producer import Message
from streams.rows import FileError, Form, Ordinals, Row, rows
from streams.sources import Unusable, warnings

FORMS: dict[str, Form] = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "json-lines",
    "application/json": "json",
}
_EXAMPLES = {"tsv": "STUDENT_ID\tEVENT_ID\n28400\tCS101-1\n", "csv": "STUDENT_ID,EVENT_ID\n28400,CS101-1\n"}
_BLOCK = 500
_MOST_NAMED = 1000


class Rejected(BaseModel):
    """A row that is of no use."""

    line: int = Field(description="where in the file it begins; the first line is 1")
    reason: str


class Report(BaseModel):
    """What became of a file, all of whose rows are stored."""

    source: str
    accepted: int = Field(description="rows that can be used")
    rejected: int = Field(description="rows that cannot, and end in the dead letters")
    reasons: list[Rejected] = Field(description=f"why not, of the first {_MOST_NAMED}")
    warnings: list[str] = Field(description="why those that can be used may be wrong all the same")


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoint."""
    routes = APIRouter(tags=["files"])
    content: dict[str, Any] = {
        kind: {"schema": {"type": "string"}, "example": _EXAMPLES.get(form, '{"student": "28400"}\n')}
        for kind, form in FORMS.items()
    }

    @routes.post(
        "/files/{source}",
        summary="Take a file of rows",
        responses=responses(403),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def file(source: str, request: Request) -> Report:
        """The first line of a table names its columns. Sent again after a failure, no row counts twice."""
        who = entrance.known(request)
        if who.source != source:
            raise ProblemError(403, "this credential belongs to another source", "path source")
        form = FORMS.get(media_type(request))
        if form is None:
            raise ProblemError(415, f"one of {', '.join(FORMS)} is taken here", "header Content-Type")
        report, exchanged = Report(source=source, accepted=0, rejected=0, reasons=[], warnings=[]), 0
        block: list[Message] = []
        with contextlib.closing(Ordinals()) as ordinals:
            async for row in _rows(entrance, request, form):
                exchanged += _judge(entrance, report, row)
                # An object has an id of its own, or its adapter makes one: sent twice, it is still one event.
                headers = [ordinal(ordinals.of(row.value))] if form in {"csv", "tsv"} else []
                block.append((None, row.value, headers))
                if len(block) >= _BLOCK:
                    await entrance.deliver(source, block)
                    block = []
        if block:
            await entrance.deliver(source, block)
        report.warnings = warnings(exchanged)
        return report

    return routes


async def _rows(entrance: Entrance, request: Request, form: Form) -> AsyncIterator[Row]:
    cutter = rows(form)
    try:
        async for chunk in limits.stream(request, entrance.file_bytes):
            for row in cutter.feed(chunk):
                yield row
        for row in cutter.end():
            yield row
    except FileError as error:
        raise ProblemError(400, str(error), "body") from error


def _judge(entrance: Entrance, report: Report, row: Row) -> bool:
    """Count a row by what its source's adapter makes of it, which may use one whose quotes do not match.

    Returns whether its date would be one with day and month exchanged.
    """
    adapter, wrong = entrance.adapters.get(report.source), row.wrong and Unusable(row.wrong)
    if adapter is not None:
        outcome = adapter.read(row.value)
        wrong = outcome if isinstance(outcome, Unusable) else None
    if not wrong:
        report.accepted += 1
        return False
    report.rejected += 1
    if len(report.reasons) < _MOST_NAMED:
        report.reasons.append(Rejected(line=row.line, reason=wrong.reason))
    return wrong.exchanged
