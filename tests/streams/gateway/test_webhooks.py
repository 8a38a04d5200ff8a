"""Webhooks are taken when their vendor signed them, and reach Kafka byte for byte."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import httpx
import pytest

from tests.streams.gateway.conftest import LIBRARY, NOW, OLDER, SECRET, Kafka

DATA = Path(__file__).parents[2] / "data"
EVENTS = sorted((DATA / "zoom").glob("*.participant_*.json"))
JOINED = EVENTS[0].read_bytes()
VALIDATION = (DATA / "zoom" / "endpoint.url_validation.json").read_bytes()
CHALLENGE = json.loads((DATA / "alma" / "challenge.json").read_text())["queryStringParameters"]["challenge"]
LOANS = sorted((DATA / "alma").glob("*_event.json"))


def zoom(body: bytes, secret: str = SECRET, at: float = NOW) -> dict[str, str]:
    """Headers as Zoom's own sample makes them."""
    message = f"v0:{at:.0f}:".encode() + body
    signature = "v0=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return {"x-zm-signature": signature, "x-zm-request-timestamp": f"{at:.0f}", "Content-Type": "application/json"}


def alma(body: bytes, secret: str = LIBRARY) -> dict[str, str]:
    """The header as Ex Libris describes it."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"X-Exl-Signature": base64.b64encode(digest).decode(), "Content-Type": "application/json"}


def loan(file: Path) -> bytes:
    """The body of a call, which the sample has as a text in the event of another gateway."""
    return json.loads(file.read_text())["body"].encode()


@pytest.mark.parametrize("body", [file.read_bytes() for file in EVENTS], ids=[file.stem for file in EVENTS])
@pytest.mark.parametrize("secret", [SECRET, OLDER])
async def test_an_event_of_zoom_reaches_kafka_as_it_came(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, body: bytes, secret: str
) -> None:
    answer = await client.post("/webhooks/zoom", content=body, headers=zoom(body, secret))

    assert (answer.status_code, answer.content) == (204, b"")
    assert kafka_of_the_gateway.values("zoom") == [body]


@pytest.mark.parametrize("secret", [SECRET, OLDER])
async def test_the_handshake_of_zoom_is_answered_with_the_secret_that_signed_it(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, secret: str
) -> None:
    answer = await client.post("/webhooks/zoom", content=VALIDATION, headers=zoom(VALIDATION, secret))

    encrypted = hmac.new(secret.encode(), b"qgg8vlvZRS6UYooatFL8Aw", hashlib.sha256).hexdigest()
    assert answer.status_code == 200
    assert answer.json() == {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": encrypted}
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"x-zm-signature": "v0=" + "0" * 64}, "header x-zm-signature"),
        ({"x-zm-signature": ""}, "header x-zm-signature"),
        ({"x-zm-signature": "v0=\u00e9"}, "header x-zm-signature"),
        ({"x-zm-request-timestamp": f"{NOW - 1:.0f}"}, "header x-zm-signature"),
        (zoom(JOINED, "another-secret-entirely"), "header x-zm-signature"),
        (zoom(JOINED, at=NOW - 301), "header x-zm-request-timestamp"),
        (zoom(JOINED, at=NOW + 301), "header x-zm-request-timestamp"),
    ],
)
async def test_what_zoom_did_not_sign_or_signed_long_ago_is_refused(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, change: dict[str, str], place: str
) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in (zoom(JOINED) | change).items()]

    answer = await client.post("/webhooks/zoom", content=JOINED, headers=headers)

    assert (answer.status_code, answer.json()["place"]) == (401, place)
    assert not kafka_of_the_gateway.records


async def test_a_body_of_zoom_that_was_changed_by_one_byte_is_refused(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    answer = await client.post("/webhooks/zoom", content=JOINED + b" ", headers=zoom(JOINED))

    assert answer.status_code == 401
    assert not kafka_of_the_gateway.records


async def test_a_signed_body_that_is_no_json_is_kept_for_who_can_judge_it(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    answer = await client.post("/webhooks/zoom", content=b"\xff[", headers=zoom(b"\xff["))

    assert answer.status_code == 204
    assert kafka_of_the_gateway.values("zoom") == [b"\xff["]


@pytest.mark.parametrize("file", LOANS, ids=lambda file: file.stem)
async def test_an_event_of_alma_reaches_kafka_as_it_came(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, file: Path
) -> None:
    body = loan(file)

    answer = await client.post("/webhooks/alma", content=body, headers=alma(body))

    assert answer.status_code == 200
    assert kafka_of_the_gateway.values("library") == [body]


@pytest.mark.parametrize("headers", [{}, {"X-Exl-Signature": "AAAA"}, alma(loan(LOANS[0]), "another-secret-entirely")])
async def test_what_alma_did_not_sign_is_refused(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, headers: dict[str, str]
) -> None:
    answer = await client.post("/webhooks/alma", content=loan(LOANS[0]), headers=headers)

    assert answer.status_code == 401
    assert not kafka_of_the_gateway.records


async def test_the_challenge_of_alma_is_echoed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/webhooks/alma", params={"challenge": CHALLENGE})

    assert (answer.status_code, answer.json()) == (200, {"challenge": CHALLENGE})
    assert (await client.get("/webhooks/alma")).status_code == 400
