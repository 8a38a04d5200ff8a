"""What every endpoint does: know the sender, read the body, hand it to Kafka."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request

from streams import metrics
from streams.gateway import limits
from streams.gateway.credentials import Credential, Credentials
from streams.gateway.limits import Rate
from streams.gateway.problems import ProblemError, unavailable
from streams.producer import DeliveryError, Message
from streams.sources import Source

logger = logging.getLogger(__name__)

PATIENCE = 2.5
"""Seconds that Kafka may take: Zoom calls an answer after 3 s none, and its way takes time, too."""


class Sender(Protocol):
    """Who brings records to Kafka (:class:`streams.producer.Producer`)."""

    async def put(self, topic: str, messages: Sequence[Message]) -> None:
        """Return when the broker has them all; raises DeliveryError when it has not."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the endpoints have in common.

    ``topics``: by source. ``adapters``: the readers of the sources, by which rows of a file are judged.
    """

    credentials: Credentials
    rate: Rate
    sender: Sender
    topics: Mapping[str, str]
    adapters: Mapping[str, Source]
    body_bytes: int
    file_bytes: int
    now: Callable[[], float] = field(default=time.time)

    def known(self, request: Request) -> Credential:
        """Return who sends, and count the request.

        Raises:
            ProblemError: 401 or 429.
        """
        who = self.credentials.of(request.headers.get("authorization"))
        self.rate.count(who)
        return who

    async def body(self, request: Request) -> bytes:
        """Return the body; raises ProblemError as :func:`streams.gateway.limits.body` does."""
        return await limits.body(request, self.body_bytes)

    async def deliver(self, source: str, messages: Sequence[Message]) -> None:
        """Return when Kafka has these records of a source.

        Raises:
            ProblemError: 503, it has not, or not all of them, or we do not know it.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self.sender.put(self.topics[source], messages)
        except (DeliveryError, TimeoutError) as error:
            logger.warning("%s: not stored, the sender was told to try again (%r)", source, error)
            raise unavailable() from error
        metrics.gateway_records.labels(source).inc(len(messages))


def json_wanted(request: Request, *more: str) -> None:
    """Check that a body calls itself JSON.

    Raises:
        ProblemError: 415, it does not.
    """
    kind = media_type(request)
    if kind not in {"application/json", *more}:
        raise ProblemError(415, "application/json is taken here", "header Content-Type")


def media_type(request: Request) -> str:
    """Return the media type of a body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
