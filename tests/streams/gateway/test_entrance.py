"""Whoever comes, through whichever endpoint: known or refused, within limits, told the truth, and never quoted."""

import asyncio
import base64
import dataclasses
import json
import logging
import time
from collections.abc import AsyncIterator
from itertools import count

import httpx
import pytest
from prometheus_client import REGISTRY

from streams.gateway import entrance as entrance_module
from streams.gateway import limits
from streams.gateway.app import build
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.gateway.problems import ProblemError
from streams.producer import DeliveryError
from tests.streams.gateway.conftest import LIBRARY, SECRET, TOKENS, Kafka, bearer
from tests.streams.gateway.test_caliper import ENVELOPE
from tests.streams.gateway.test_events import EVENT, STRUCTURED
from tests.streams.gateway.test_files import FILE, KIND
from tests.streams.gateway.test_webhooks import JOINED, alma, zoom
from tests.streams.gateway.test_xapi import STATEMENT

JSON = {"Content-Type": "application/json"}
XAPI = JSON | {"X-Experience-API-Version": "2.0.0"}
REQUESTS = {
    "zoom": ("/webhooks/zoom", JOINED, zoom(JOINED)),
    "alma": ("/webhooks/alma", b"{}", alma(b"{}")),
    "xapi": ("/xapi/statements", json.dumps(STATEMENT).encode(), bearer("hub") | XAPI),
    "caliper": ("/caliper", json.dumps(ENVELOPE).encode(), bearer("moodle") | JSON),
    "events": ("/events", json.dumps(EVENT).encode(), bearer("events") | {"Content-Type": STRUCTURED}),
    "files": ("/files/taps", FILE, bearer("taps") | KIND),
}
TOKENED = {name: request for name, request in REQUESTS.items() if name not in {"zoom", "alma"}}


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_what_kafka_does_not_take_is_answered_with_503_and_when_to_try_again(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, path: str, body: bytes, headers: dict[str, str]
) -> None:
    kafka_of_the_gateway.failure = DeliveryError("NotEnoughReplicas")

    answer = await client.post(path, content=body, headers=headers)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_kafka_that_says_nothing_is_answered_for_before_zoom_gives_up(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert entrance_module.PATIENCE < 3.0
    monkeypatch.setattr(entrance_module, "PATIENCE", 0.05)
    kafka_of_the_gateway.silent = True
    began = time.monotonic()

    answer = await client.post("/webhooks/zoom", content=JOINED, headers=zoom(JOINED))

    assert answer.status_code == 503
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(("path", "body", "headers"), TOKENED.values(), ids=TOKENED)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-token-0123456789",
        f"Bearer {TOKENS['hub']}x",
        f"Basic {TOKENS['hub']}",
        f"Token {TOKENS['hub']}",
        f"Bearer {SECRET}",
        "Basic " + base64.b64encode(b"hub:wrong-password-0").decode(),
        "Basic " + base64.b64encode(b"hub").decode(),
        "Basic " + base64.b64encode(b"jill:password-of-the-hub").decode(),
        "Basic " + base64.b64encode(f":{TOKENS['hub']}".encode()).decode(),
        "Basic \u00e9",
    ],
)
async def test_who_proves_nothing_is_refused(
    client: httpx.AsyncClient,
    kafka_of_the_gateway: Kafka,
    path: str,
    body: bytes,
    headers: dict[str, str],
    authorization: str | None,
) -> None:
    given = {name: value for name, value in headers.items() if name != "Authorization"}
    if authorization is not None:
        given["Authorization"] = authorization

    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    answer = await client.post(path, content=body, headers=raw)

    assert (answer.status_code, answer.json()["place"]) == (401, "header Authorization")
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert not kafka_of_the_gateway.records


async def test_a_user_and_password_are_as_good_as_a_token(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    answer = await client.post("/xapi/statements", json=STATEMENT, headers=XAPI, auth=("hub", "password-of-the-hub"))

    assert answer.status_code == 200
    assert len(kafka_of_the_gateway.values("hub")) == 1


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_a_body_beyond_the_limit_is_refused_whether_it_says_so_or_not(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, path: str, body: bytes, headers: dict[str, str]
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x\n" * 5_000

    told = await client.post(path, content=b"x\n" * 150_000, headers=headers)
    untold = await client.post(path, content=chunks(), headers=headers)

    assert (told.status_code, untold.status_code) == (413, 413)
    if path != "/files/taps":  # a file's rows are written while it comes
        assert not kafka_of_the_gateway.records


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_a_body_that_does_not_come_is_not_waited_for(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    monkeypatch.setattr(limits, "_BODY_PATIENCE", 0.05)
    monkeypatch.setattr(limits, "_CHUNK_PATIENCE", 0.05)

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:10]
        await asyncio.Event().wait()

    answer = await client.post(path, content=chunks(), headers=headers)

    assert answer.status_code == 408


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_a_compressed_body_is_refused(
    client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = await client.post(path, content=body, headers=headers | {"Content-Encoding": "gzip"})

    assert answer.status_code == 415


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_too_many_requests_of_one_credential_are_put_off_and_others_are_not(
    entrance: Entrance, path: str, body: bytes, headers: dict[str, str]
) -> None:
    slow = dataclasses.replace(entrance, rate=Rate(0.2))
    transport = httpx.ASGITransport(build(slow, "test"))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answers = [await client.post(path, content=body, headers=headers) for _ in range(3)]
        other_path, other_body, other_headers = REQUESTS["alma" if path != "/webhooks/alma" else "zoom"]
        other = await client.post(other_path, content=other_body, headers=other_headers)

    assert [answer.status_code for answer in answers][-1] == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6
    assert all(answer.is_success for answer in answers[:2])
    assert other.is_success


def test_the_rate_is_an_average_and_what_was_not_used_lasts_ten_seconds() -> None:
    now = 0.0
    rate = Rate(2.0, lambda: now)

    def counted() -> int:
        for number in count():
            try:
                rate.count("jill")
            except ProblemError:
                return number
        raise AssertionError

    assert counted() == 20
    now = 3.0
    assert counted() == 6
    now = 10_000.0
    assert counted() == 20


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_no_log_and_no_metric_has_what_was_sent_or_a_secret(
    client: httpx.AsyncClient,
    kafka_of_the_gateway: Kafka,
    caplog: pytest.LogCaptureFixture,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        await client.post(path, content=body, headers=headers)
        kafka_of_the_gateway.failure = DeliveryError("gone")
        await client.post(path, content=body, headers=headers)
        await client.post(path + "/28400", content=body, headers=headers)

    ours = [record.getMessage() for record in caplog.records if record.name != "httpx"]  # that is the client
    text = str(ours) + str([sample.labels for metric in REGISTRY.collect() for sample in metric.samples])
    for private in (SECRET, LIBRARY, *TOKENS.values(), "28400", "Jill", "jchill", "554433", "test_fullname"):
        assert private not in text


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    for answer, status in ((await client.get("/nothing"), 404), (await client.delete("/caliper"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_mistake_of_ours_is_no_secret_and_no_page(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_of_the_gateway, "records", None)

    answer = await client.post("/webhooks/zoom", content=JOINED, headers=zoom(JOINED))

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "Traceback" not in answer.text


async def test_requests_are_counted_by_endpoint_and_status(client: httpx.AsyncClient) -> None:
    def counted(status: str) -> float:
        labels = {"endpoint": "/files/{source}", "status": status}
        return REGISTRY.get_sample_value("leap_gateway_requests_total", labels) or 0.0

    before = counted("200"), counted("403")
    await client.post("/files/taps", content=FILE, headers=bearer("taps") | KIND)
    await client.post("/files/jill", content=FILE, headers=bearer("taps") | KIND)

    assert (counted("200"), counted("403")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_description_has_an_example_of_each_body(client: httpx.AsyncClient, name: str) -> None:
    found = (await client.get("/openapi.json")).json()
    path = {"files": "/files/{source}"}.get(name, REQUESTS[name][0])

    content = found["paths"][path]["post"]["requestBody"]["content"]
    assert all("example" in kind and "schema" in kind for kind in content.values())
    assert {"401", "413", "429", "503"} <= found["paths"][path]["post"]["responses"].keys()
