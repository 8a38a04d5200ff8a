"""Sending a file's records to a source topic."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator

from streams.producer import Message, Producer, Sent, delivered

_BATCH = 2_000
_BATCH_BYTES = 4 * 1024 * 1024


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
