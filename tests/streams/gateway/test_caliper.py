"""Envelopes of Caliper 1.1 and 1.2 are taken all or none; each event becomes a record, byte for byte."""

import json
from typing import Any

import httpx
import pytest

from tests.streams.gateway.conftest import Kafka, bearer

EVENT = {
    "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
    "id": "urn:uuid:4ec2c31e-3ec0-4fe1-a017-b81561b075d7",
    "type": "SessionEvent",
    "profile": "SessionProfile",
    "actor": {"id": "https://example.edu/users/554433", "type": "Person"},
    "action": "LoggedIn",
    "object": {"id": "https://example.edu", "type": "SoftwareApplication", "version": "v2"},
    "eventTime": "2016-11-15T20:11:15.000Z",
}
ENVELOPE: dict[str, Any] = {
    "sensor": "https://example.edu/sensors/1",
    "sendTime": "2016-11-15T20:11:16.000Z",
    "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2",
    "data": [EVENT],
}


async def post(client: httpx.AsyncClient, body: Any, kind: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/caliper", content=content, headers=bearer("moodle") | {"Content-Type": kind})


@pytest.mark.parametrize("version", ["v1p1", "v1p2"])
async def test_each_event_of_an_envelope_becomes_a_record(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, version: str
) -> None:
    one = json.dumps(EVENT, indent=1).encode()
    two = json.dumps(EVENT | {"actor": "https://example.edu/users/554433"}).encode()
    data_version = f"http://purl.imsglobal.org/ctx/caliper/{version}"
    around = json.dumps(ENVELOPE | {"dataVersion": data_version, "data": "EVENTS"}).encode()
    envelope = around.replace(b'"EVENTS"', b"[ " + one + b",\n" + two + b"]")

    answer = await post(client, envelope)

    assert (answer.status_code, answer.content) == (204, b"")
    assert kafka_of_the_gateway.values("moodle") == [one, two]


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"sensor": ...}, 400, "body"),
        ({"jill": 1}, 400, "body"),
        ({"sensor": ""}, 400, "sensor"),
        ({"sensor": 7}, 400, "sensor"),
        ({"sendTime": "jill"}, 400, "sendTime"),
        ({"sendTime": "2016-11-15T20:11:16"}, 400, "sendTime"),
        ({"dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p0"}, 422, "dataVersion"),
        ({"dataVersion": None}, 400, "dataVersion"),
        ({"data": EVENT}, 400, "data"),
        ({"data": []}, 400, "data"),
        ({"data": [EVENT, "https://example.edu/jill"]}, 400, "data[1]"),
        ({"data": [EVENT, {"id": "jill"}]}, 400, "data[1].type"),
    ],
    ids=str,
)
async def test_a_mistake_has_the_status_of_the_standard_and_its_place(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, change: dict[str, Any], status: int, place: str
) -> None:
    answer = await post(client, {name: value for name, value in (ENVELOPE | change).items() if value is not ...})

    assert (answer.status_code, answer.json()["place"]) == (status, place)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "jill" not in answer.text
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 5000])
async def test_what_is_no_envelope_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await post(client, body)).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
async def test_another_content_type_is_refused(client: httpx.AsyncClient, kind: str) -> None:
    assert (await post(client, ENVELOPE, kind)).status_code == 415


async def test_who_shows_no_token_is_refused(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    answer = await client.post("/caliper", json=ENVELOPE)

    assert answer.status_code == 401
    assert not kafka_of_the_gateway.records
