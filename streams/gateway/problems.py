"""What a caller did wrong, or what we cannot do now, as RFC 9457 says it: the place and the reason, never a value."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

RETRY_AFTER = 10
"""Seconds after which a sender should try again what Kafka did not take."""


class ProblemError(Exception):
    """An answer that is no success.

    ``place``: where in the request; ``reason``: what is wrong there, without quoting it.
    """

    def __init__(
        self, status: int, reason: str, place: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take the status, the reason, and the place in the request."""
        super().__init__(reason)
        self.status, self.reason, self.place, self.headers = status, reason, place, headers

    def answer(self) -> Response:
        """Return it as a response."""
        body: dict[str, Any] = {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.reason}
        if self.place:
            body["place"] = self.place
        return JSONResponse(body, self.status, self.headers, "application/problem+json")


def unavailable() -> ProblemError:
    """Return what a sender is told while Kafka does not take records."""
    return ProblemError(
        503, "not stored: try again, a repeat is not counted twice", headers={"Retry-After": str(RETRY_AFTER)}
    )


def install(app: FastAPI) -> None:
    """Have every failure of an app answered as a problem."""

    @app.exception_handler(ProblemError)
    async def problem(_: Request, error: ProblemError) -> Response:
        return error.answer()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return ProblemError(
            error.status_code, HTTPStatus(error.status_code).description, headers=error.headers
        ).answer()

    @app.exception_handler(RequestValidationError)
    async def parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        # The place may end in a name of the caller's own; the two before it are ours.
        return ProblemError(400, str(first["msg"]), ".".join(map(str, first["loc"][:2]))).answer()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    @app.exception_handler(Exception)
    async def ours(_: Request, __: Exception) -> Response:
        return ProblemError(500, "our mistake").answer()


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong"},
        "place": {"type": "string", "description": "where in the request"},
    },
    "required": ["title", "status", "detail"],
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the failures of an endpoint: these, and those that every endpoint has."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 400, 401, 408, 413, 415, 429, 503}):
        said = HTTPStatus(status)
        example = {"title": said.phrase, "status": status, "detail": said.description or said.phrase}
        found[status] = {
            "description": said.phrase,
            "content": {"application/problem+json": {"schema": SCHEMA, "example": example}},
        }
        if status in {429, 503}:
            found[status]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found
