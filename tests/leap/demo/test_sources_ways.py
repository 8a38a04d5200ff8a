"""Senders over HTTP try again as vendors do, and give up on what will never be taken."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from leap.demo.sources.planting import Planted, Shipment
from leap.demo.sources.ways import Ways, new_secrets
from leap.errors import CommandError
from streams.gateway.credentials import read
from streams.settings import Settings


@pytest.fixture
def gateway() -> Iterator[tuple[int, list[int], list[bytes]]]:
    """A server that answers what it is told to, one status after the other: its port, the statuses, what came."""
    answers: list[int] = []
    came: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(answers.pop(0))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, answers, came
        server.shutdown()
        thread.join()


def ways(port: int) -> Ways:
    settings = Settings(gateway_host="127.0.0.1", gateway_port=port)
    return Ways(settings, None, new_secrets(), Path())  # type: ignore[arg-type]


BODY = b'{"event":"meeting.participant_joined"}'
JOINED = Shipment("zoom", "webhook", (Planted(BODY, "counted"),), (BODY,))


async def test_what_was_not_taken_is_sent_again_and_doubt_is_noted(gateway: Any) -> None:
    port, answers, came = gateway
    answers += [429, 503, 204, 204]
    sender = ways(port)
    told: list[int] = []

    await sender.gateway([JOINED, JOINED], told.append)

    assert came == [BODY] * 4
    assert told == [1, 1]
    assert [(shipment.source, value) for shipment, _, value in sender.doubtful] == [("zoom", BODY)]


@pytest.mark.parametrize("status", [400, 401, 413, 500])
async def test_a_refusal_ends_it_with_place_and_status(gateway: Any, status: int) -> None:
    port, answers, _ = gateway
    answers.append(status)

    with pytest.raises(CommandError, match=rf"{status} to /webhooks/zoom \(zoom\)"):
        await ways(port).gateway([JOINED], lambda _: None)


def test_the_gateway_takes_the_file_of_credentials(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(new_secrets().file())

    assert {"zoom", "library", "moodle", "events"} <= read(file, [*new_secrets().bearer]).sources
