"""Whoever asks the probes properly is answered, whatever others do with their connections."""

import resource
import socket
import threading
from collections.abc import Iterator

import pytest

from streams.role import Health, Probes
from tests.fuzz.probes import healthy


@pytest.fixture
def probes() -> Iterator[Probes]:
    probes = Probes(Health("test", 1e9), "127.0.0.1", 0)
    yield probes
    probes.close()


def test_three_hundred_silent_connections_keep_nobody_out(probes: Probes) -> None:
    """Each had a thread and a file for ever; when the files are used up Kafka cannot be reached either."""
    silent = [socket.create_connection(("127.0.0.1", probes.port)) for _ in range(300)]
    for connection in silent[::2]:
        connection.sendall(b"GET /live HT")
    for _ in range(5):
        healthy(probes.port)

    assert threading.active_count() < 100
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300
    for connection in silent:
        connection.close()


def test_a_connection_that_breaks_leaves_no_address_in_the_log(
    probes: Probes, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", probes.port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 50)
        connection.close()
    healthy(probes.port)

    assert "127.0.0.1" not in capfd.readouterr().err
