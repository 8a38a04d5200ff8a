"""The column table's durable side: a partition's changelog, written a batch at a time and read back in one go.

It is our own and not a ``faust.Table``: Faust swallows errors of recovery, can wait in it without end, and does not say
when a zombie has written (docs/decisions/0001-own-recovery.md). What it must hold:

* *Begins where the last one ended.* Every write's first offset must be the end we know. If it is not, somebody else
  wrote: this worker or the other one is a zombie, and which one cannot be told from here, so the process ends; recovery
  merges.
* *Highest version wins.* Recovery keeps the row with the highest version, not the last one; rows of which an older
  version stands behind a newer one are written again, or compaction would keep the older one for ever.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

from schemas.cloudevents import VERSION, find
from schemas.state import FIRST_STUDENT_BYTE, KEY_MARKER, KEY_PARTITION, KEY_ROSTER, CodecError, decode_partition
from schemas.version import MAX_VERSION, version
from streams.producer import Message, Producer
from streams.reader import connected, read_to_end
from streams.settings import Settings


class ZombieError(Exception):
    """Somebody else wrote to this partition's changelog."""


def version_of(key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """Return the version that a state record carries (-1 if it has none, and the last one wins).

    Raises:
        CodecError: it carries one that is none.
    """
    if value is None:
        carried = find(headers, VERSION)
        return -1 if carried is None else _version(carried)
    if key == KEY_PARTITION:
        row = decode_partition(value)
        return version(row.epoch, max(row.offset, 0))
    if key.startswith(KEY_ROSTER):
        entry_version = int.from_bytes(value[:8], "little")
        if len(value) < 8 or entry_version > MAX_VERSION:
            raise CodecError("a roster entry's version is no version")
        return entry_version
    if key[0] < FIRST_STUDENT_BYTE:
        return -1
    return int.from_bytes(value[4:12], "little", signed=True)


def _version(carried: bytes) -> int:
    if not carried.isdigit() or len(carried) > 19 or int(carried) > MAX_VERSION:
        raise CodecError("a tombstone's version is no version")
    return int(carried)


class Latest:
    """The latest value of each key by version, and the keys of which an older version came after a newer one."""

    def __init__(self) -> None:
        """Begin empty."""
        self._held: dict[bytes, tuple[int, bytes | None]] = {}
        self.out_of_order: set[bytes] = set()
        self.records = 0

    def add(self, record: Any) -> None:
        """Take one record of the changelog.

        Raises:
            CodecError: it is not of the state. Leaving it out could leave a student out.
        """
        self.records += 1
        key, value = record.key, record.value
        if not key:
            raise CodecError("a record without a key")
        new = version_of(key, value, record.headers)
        held = self._held.get(key)
        if held is not None and new < held[0]:
            self.out_of_order.add(key)
            return
        self.out_of_order.discard(key)
        self._held[key] = (new, value)

    def again(self) -> list[Message]:
        """Return what must be written again: the newest of each key behind which an older one stands."""
        messages: list[Message] = []
        for key in sorted(self.out_of_order, reverse=True):  # the partition's row, whose key is the lowest, comes last
            held, value = self._held[key]
            messages.append((key, value, [(VERSION, b"%d" % held)] if value is None else []))
        return messages

    def values(self) -> list[tuple[bytes, bytes]]:
        """Return what stands: every key that is not removed."""
        return [(key, value) for key, (_, value) in self._held.items() if value is not None]


class Changelog:
    """The changelog of one partition, as its present owner."""

    def __init__(self, settings: Settings, producer: Producer, partition: int) -> None:
        """Name the partition; nothing is read yet."""
        self._settings = settings
        self._producer = producer
        self._topic = settings.topics.engagement.name
        self._partition = partition
        self._end = -1

    async def recover(self) -> Latest:
        """Read the partition up to its end and take it over from there.

        Raises:
            StalledError: the broker stopped sending.
            aiokafka.errors.KafkaError: it cannot be read at all.
        """
        latest = Latest()
        tp = TopicPartition(self._topic, self._partition)
        async with connected(self._settings, "recovery") as reader:
            async for _, records in read_to_end(reader, [tp]):
                for record in records:
                    latest.add(record)
            self._end = await reader.position(tp)
        return latest

    async def write(self, messages: Sequence[Message]) -> None:
        """Deliver rows in order.

        Raises:
            DeliveryError: the broker did not take them.
            ZombieError: they do not stand where this owner's last write ended.
        """
        for start, stop in await self._producer.deliver(self._topic, self._partition, messages):
            if start != self._end:
                msg = (
                    f"{self._topic}-{self._partition}: expected to write at offset {self._end}, wrote at {start}: "
                    f"another worker wrote to this partition"
                )
                raise ZombieError(msg)
            self._end = stop

    async def mark(self) -> None:
        """Write a marker, so that an idle partition's segment rolls and compaction (and erasure) reaches it."""
        await self.write([(KEY_MARKER, b"", [])])
