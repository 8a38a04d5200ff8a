"""The statements resource of xAPI: statements are taken, singly and in batches; a statement becomes a record.

A record is the statement's bytes as they came. Where it has no id or no time, the standard has the receiver add them:
they are put in front, and the id is made of the bytes, so that a repeat of the same statement has the same.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from schemas.cloudevents import iso
from schemas.decoding import decoder
from schemas.reasons import why
from streams.gateway import statements
from streams.gateway.direct import Direct
from streams.gateway.entrance import Entrance, json_wanted
from streams.gateway.problems import ProblemError, responses

_HEADER = "X-Experience-API-Version"
_IDS = uuid.UUID("5f0f3f0e-6d3a-5d0c-9d3b-0d6a7f5c1e52")
_decode_list = decoder(list[msgspec.Raw])
_decode_statement = decoder(dict[str, Any])

_EXAMPLE = {
    "id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee",
    "actor": {"account": {"homePage": "https://moodle.example.org", "name": "28400"}},
    "verb": {"id": "http://id.tincanapi.com/verb/viewed"},
    "object": {"id": "https://moodle.example.org/course/view.php?id=7"},
    "timestamp": "2026-10-05T09:00:00Z",
}
_VERSION: dict[str, Any] = {
    "name": _HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": r"^(1\.0|2\.0)(\.[0-9]+)?$"},
    "example": "2.0.0",
}
_ID: dict[str, Any] = {
    "name": "statementId",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "example": _EXAMPLE["id"],
}
_STATEMENT: dict[str, Any] = {
    "type": "object",
    "required": ["actor", "verb", "object"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "actor": {"type": "object"},
        "verb": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "iri"}}},
        "object": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoints."""
    routes = APIRouter(tags=["xAPI"], prefix="/xapi", route_class=Direct)

    @routes.post(
        "/statements",
        summary="Take one statement, or a list of them",
        responses={
            200: {
                "description": "Kafka has them; their ids, in order",
                "content": {
                    "application/json": {
                        "schema": {"type": "array", "items": {"type": "string", "format": "uuid"}},
                        "example": [_EXAMPLE["id"]],
                    }
                },
            },
            **responses(),
        },
        openapi_extra={
            "parameters": [_VERSION],
            **_body({"oneOf": [_STATEMENT, {"type": "array", "items": _STATEMENT}]}),
        },
    )
    async def post(request: Request) -> Response:
        """All or none are taken; their source is that of the credential. A repeat of an id does not count again."""
        who = entrance.known(request)
        answered = {_HEADER: statements.version(request.headers.get(_HEADER))}
        json_wanted(request)
        body = await entrance.body(request)
        many = body.lstrip()[:1] == b"["
        raw = _read(body) if many else [body.strip()]
        ids, records = _records(raw, entrance.now(), many=many)
        await entrance.deliver(who.source, [(None, record, []) for record in records])
        return JSONResponse(ids, headers=answered)

    @routes.put(
        "/statements",
        summary="Take one statement under its id",
        status_code=204,
        responses=responses(),
        openapi_extra={"parameters": [_VERSION, _ID], **_body(_STATEMENT)},
    )
    async def put(request: Request) -> Response:
        """The id in the address is that of the statement, which need not repeat it."""
        who = entrance.known(request)
        answered = {_HEADER: statements.version(request.headers.get(_HEADER))}
        json_wanted(request)
        statement_id = request.query_params.get("statementId")
        if statement_id is None:
            raise ProblemError(400, "is missing", "query statementId")
        if not statements.is_uuid(statement_id):
            raise ProblemError(400, "not a UUID", "query statementId")
        _, (record,) = _records([(await entrance.body(request)).strip()], entrance.now(), given=statement_id)
        await entrance.deliver(who.source, [(None, record, [])])
        return Response(status_code=204, headers=answered)

    return routes


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": _EXAMPLE}}
    return {"requestBody": {"required": True, "content": content}}


def _read(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _decode_list(body)]
    except msgspec.DecodeError as error:
        raise ProblemError(400, why(error), "body") from error


def _records(
    raw: Sequence[bytes], now: float, *, given: str | None = None, many: bool = False
) -> tuple[list[str], list[bytes]]:
    """Check statements; return their ids and records. ``given``: the id that the address has."""
    ids: list[str] = []
    records: list[bytes] = []
    equal: Counter[bytes] = Counter()
    for number, text in enumerate(raw):
        place = f"[{number}]." if many else ""
        try:
            statement = _decode_statement(text)
        except msgspec.DecodeError as error:
            raise ProblemError(400, why(error), place.rstrip(".") or "body") from error
        statements.check(statement, place)
        added = {}
        if (own := statement.get("id")) is None:
            own = added["id"] = given or _made_of(text, equal[text], timed="timestamp" in statement)
            equal[text] += 1
        elif given is not None and own.lower() != given.lower():
            raise ProblemError(400, "not the one in the address", "id")
        if "timestamp" not in statement:
            added["timestamp"] = iso(now)
        ids.append(own)
        records.append(_with(added, text))
    if len({own.lower() for own in ids}) < len(ids):
        raise ProblemError(400, "two statements have the same id", "id")
    return ids, records


def _made_of(text: bytes, ordinal: int, *, timed: bool) -> str:
    """Return the id of a statement without one. Without a time either, nothing tells a repeat from another one."""
    return str(uuid.uuid5(_IDS, f"{ordinal}:{text.decode()}") if timed else uuid.uuid4())


def _with(added: dict[str, str], text: bytes) -> bytes:
    """Return a statement with properties put in front (no statement is an empty object)."""
    properties = b"".join(f'"{name}":"{value}",'.encode() for name, value in added.items())
    return b"{" + properties + text[1:]
