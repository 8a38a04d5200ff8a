"""The application: every endpoint, its failures as problems, its metrics."""

import time

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams import metrics
from streams.gateway import alma, caliper, events, files, problems, xapi, zoom
from streams.gateway.entrance import Entrance

_ABOUT = """\
Takes what source systems send, and answers success when it is stored. What is sent twice does not count twice, so
whatever was not answered with success is to be sent again: after 429 and 503 when `Retry-After` says.
"""

# Spans would have addresses and query strings, and go wherever the environment says.
_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def build(entrance: Entrance, version: str) -> FastAPI:
    """Return the application. It serves no pages, only its own description at ``/openapi.json``."""
    app = FastAPI(
        title="LEAP gateway",
        description=_ABOUT,
        version=version,
        docs_url=None,
        redoc_url=None,
        telemetry=_TELEMETRY,
    )
    for family in (zoom, alma, xapi, caliper, events, files):
        app.include_router(family.router(entrance))
    problems.install(app)
    app.add_middleware(_Measured)
    return app


class _Measured:
    """Counts requests by endpoint and status; an address that is none of ours has no name of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            endpoint = getattr(scope.get("route"), "path", "none")
            metrics.gateway_requests.labels(endpoint, status).inc()
            metrics.gateway_seconds.labels(endpoint).observe(time.monotonic() - began)
