"""The port of the probes: broken requests, silent and slow clients; whoever asks properly is answered all the time."""

import contextlib
import random
import socket
import threading
from collections.abc import Iterator

from streams.role import Health, Probes
from tests.fuzz.mutation import scrambled

NAME = "probes"
_GOOD = b"GET /live HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
_PATIENCE = 10.0


def healthy(port: int) -> None:
    """A client that asks properly is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(_GOOD)
        assert connection.recv(4096).startswith(b"HTTP/1.0 200"), "a proper request was not answered"


def _request(rng: random.Random) -> bytes:
    draw = rng.random()
    if draw < 0.15:
        return _GOOD
    if draw < 0.6:
        return scrambled(rng, _GOOD)
    return rng.choice(
        (
            b"",
            b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
            b"GET /metrics?" + b"a=b&" * 1_000 + b" HTTP/9.9\r\n\r\n",
            b"GET / HTTP/\xb2.\xb2\r\n\r\n",
            b"POST /live HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx",
            b"GET /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            b"\x00" * 1_000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /live",
        )
    )


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it got an answer that says all is well."""
    probes = Probes(Health("fuzz", 1e9), "127.0.0.1", 0)
    left_open: list[socket.socket] = []
    try:
        for number in range(inputs):
            connection = socket.create_connection(("127.0.0.1", probes.port), timeout=_PATIENCE)
            answer = b""
            with contextlib.suppress(OSError):
                connection.sendall(_request(rng))
                if rng.random() < 0.4:
                    left_open.append(connection)
                else:
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(64)
            if connection not in left_open:
                connection.close()
            if len(left_open) > 200:
                left_open.pop(rng.randrange(len(left_open))).close()
            if number % 20 == 0:
                healthy(probes.port)
                assert threading.active_count() < 200, "every silent client has a thread"
            yield b" 200 " in answer
        healthy(probes.port)
    finally:
        for connection in left_open:
            connection.close()
        probes.close()
