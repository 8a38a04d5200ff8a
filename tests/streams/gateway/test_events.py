"""Events of the generic source come as CloudEvents in three modes; the record is the event's data as it came."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.streams.gateway.conftest import Kafka, bearer

DATA = {"student": "28400", "activity": "tap_in", "at": "2026-10-05T09:00:00Z", "id": "reader-7/1842"}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1842",
    "source": "/readers/7",
    "type": "leap.source-event.v1",
    "data": DATA,
}
BINARY = {f"ce-{name}": EVENT[name] for name in ("specversion", "id", "source", "type")}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


async def post(client: httpx.AsyncClient, body: Any, kind: str, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/events", content=content, headers=bearer("events") | {"Content-Type": kind} | headers)


def stored(kafka: Kafka) -> list[tuple[bytes | None, dict[str, bytes]]]:
    return [(value, dict(headers)) for _, value, headers in kafka.records["leap.source.events"]]


ATTRIBUTES = {
    "content-type": b"application/json",
    "ce_specversion": b"1.0",
    "ce_id": b"1842",
    "ce_source": b"/readers/7",
    "ce_type": b"leap.source-event.v1",
}


async def test_binary_mode(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    body = json.dumps(DATA, indent=3).encode()

    answer = await post(client, body, "application/json", **BINARY, **{"ce-subject": "caf%C3%A9"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert stored(kafka_of_the_gateway) == [(body, ATTRIBUTES | {"ce_subject": "café".encode()})]


async def test_structured_mode(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    data = json.dumps(DATA, indent=3).encode()
    around = json.dumps(EVENT | {"data": "DATA", "sequence": 3, "sampled": True}).encode()

    answer = await post(client, around.replace(b'"DATA"', data), f"{STRUCTURED}; charset=UTF-8")

    assert answer.status_code == 204
    assert stored(kafka_of_the_gateway) == [(data, ATTRIBUTES | {"ce_sequence": b"3", "ce_sampled": b"true"})]


async def test_structured_mode_with_data_in_base64(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    data = json.dumps(DATA).encode()
    event = {name: value for name, value in EVENT.items() if name != "data"}

    answer = await post(client, event | {"data_base64": base64.b64encode(data).decode()}, STRUCTURED)

    assert answer.status_code == 204
    assert stored(kafka_of_the_gateway) == [(data, ATTRIBUTES)]


async def test_batch_mode(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    answer = await post(client, [EVENT, EVENT | {"id": "1843"}], BATCH)

    assert answer.status_code == 204
    data = json.dumps(DATA).encode()
    assert stored(kafka_of_the_gateway) == [(data, ATTRIBUTES), (data, ATTRIBUTES | {"ce_id": b"1843"})]


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"id": ...}, 400, "id"),
        ({"source": ""}, 400, "source"),
        ({"specversion": "0.3"}, 400, "specversion"),
        ({"type": "jill"}, 400, "type"),
        ({"id": None}, 400, "id"),
        ({"id": {"jill": 1}}, 400, "id"),
        ({"Jill": "1"}, 400, "(an attribute)"),
        ({"jill": "x" * 2000}, 400, "(an attribute)"),
        ({"data": ...}, 400, "data"),
        ({"data_base64": "AAAA"}, 400, "data"),
        ({"data": ..., "data_base64": "jill!"}, 400, "data_base64"),
        ({"datacontenttype": "text/xml"}, 415, "datacontenttype"),
        ({"data": DATA | {"activity": "jill"}}, 400, "data"),
        ({"data": DATA | {"at": "2026-10-05T09:00:00"}}, 400, "data"),
        ({"data": None}, 400, "data"),
        ({f"a{number}": "1" for number in range(40)}, 400, "body"),
    ],
    ids=str,
)
async def test_a_mistake_is_named_by_its_place_and_never_quoted(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, change: dict[str, Any], status: int, place: str
) -> None:
    bad = {name: value for name, value in (EVENT | change).items() if value is not ...}

    alone, second = await post(client, bad, STRUCTURED), await post(client, [EVENT, bad], BATCH)

    assert (alone.status_code, alone.json()["place"]) == (status, place)
    assert (second.status_code, second.json()["place"]) == (status, "[1]" if place == "body" else f"[1].{place}")
    assert "jill" not in (alone.text + second.text).lower()
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize("missing", BINARY)
async def test_binary_mode_needs_the_four_attributes(client: httpx.AsyncClient, missing: str) -> None:
    answer = await post(client, DATA, "application/json", **{k: v for k, v in BINARY.items() if k != missing})

    assert (answer.status_code, answer.json()["place"]) == (400, f"header {missing}")


@pytest.mark.parametrize("kind", ["text/plain", "application/cloudevents+xml", ""])
async def test_another_content_type_is_refused(client: httpx.AsyncClient, kind: str) -> None:
    assert (await post(client, DATA, kind, **BINARY)).status_code == 415


@pytest.mark.parametrize("kind", [STRUCTURED, BATCH])
@pytest.mark.parametrize("body", [b"", b"1", b"[1]", b"{", b"\xff", b"[" * 5000])
async def test_what_is_no_event_is_refused(client: httpx.AsyncClient, kind: str, body: bytes) -> None:
    assert (await post(client, body, kind)).status_code == 400


async def test_only_the_token_of_this_source_is_good(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    answer = await post(client, EVENT, STRUCTURED, **bearer("moodle"))

    assert answer.status_code == 403
    assert not kafka_of_the_gateway.records
