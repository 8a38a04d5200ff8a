"""A sender that costs little beside what it measures: requests made beforehand, over connections that stay open."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from leap.load.latency import Histogram

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Outcome(NamedTuple):
    """What came of requests: how many were answered with success, in how long, and how long each took."""

    answered: int
    seconds: float
    took: Histogram

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.answered / self.seconds


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        """Begin without a request."""
        self._transport: Any = None
        self._held = b""
        self._answered: asyncio.Future[int] | None = None

    @classmethod
    async def to(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: Any) -> None:
        """Keep the way out."""
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """Send a request; return the status of its answer."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; when it is whole, say so."""
        self._held += data
        head, end, body = self._held.partition(_END)
        if not end or self._answered is None:
            return
        _, told, length = head.lower().partition(_LENGTH)
        if len(body) >= (int(length.partition(b"\r\n")[0]) if told else 0):
            self._held = b""
            self._answered.set_result(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        """Nobody waits for ever."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("the gateway closed the connection"))

    def close(self) -> None:
        """End it."""
        self._transport.close()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Return a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: leap", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Outcome:
    """Have each connection send its next request when the one before is answered: how much goes through."""
    took, answered, number = Histogram(), 0, 0
    began = time.perf_counter()

    async def one() -> None:
        nonlocal answered, number
        connection = await Connection.to(port)
        while (sent := time.perf_counter()) < began + seconds:
            number += 1
            status = await connection.ask(requests[number % len(requests)])
            _check(status)
            answered += 1
            took.add(time.perf_counter() - sent)
        connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Outcome(answered, time.perf_counter() - began, took)


async def open_loop(port: int, requests: Sequence[bytes], rate: float, connections: int, seconds: float) -> Outcome:
    """Send at a rate, whatever the answers do; what a request takes begins when it was due, also if none is free."""
    took = Histogram()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await Connection.to(port))

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        _check(await connection.ask(request))
        took.add(time.perf_counter() - due)
        free.put_nowait(connection)

    began = time.perf_counter()
    number, under_way = 0, set[asyncio.Task[None]]()
    while number < rate * seconds:
        due = began + number / rate
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        task = asyncio.create_task(one(requests[number % len(requests)], due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    await asyncio.gather(*under_way)
    ended = time.perf_counter()
    while not free.empty():
        free.get_nowait().close()
    return Outcome(number, ended - began, took)


def _check(status: int) -> None:
    if status >= 300:
        msg = f"the gateway answered {status}"
        raise RuntimeError(msg)
