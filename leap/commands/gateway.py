"""``leap gateway``: the way in over HTTP."""

from leap import logs
from leap.options import Where
from streams.settings import Settings

_NOWHERE = Where()


def gateway(*, where: Where = _NOWHERE) -> int:
    """Take webhooks (Zoom, Alma), xAPI, Caliper, CloudEvents and files over HTTP, and write them to the source topics.

    It answers success only when Kafka has what was sent, and 503 after 2.5 s if it has not, so that the sender tries
    again. Who may send to which source stands in a file: docs/gateway.md. Put a proxy with TLS before it.

    It answers `/metrics`, `/live` and `/ready` on `LEAP_METRICS_PORT`, and describes itself at `/openapi.json`.

    Example: `LEAP_KAFKA=kafka:9092 LEAP_GATEWAY_CREDENTIALS=/etc/leap/gateway.toml leap gateway`
    """
    settings: Settings = where.settings()
    logs.set_up()
    from leap.gateway import run  # noqa: PLC0415 - FastAPI and Faust take a second to import

    return run(settings)
