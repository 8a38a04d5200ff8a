"""Events of the generic source as CloudEvents 1.0: in binary, structured and batch mode.

A record is the event's data as it came; the attributes become headers, as CloudEvents says for Kafka.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.cloudevents import CONTENT_TYPE, TYPES, Headers
from schemas.decoding import decoder
from schemas.reasons import why
from schemas.source import SourceEvent
from streams.gateway.direct import Direct
from streams.gateway.entrance import Entrance, json_wanted, media_type
from streams.gateway.problems import ProblemError, responses
from streams.producer import Message
from streams.sources import Unusable
from streams.sources.events import read

SOURCE = "events"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_REQUIRED = ("specversion", "id", "source", "type")
_NAME = re.compile(r"[a-z0-9]{1,20}")
_MOST_ATTRIBUTES, _LONGEST_ATTRIBUTE = 30, 1024
_JSON = "application/json"

_decode_list = decoder(list[msgspec.Raw])
_decode_event = decoder(dict[str, msgspec.Raw])
_decode_attribute = decoder(str | bool | int)  # type: ignore[arg-type]
_decode_text = decoder(str)

_DATA = {"student": "28400", "activity": "tap_in", "at": "2026-10-05T09:00:00Z", "id": "reader-7/1842"}
_EVENT = {"specversion": "1.0", "id": "1842", "source": "/readers/7", "type": TYPES["source"], "data": _DATA}


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoint."""
    routes = APIRouter(tags=["CloudEvents"], route_class=Direct)

    @routes.post(
        "/events",
        summary="Take one event, or a batch",
        status_code=204,
        responses=responses(403),
        openapi_extra={"requestBody": {"required": True, "content": _content()}},
    )
    async def events(request: Request) -> Response:
        """All or none are taken. In binary mode `ce-specversion`, `ce-id`, `ce-source` and `ce-type` are headers."""
        who = entrance.known(request)
        if who.source != SOURCE:
            raise ProblemError(403, "this credential belongs to another source", "header Authorization")
        kind = media_type(request)
        if kind not in {STRUCTURED, BATCH}:
            json_wanted(request)
        body = await entrance.body(request)
        if kind == BATCH:
            messages = [_structured(raw, f"[{number}].") for number, raw in enumerate(_list(body))]
        elif kind == STRUCTURED:
            messages = [_structured(body, "")]
        else:
            messages = [_binary(request, body)]
        await entrance.deliver(SOURCE, messages)
        return Response(status_code=204)

    return routes


def _content() -> dict[str, Any]:
    data = SourceEvent.model_json_schema()
    texts = {name: {"type": "string", "minLength": 1} for name in _REQUIRED}
    event = {"type": "object", "required": [*_REQUIRED, "data"], "properties": {**texts, "data": data}}
    return {
        _JSON: {"schema": data, "example": _DATA},
        STRUCTURED: {"schema": event, "example": _EVENT},
        BATCH: {"schema": {"type": "array", "items": event}, "example": [_EVENT]},
    }


def _list(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _decode_list(body)]
    except msgspec.DecodeError as error:
        raise ProblemError(400, why(error), "body") from error


def _binary(request: Request, body: bytes) -> Message:
    given = {name[3:]: unquote(value) for name, value in request.headers.items() if name.startswith("ce-")}
    return _message(given, body, "header ce-", "body")


def _structured(raw: bytes, place: str) -> Message:
    try:
        event = _decode_event(raw)
    except msgspec.DecodeError as error:
        raise ProblemError(400, why(error), place.rstrip(".") or "body") from error
    data, coded = event.pop("data", None), event.pop("data_base64", None)
    if (data is None) == (coded is None):
        raise ProblemError(400, "either data or data_base64 is needed", f"{place}data")
    given = {}
    for name, value in event.items():
        try:
            found = _decode_attribute(value)
        except msgspec.DecodeError as error:
            known = name if name in _REQUIRED else "(an attribute)"
            raise ProblemError(400, "neither a text, a whole number nor a truth value", f"{place}{known}") from error
        given[name] = str(found).lower() if isinstance(found, bool) else str(found)
    kind = given.pop("datacontenttype", _JSON)
    if kind.partition(";")[0].strip().lower() != _JSON:
        raise ProblemError(415, "application/json is taken here", f"{place}datacontenttype")
    return _message(given, bytes(data) if data is not None else _decoded(coded, place), place, f"{place}data")


def _decoded(coded: Any, place: str) -> bytes:
    try:
        return base64.b64decode(_decode_text(coded), validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise ProblemError(400, "not Base64", f"{place}data_base64") from error


def _message(attributes: Mapping[str, str], data: bytes, place: str, place_of_data: str) -> Message:
    for name in _REQUIRED:
        if not attributes.get(name):
            raise ProblemError(400, "is missing", f"{place}{name}")
    if attributes["specversion"] != "1.0":
        raise ProblemError(400, "not 1.0", f"{place}specversion")
    if attributes["type"] != TYPES["source"]:
        raise ProblemError(400, f"not {TYPES['source']}", f"{place}type")
    if len(attributes) > _MOST_ATTRIBUTES:
        raise ProblemError(400, f"more than {_MOST_ATTRIBUTES} attributes", place.rstrip(".") or "body")
    headers: Headers = [(CONTENT_TYPE, _JSON.encode())]
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or len(value) > _LONGEST_ATTRIBUTE:
            raise ProblemError(400, "a name or a value that no attribute has", f"{place}(an attribute)")
        headers.append((f"ce_{name}", value.encode(errors="replace")))
    outcome = read(data)
    if isinstance(outcome, Unusable):
        raise ProblemError(400, outcome.reason, place_of_data)
    return None, data, headers
