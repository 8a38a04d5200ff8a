"""Sending what stands in a file: to a source topic in any order, or to the partitions of its keys."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from leap.connect import producing
from leap.errors import UNREACHABLE, CommandError
from streams.intake import partition_of
from streams.producer import DeliveryError, Message, Producer, Sent, delivered
from streams.settings import Settings

_BATCH = 2_000
_BATCH_BYTES = 4 * 1024 * 1024


@asynccontextmanager
async def sending(settings: Settings, name: str, done: Callable[[], str]) -> AsyncIterator[Producer]:
    """Give a producer. ``done`` says what the broker has by now, for whoever must run the command again.

    Raises:
        CommandError: Kafka does not answer, or did not take a batch.
    """
    try:
        async with producing(settings, name) as producer:
            yield producer
    except DeliveryError as error:
        msg = f"Kafka at {settings.kafka} did not take a batch after {done()} ({error}). Run it again."
        raise CommandError(msg, UNREACHABLE) from error


async def deliver(producer: Producer, topic: str, messages: Iterable[Message]) -> None:
    """Send messages to the partitions of their keys and wait until the broker has them all.

    Raises:
        DeliveryError: at least one was not taken.
    """
    partitions = await producer.partitions(topic)
    by_partition: defaultdict[int, list[Message]] = defaultdict(list)
    for message in messages:
        by_partition[partition_of(message[0] or b"", partitions)].append(message)
    await delivered([s for number, some in by_partition.items() for s in await producer.send(topic, number, some)])


async def send(
    producer: Producer, topic: str, messages: Iterator[Message], tell: Callable[[int], object]
) -> AsyncIterator[int]:
    """Send everything, a batch under way while the next is read; yields (and tells) how many records the broker has.

    Raises:
        DeliveryError: the broker did not take a batch.
    """
    partitions = await producer.partitions(topic)
    under_way: list[Sent] = []
    read = done = 0
    while batch := _next(messages):
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        for number, message in enumerate(batch, read):
            by_partition[number % partitions].append(message)
        await delivered(under_way)
        done = read
        tell(done)
        yield done
        under_way = [s for number, part in by_partition.items() for s in await producer.send(topic, number, part)]
        read += len(batch)
    await delivered(under_way)
    tell(read)
    yield read


def _next(messages: Iterator[Message]) -> list[Message]:
    """Return the next messages: so many, or fewer large ones, as memory is bounded."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        batch.append(message)
        size += len(message[1] or b"")
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            break
    return batch
