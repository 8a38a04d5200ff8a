"""Webhooks of Alma, the library system of Ex Libris, signed over the raw body.

Alma waits 5 s for 200, and after a failure (5xx) sends again after 1, 3 and 6 hours.
"""

import base64
import hashlib
import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from streams.gateway.entrance import Entrance
from streams.gateway.problems import ProblemError, responses

SOURCE = "library"
SIGNATURE = "x-exl-signature"

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object"},
            "example": {"id": "1452370645077141593", "action": "LOAN", "event": {"value": "LOAN_CREATED"}},
        }
    },
}


class Challenge(BaseModel):
    """What proves to Alma that somebody listens."""

    challenge: str


def sign(secret: bytes, body: bytes) -> str:
    """Return the signature of a body, as Alma makes it."""
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


def router(entrance: Entrance) -> APIRouter:
    """Return the endpoints."""
    routes = APIRouter(tags=["webhooks"])

    @routes.get("/webhooks/alma", summary="Answer the challenge of Alma", responses=responses())
    async def challenge(
        challenge: Annotated[str, Query(max_length=1024, openapi_examples={"one": {"value": "1234"}})],
    ) -> Challenge:
        """Alma asks once, when the integration profile is activated, and without a signature."""
        return Challenge(challenge=challenge)

    @routes.post(
        "/webhooks/alma",
        summary="Take an event of Alma",
        response_class=Response,
        responses={200: {"description": "stored"}, **responses()},
        openapi_extra={
            "requestBody": _BODY,
            "parameters": [
                {
                    "in": "header",
                    "name": SIGNATURE,
                    "required": True,
                    "schema": {"type": "string"},
                    "example": "2Fb6BCSWxV0g1cQTXTHCLxEsBAwd0ETXrsLqvHMJ8WE=",
                }
            ],
        },
    )
    async def alma(request: Request) -> Response:
        """The signature is the Base64 form of the HMAC-SHA256 of the raw body."""
        body = await entrance.body(request)
        given, found = request.headers.get(SIGNATURE, ""), None
        for credential, secret in entrance.credentials.signers(SOURCE):
            if hmac.compare_digest(sign(secret, body).encode(), given.encode()):
                found = credential
        if found is None:
            raise ProblemError(401, "not signed with a secret of this webhook", f"header {SIGNATURE}")
        entrance.rate.count(found)
        await entrance.deliver(SOURCE, [(None, body, [])])
        return Response(status_code=200)

    return routes
