"""Our own producer: idempotent, in order, and nothing counts as sent before the broker has it.

Faust's producer is not idempotent and only logs a failed delivery, so nothing of ours goes through it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.cloudevents import Headers
from schemas.topics import LARGEST_SOURCE_BYTES
from streams import connection
from streams.settings import Settings

Message = tuple[bytes | None, bytes | None, Headers]

_BATCH_BYTES = 512 * 1024


class DeliveryError(Exception):
    """The broker did not take what was sent.

    Whoever sent it must not go on as if it had: nothing may be acknowledged.
    """


class Producer:
    """Sends batches to partitions and returns when they are delivered.

    On Apache Kafka it is idempotent (a retry cannot double or reorder). The embedded broker cannot do that (its
    ``InitProducerId`` fails): there a retry may double a record, which the fences downstream make harmless.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        """Prepare; ``name`` becomes the client id."""
        self._kafka = AIOKafkaProducer(
            **connection.kafka(settings),
            client_id=f"{settings.prefix}.{name}",
            acks="all",
            enable_idempotence=settings.profile == "apache",
            max_batch_size=_BATCH_BYTES,
            max_request_size=LARGEST_SOURCE_BYTES + 128 * 1024,
            request_timeout_ms=30_000,
        )

    async def start(self) -> None:
        """Connect; raises aiokafka.errors.KafkaError when no broker answers."""
        await self._kafka.start()

    async def stop(self) -> None:
        """Deliver what is under way and disconnect."""
        await self._kafka.stop()

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        return len(await self._kafka.partitions_for(topic))

    async def send(self, topic: str, partition: int, messages: Iterable[Message]) -> "list[Sent]":
        """Hand messages over in order; :func:`delivered` waits until the broker has them.

        Raises:
            DeliveryError: they could not even be handed over.
        """
        sent: list[Sent] = []
        batch = self._kafka.create_batch()
        append = batch.append
        try:
            for key, value, headers in messages:
                if append(key=key, value=value, timestamp=None, headers=headers) is None:
                    sent.append(await self._hand_over(batch, topic, partition))
                    batch = self._kafka.create_batch()
                    append = batch.append
                    append(key=key, value=value, timestamp=None, headers=headers)
            if batch.record_count():
                sent.append(await self._hand_over(batch, topic, partition))
        except KafkaError as error:
            msg = f"{topic}-{partition}: {error!r}"
            raise DeliveryError(msg) from error
        return sent

    async def _hand_over(self, batch: Any, topic: str, partition: int) -> "Sent":
        batch.close()
        return await self._kafka.send_batch(batch, topic, partition=partition), batch.record_count()

    async def deliver(self, topic: str, partition: int, messages: Iterable[Message]) -> list[tuple[int, int]]:
        """Send messages and wait until the broker has them all.

        Returns the offsets from and to (exclusive) of each batch.

        Raises:
            DeliveryError: at least one was not taken.
        """
        return await delivered(await self.send(topic, partition, messages))

    async def put(self, topic: str, messages: Iterable[Message]) -> None:
        """Send messages to any partitions and wait until the broker has them all.

        What others put meanwhile travels in the same batches, so that many small ones do not wait for one another. Who
        stops waiting (a timeout) does not take back what was handed over: it may still arrive.

        Raises:
            DeliveryError: at least one was not taken.
        """
        sent: list[asyncio.Future[Any]] = []
        try:
            for key, value, headers in messages:
                future = await self._kafka.send(topic, value, key, headers=headers)
                future.add_done_callback(_retrieved)
                sent.append(future)
            await asyncio.gather(*sent)
        except KafkaError as error:
            msg = f"{topic}: {error!r}"
            raise DeliveryError(msg) from error

    async def reachable(self) -> bool:
        """Ask whether a broker answers now."""
        return bool(await self._kafka.client.force_metadata_update())

    @property
    def broken(self) -> bool:
        """Whether it will never send again, and only a new process does."""
        return bool(self._kafka._sender.sender_task.done())


def _retrieved(future: "asyncio.Future[Any]") -> None:
    """Look at a failure that nobody waits for any more, or asyncio would log it as forgotten."""
    if not future.cancelled():
        future.exception()


Sent = tuple["asyncio.Future[Any]", int]
"""A batch under way, and how many records it has."""


async def delivered(sent: Sequence[Sent]) -> list[tuple[int, int]]:
    """Wait for batches; return the offsets from and to (exclusive) of each.

    Raises:
        DeliveryError: the broker did not take one of them.
    """
    try:
        done = await asyncio.gather(*(future for future, _ in sent))
    except KafkaError as error:
        msg = repr(error)
        raise DeliveryError(msg) from error
    return [(metadata.offset, metadata.offset + count) for metadata, (_, count) in zip(done, sent, strict=True)]
