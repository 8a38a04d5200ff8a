"""What one sender may cost: the size of a body, the time it takes to come, and requests a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable

from fastapi import Request

from streams.gateway.problems import ProblemError

_BODY_PATIENCE = 10.0
_CHUNK_PATIENCE = 30.0
_BURST = 10.0


class Rate:
    """Requests a second for each credential, on average; what was not used lasts for ten seconds (a token bucket)."""

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        """Take the average."""
        self._rate = rate
        self._now = now
        self._left: dict[Hashable, tuple[float, float]] = {}

    def count(self, who: Hashable) -> None:
        """Count a request.

        Raises:
            ProblemError: 429, it is one too many; Retry-After says when the next one may come.
        """
        now = self._now()
        left, since = self._left.get(who, (self._rate * _BURST, now))
        left = min(self._rate * _BURST, left + (now - since) * self._rate)
        if left < 1.0:
            self._left[who] = left, now
            wait = max(1, round((1.0 - left) / self._rate + 0.5))
            raise ProblemError(429, "too many requests with this credential", headers={"Retry-After": str(wait)})
        self._left[who] = left - 1.0, now


async def body(request: Request, most: int) -> bytes:
    """Return the whole body.

    Raises:
        ProblemError: 413 beyond ``most`` bytes, 408 if it does not come, 415 if it is compressed.
    """
    try:
        async with asyncio.timeout(_BODY_PATIENCE):
            return b"".join([chunk async for chunk in _chunks(request, most)])
    except TimeoutError as error:
        raise _slow() from error


async def stream(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes; raises as :func:`body` does, within the loop."""
    chunks = _chunks(request, most)
    while True:
        try:
            async with asyncio.timeout(_CHUNK_PATIENCE):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise _slow() from error
        if chunk is None:
            return
        yield chunk


async def _chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes, for however long that takes."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # A few kilobytes may inflate to any size.
        raise ProblemError(415, "compressed bodies are not taken", "header Content-Encoding")
    told = request.headers.get("content-length", "0")
    if not told.isascii() or not told.isdecimal():
        raise ProblemError(400, "not a number", "header Content-Length")
    if int(told[:20]) > most:
        raise _large(most)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _large(most)
        yield chunk


def _large(most: int) -> ProblemError:
    return ProblemError(413, f"the body may have {most} bytes")


def _slow() -> ProblemError:
    return ProblemError(408, "the body did not come in time")
