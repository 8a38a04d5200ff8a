"""Webhooks of Zoom, signed over the raw body.

Zoom takes any answer after 3 s for a failure, and sends again after 5, 20 and 60 more minutes.
"""

import hashlib
import hmac
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from schemas.decoding import decoder
from streams.gateway.direct import Direct
from streams.gateway.entrance import Entrance
from streams.gateway.problems import ProblemError, responses

SOURCE = "zoom"
SIGNATURE, TIMESTAMP = "x-zm-signature", "x-zm-request-timestamp"
_TOLERANCE = 300.0
_VALIDATION = "endpoint.url_validation"


class _Payload(msgspec.Struct):
    plainToken: str  # noqa: N815 - Zoom's name


class _Validation(msgspec.Struct):
    event: str
    payload: _Payload


_decode = decoder(_Validation)

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"event": {"type": "string"}}},
            "example": {"event": "meeting.participant_joined", "event_ts": 1626230691572, "payload": {"object": {}}},
        }
    },
}


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a body, as Zoom makes it."""
    return "v0=" + hmac.new(secret, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoint."""
    routes = APIRouter(tags=["webhooks"], route_class=Direct)

    @routes.post(
        "/webhooks/zoom",
        summary="Take an event of Zoom",
        status_code=204,
        responses={
            200: {
                "description": "the answer to `endpoint.url_validation`",
                "content": {"application/json": {"example": {"plainToken": "q9ib", "encryptedToken": "23a8"}}},
            },
            **responses(),
        },
        openapi_extra={
            "requestBody": _BODY,
            "parameters": [
                {"in": "header", "name": name, "required": True, "schema": {"type": "string"}, "example": example}
                for name, example in ((SIGNATURE, "v0=a05d830fa017433bc47887f8"), (TIMESTAMP, "1626230691"))
            ],
        },
    )
    async def zoom(request: Request) -> Response:
        """The signature is `v0=` and the hexadecimal HMAC-SHA256 of `v0:<timestamp>:<raw body>`."""
        body = await entrance.body(request)
        secret = _signer(entrance, request, body)
        try:
            event = _decode(body)
        except msgspec.DecodeError:
            event = None
        if event is not None and event.event == _VALIDATION:
            token = event.payload.plainToken
            encrypted = hmac.new(secret, token.encode(errors="replace"), hashlib.sha256).hexdigest()
            return JSONResponse({"plainToken": token, "encryptedToken": encrypted})
        await entrance.deliver(SOURCE, [(None, body, [])])
        return Response(status_code=204)

    return routes


def _signer(entrance: Entrance, request: Request, body: bytes) -> bytes:
    """Return the secret that a body was signed with.

    Raises:
        ProblemError: 401, with none of them, or too long ago; 429.
    """
    given, timestamp = request.headers.get(SIGNATURE, ""), request.headers.get(TIMESTAMP, "")
    found = None
    for credential, secret in entrance.credentials.signers(SOURCE):
        if hmac.compare_digest(sign(secret, timestamp, body).encode(), given.encode()):
            found = credential, secret
    if found is None:
        raise ProblemError(401, "not signed with a secret of this webhook", f"header {SIGNATURE}")
    # Signed, so it is a number if Zoom wrote it; an old one may be a request that somebody recorded.
    signed_at = float(timestamp) if timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 16 else 0.0
    if abs(entrance.now() - signed_at) > _TOLERANCE:
        raise ProblemError(401, "more than five minutes from now", f"header {TIMESTAMP}")
    entrance.rate.count(found[0])
    return found[1]
