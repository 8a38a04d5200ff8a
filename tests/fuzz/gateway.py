"""Requests to the gateway: stored as they came or refused with a place, never a failure of ours, never quoted."""

import asyncio
import base64
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from streams.gateway import alma, zoom
from streams.gateway.app import build
from streams.gateway.credentials import Credential, Credentials
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.producer import Message
from streams.sources import Options
from streams.sources.registry import sources
from tests.fuzz.mutation import ODD_TEXTS, SECRET, assert_silent, bent, scrambled, text

NAME = "gateway"
_NOW = 1_790_000_000.0
_KEY = "a-secret-of-the-fuzzer"
_KINDS = {"zoom": "hmac", "library": "hmac", "hub": "bearer", "moodle": "bearer", "events": "bearer", "taps": "bearer"}
_CREDENTIALS = Credentials(
    Credential(source=source, kind=kind, secrets=(f"{_KEY}-{source}",))  # type: ignore[arg-type]
    for source, kind in _KINDS.items()
)
_ANSWERS = {200, 204, 400, 401, 403, 404, 405, 413, 415, 422}
_ODD_HEADERS = (
    b"",
    b"\xff",
    b"nan",
    b"-1",
    b"9" * 400,
    b"1e9",
    b"\x00",
    SECRET.encode(),
    b"Basic " + b"=" * 50,
    b"a;b;c",
)

_AGENT = {"account": {"homePage": "https://moodle.example.org", "name": SECRET}}
_STATEMENT = {
    "id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee",
    "actor": _AGENT,
    "verb": {"id": "http://id.tincanapi.com/verb/viewed", "display": {"en": SECRET}},
    "object": {
        "objectType": "Activity",
        "id": "https://moodle.example.org/course",
        "definition": {"type": "http://x.org/t"},
    },
    "result": {"score": {"scaled": 0.5}, "success": True, "duration": "PT4S"},
    "context": {"extensions": {"http://x.org/e": None}, "registration": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee"},
    "timestamp": "2026-10-05T09:00:00Z",
}
_OTHER = {**_STATEMENT, "id": "f7e1d3a0-0a53-4a3e-9b58-0f9e3f1f7c11", "object": {"objectType": "Agent", **_AGENT}}
_SUB = {key: value for key, value in _STATEMENT.items() if key != "id"}
_NESTED = {**_SUB, "object": {"objectType": "SubStatement", **_SUB}}
_CALIPER = {
    "sensor": "https://example.edu/sensors/1",
    "sendTime": "2026-10-05T09:00:01.000Z",
    "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2",
    "data": [{"type": "SessionEvent", "actor": {"id": SECRET}}, {"type": "Event"}],
}
_DATA = {"student": "28400", "activity": "tap_in", "at": "2026-10-05T09:00:00Z", "id": "reader-7/1842"}
_EVENT = {"specversion": "1.0", "id": "1842", "source": "/r/7", "type": "leap.source-event.v1", "data": _DATA, "seq": 3}
_CODED = {
    **{key: value for key, value in _EVENT.items() if key != "data"},
    "data_base64": base64.b64encode(b"{}").decode(),
}
_ZOOM = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}
_FILE = (
    b'STUDENT_ID\tEVENT\tTIME\n1\t"a\n""b"\t2026\n' + SECRET.encode() + b'\t5" disk\t2026\r\n\n1\ta\t2026\n1\ta\t2026'
)


class _Kafka:
    def __init__(self) -> None:
        self.records: list[Message] = []

    async def put(self, topic: str, messages: Sequence[Message]) -> None:
        assert topic in {f"leap.source.{source}" for source in _KINDS}
        self.records += messages


def _json(rng: random.Random, good: dict[str, Any] | list[Any]) -> bytes:
    """Return JSON, two thirds of it bent."""
    draw = rng.random()
    if draw < 0.35:
        return json.dumps(good).encode()
    if draw < 0.8:
        if isinstance(good, list):
            return b"[" + b",".join(text(rng, bent(rng, one)) for one in good) + b"]"
        return text(rng, bent(rng, good))
    return scrambled(rng, json.dumps(good, ensure_ascii=False).encode())


Request = tuple[str, str, bytes, list[tuple[bytes, bytes]], bytes]


def _request(rng: random.Random) -> Request:
    """Return method, path, query, headers and body."""
    draw = rng.random()
    kind, query, method = b"application/json", b"", "POST"
    more: list[tuple[bytes, bytes]] = []
    if draw < 0.15:
        body = _json(rng, rng.choice((_ZOOM, {"event": "meeting.participant_joined", "payload": {"object": {}}})))
        at = rng.choice(("1790000000", "1790000299", "1789999700", "1790000301", "nan", "9" * 40, "", "\u0661"))
        more = [
            (zoom.SIGNATURE.encode(), zoom.sign(f"{_KEY}-zoom".encode(), at, body).encode()),
            (zoom.TIMESTAMP.encode(), at.encode()),
        ]
        path, source = "/webhooks/zoom", "zoom"
    elif draw < 0.25:
        body = _json(rng, _DATA)
        more = [(alma.SIGNATURE.encode(), alma.sign(f"{_KEY}-library".encode(), body).encode())]
        path, source = "/webhooks/alma", "library"
        method, query = rng.choice((("POST", b""), ("GET", b"challenge=" + rng.choice(ODD_TEXTS).encode())))
    elif draw < 0.55:
        good: Any = rng.choice((_STATEMENT, _SUB, _NESTED, [_STATEMENT, _OTHER], [_SUB, _SUB], []))
        body, path, source = _json(rng, good), "/xapi/statements", "hub"
        more = [(b"x-experience-api-version", rng.choice((b"1.0.3", b"2.0.0", b"2.0.0", b"0.9")))]
        if rng.random() < 0.3:
            method = "PUT"
            query = b"statementId=" + rng.choice((_STATEMENT["id"], _OTHER["id"], SECRET, "")).encode()  # type: ignore[attr-defined]
    elif draw < 0.7:
        body, path, source = _json(rng, _CALIPER), "/caliper", "moodle"
    elif draw < 0.85:
        path, source = "/events", "events"
        good, kind = rng.choice(
            (
                (_DATA, kind),
                (_EVENT, b"application/cloudevents+json"),
                (_CODED, b"application/cloudevents+json"),
                ([_EVENT, _EVENT], b"application/cloudevents-batch+json"),
            )
        )
        body = _json(rng, good)
        if kind == b"application/json":
            more = [
                (b"ce-" + key.encode(), str(_EVENT[key]).encode()) for key in ("specversion", "id", "source", "type")
            ]
    else:
        body = scrambled(rng, _FILE) if rng.random() < 0.6 else _FILE
        path, source, kind = "/files/taps", "taps", rng.choice((b"text/tab-separated-values", b"text/csv"))
    headers = [(b"content-type", kind), (b"authorization", f"Bearer {_KEY}-{source}".encode()), *more]
    if rng.random() < 0.15:
        at_ = rng.randrange(len(headers))
        headers[at_] = headers[at_][0], rng.choice((rng.choice(_ODD_HEADERS), scrambled(rng, headers[at_][1])))
    if rng.random() < 0.03:
        headers.append(rng.choice(((b"content-length", rng.choice(_ODD_HEADERS)), (b"content-encoding", b"gzip"))))
    if rng.random() < 0.02:
        path = path + "/" + SECRET
    return method, path, query, headers, body


async def _ask(app: Any, rng: random.Random, request: Request) -> tuple[int, bytes]:
    """Make a request that comes in pieces; return status and body of the answer."""
    method, path, query, headers, body = request
    cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    pieces = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    answer: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:])


_JSON, _CLOUDEVENTS = b"application/json", b"application/cloudevents"
_FORMS: tuple[tuple[str, str, bytes, Any], ...] = (
    ("/webhooks/zoom", "zoom", _JSON, _ZOOM),
    ("/webhooks/alma", "library", _JSON, _DATA),
    ("/xapi/statements", "hub", _JSON, _STATEMENT),
    ("/xapi/statements", "hub", _JSON, [_NESTED, _OTHER]),
    ("/caliper", "moodle", _JSON, _CALIPER),
    ("/events", "events", _JSON, _DATA),
    ("/events", "events", _CLOUDEVENTS + b"+json", _EVENT),
    ("/events", "events", _CLOUDEVENTS + b"-batch+json", [_EVENT, _CODED]),
    ("/files/taps", "taps", b"text/tab-separated-values", _FILE),
    ("/files/taps", "taps", b"text/csv", _FILE),
    ("/files/taps", "taps", b"application/x-ndjson", _DATA),
    ("/files/taps", "taps", _JSON, [_DATA, _DATA]),
)
"""Where a body may go: path, source, content type, and a good one."""

SEEDS = tuple(
    bytes((number,)) + (good if isinstance(good, bytes) else json.dumps(good).encode())
    for number, (*_, good) in enumerate(_FORMS)
)


def request_with(data: bytes) -> Request:
    """Return a request that is good but for its body: ``data`` without the first byte, which says where it goes."""
    path, source, kind, _ = _FORMS[data[0] % len(_FORMS)] if data else _FORMS[0]
    body = data[1:]
    headers = [(b"content-type", kind), (b"authorization", f"Bearer {_KEY}-{source}".encode())]
    headers += [
        (zoom.SIGNATURE.encode(), zoom.sign(f"{_KEY}-zoom".encode(), f"{_NOW:.0f}", body).encode()),
        (zoom.TIMESTAMP.encode(), f"{_NOW:.0f}".encode()),
        (alma.SIGNATURE.encode(), alma.sign(f"{_KEY}-library".encode(), body).encode()),
        (b"x-experience-api-version", b"2.0.0"),
        *((b"ce-" + key.encode(), str(_EVENT[key]).encode()) for key in ("specversion", "id", "source", "type")),
    ]
    return "POST", path, b"", headers, body


class Gateway:
    """The application over a Kafka of lists."""

    def __init__(self) -> None:
        self._kafka = _Kafka()
        topics = {source: f"leap.source.{source}" for source in _KINDS}
        entrance = Entrance(
            _CREDENTIALS, Rate(1e9), self._kafka, topics, sources(Options()), 60_000, 60_000, now=lambda: _NOW
        )
        self._app = build(entrance, "fuzz")

    async def check(self, rng: random.Random, request: Request) -> bool:
        """Make a request and judge the answer; says whether it was one of success."""
        self._kafka.records.clear()
        status, answer = await _ask(self._app, rng, request)
        assert status in _ANSWERS, f"{status} to {request[:2]}"
        if status >= 400 or not request[1].startswith("/webhooks/"):  # a handshake is answered with what it has
            assert_silent(answer.decode()[:900])
        if status >= 400:
            assert json.loads(answer)["detail"]
            assert not self._kafka.records, "refused, and stored"
        for _, value, headers in self._kafka.records:
            _as_it_came(request, value, headers)
        return status < 400


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was answered with success."""
    gateway = Gateway()
    with asyncio.Runner() as runner:
        for _ in range(inputs):
            yield runner.run(gateway.check(rng, _request(rng)))


def _as_it_came(request: Request, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
    """What is stored stands in the body, but for what the standard has the receiver put in front."""
    _, path, _, sent, body = request
    assert value is not None
    assert len(value) + sum(len(name) + len(held) for name, held in headers) < 120_000
    if path == "/xapi/statements":
        assert value in body or value.rpartition(b'Z",')[2] in body or value.partition(b'",')[2] in body
    elif path == "/files/taps" and b"json" not in dict(sent).get(b"content-type", b""):
        # The header may hold line feeds, too.
        ends = [at for at, byte in enumerate(value) if byte == ord("\n")]
        assert any(value[:at] in body and value[at + 1 :] in body for at in ends)
    elif b"data_base64" not in body:
        assert value in body
