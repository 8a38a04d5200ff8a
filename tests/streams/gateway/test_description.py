"""Whatever is made of the description of the gateway, its answers are among those described, and none is a failure."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streams.gateway.app import build
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.sources import Options
from streams.sources.registry import sources
from tests.streams.gateway.conftest import CREDENTIALS, Kafka, bearer

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SOURCES = {"/xapi/statements": "hub", "/caliper": "moodle", "/events": "events", "/files/{source}": "taps"}


def application() -> Any:
    topics = {source: f"leap.source.{source}" for source in CREDENTIALS.sources}
    readers = sources(Options())
    return build(Entrance(CREDENTIALS, Rate(1e9), Kafka(), topics, readers, 100_000, 100_000), "test")


# Both are lines of text.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
schema = schemathesis.openapi.from_asgi("/openapi.json", application())


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: schemathesis.Case) -> None:
    headers = bearer(SOURCES[case.path]) if case.path in SOURCES else {}
    case.call_and_validate(headers=headers, checks=CHECKS)
