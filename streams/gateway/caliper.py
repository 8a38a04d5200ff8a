"""Caliper's endpoint (1EdTech, 1.1 and 1.2): envelopes are taken, and each event in one becomes a record."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.decoding import decoder
from schemas.reasons import why
from streams.gateway.direct import Direct
from streams.gateway.entrance import Entrance, json_wanted
from streams.gateway.problems import ProblemError, responses
from streams.sources import Unusable
from streams.sources.reading import instant

VERSIONS = tuple(
    f"{scheme}://purl.imsglobal.org/ctx/caliper/{version}"
    for version in ("v1p1", "v1p2")
    for scheme in ("http", "https")
)
_NAMES = {"sensor", "sendTime", "dataVersion", "data"}
_decode_envelope = decoder(dict[str, msgspec.Raw])
_decode_data = decoder(list[msgspec.Raw])
_decode_event = decoder(dict[str, Any])

_EVENT = {
    "@context": VERSIONS[2],
    "id": "urn:uuid:fcd495d0-3740-4298-9bec-1154571dc211",
    "type": "SessionEvent",
    "profile": "SessionProfile",
    "actor": {"id": "https://example.edu/users/554433", "type": "Person"},
    "action": "LoggedIn",
    "object": {"id": "https://example.edu", "type": "SoftwareApplication"},
    "eventTime": "2026-10-05T09:00:00.000Z",
}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": sorted(_NAMES),
                "additionalProperties": False,
                "properties": {
                    "sensor": {"type": "string"},
                    "sendTime": {"type": "string", "format": "date-time"},
                    "dataVersion": {"type": "string", "enum": list(VERSIONS)},
                    "data": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["type"],
                            "properties": {"type": {"type": "string", "minLength": 1}},
                        },
                    },
                },
            },
            "example": {
                "sensor": "https://example.edu/sensors/1",
                "sendTime": "2026-10-05T09:00:01.000Z",
                "dataVersion": VERSIONS[2],
                "data": [_EVENT],
            },
        }
    },
}


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoint."""
    routes = APIRouter(tags=["Caliper"], route_class=Direct)

    @routes.post(
        "/caliper",
        summary="Take an envelope of events",
        status_code=204,
        responses=responses(422),
        openapi_extra={"requestBody": _BODY},
    )
    async def caliper(request: Request) -> Response:
        """All or none are taken; their source is that of the credential."""
        who = entrance.known(request)
        json_wanted(request)
        events = _events(await entrance.body(request))
        await entrance.deliver(who.source, [(None, event, []) for event in events])
        return Response(status_code=204)

    return routes


def _events(body: bytes) -> list[bytes]:
    """Return the events of an envelope.

    Raises:
        ProblemError: 400, it is malformed; 422, it is of a version that is not spoken here.
    """
    try:
        envelope = _decode_envelope(body)
    except msgspec.DecodeError as error:
        raise ProblemError(400, why(error), "body") from error
    if envelope.keys() != _NAMES:
        raise ProblemError(400, "an envelope has sensor, sendTime, dataVersion and data, and nothing else", "body")
    _text(envelope["sensor"], "sensor")
    if isinstance(instant(_text(envelope["sendTime"], "sendTime"), "sendTime"), Unusable):
        raise ProblemError(400, "not a time in ISO 8601 with a zone", "sendTime")
    if _text(envelope["dataVersion"], "dataVersion") not in VERSIONS:
        raise ProblemError(422, "Caliper 1.1 and 1.2 are spoken here", "dataVersion")
    try:
        events = [bytes(raw) for raw in _decode_data(envelope["data"])]
    except msgspec.DecodeError as error:
        raise ProblemError(400, "not a list", "data") from error
    if not events:
        raise ProblemError(400, "is empty", "data")
    for number, event in enumerate(events):
        try:
            kind = _decode_event(event).get("type")
        except msgspec.DecodeError as error:
            raise ProblemError(400, "not an object", f"data[{number}]") from error
        if not isinstance(kind, str) or not kind:
            raise ProblemError(400, "not a type", f"data[{number}].type")
    return events


_decode_text = decoder(str)


def _text(raw: msgspec.Raw, place: str) -> str:
    try:
        found = _decode_text(raw)
    except msgspec.DecodeError as error:
        raise ProblemError(400, "not a text", place) from error
    if not found:
        raise ProblemError(400, "is empty", place)
    return found
