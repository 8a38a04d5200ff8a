"""Record batches off the wire: compressed in every way, changed under a right checksum, bombs among them."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from aiokafka.record._crc32c import crc
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.dead_letters import WHOLE_BATCH
from streams import inflation
from streams.records import HEADER_BYTES, Records, _borders
from tests.fuzz.mutation import scrambled

NAME = "batches"
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_CRC_AT = 17
_ATTRIBUTES_AT = 22
_CODEC = 0x07
_COUNT_AT = 57


def built(codec: int, records: Iterable[tuple[int, int, bytes | None, bytes | None, list[Any]]]) -> bytes:
    """Return a record batch as a producer would send it: offset, time stamp, key, value and headers a record."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, timestamp, key, value, headers in records:
        builder.append(offset, timestamp=timestamp, key=key, value=value, headers=headers)
    return bytes(builder.build())


def batch(codec: int, values: list[bytes], headers: list[Any] | None = None) -> bytes:
    """Return a batch of these values, all with one key and time stamp."""
    return built(codec, ((n, 1_790_000_000_000, b"k", value, headers or []) for n, value in enumerate(values)))


def checked(raw: bytes) -> bytes:
    """Return a batch with the length and the checksum that its bytes have."""
    made = bytearray(raw)
    made[8:12] = (len(made) - 12).to_bytes(4)
    made[_CRC_AT : _CRC_AT + 4] = crc(bytes(made[_CRC_AT + 4 :])).to_bytes(4)
    return bytes(made)


@cache
def bomb(codec: int) -> bytes:
    """Return a batch that inflates to twice what may be."""
    return batch(codec, [bytes(2 * inflation.MOST_BYTES)])


def unpacked(raw: bytes, read: Callable[[Any], Sequence[Any]] = list) -> list[Sequence[Any]]:
    """Return the records of each batch of a fetch, as objects (by list) or in columns."""
    fetched, found = inflation._Batches(raw), []
    while fetched.has_next():
        one = fetched.next_batch()
        assert one.validate_crc()
        found.append(read(one))
    return found


def columns(batch: Any) -> Records:
    """Read a batch as our own consumer does."""
    found: Records = batch.columns()
    return found


def fields(record: Any) -> tuple[Any, ...]:
    """Return all that a record says, but for its headers."""
    return record.offset, record.timestamp, record.timestamp_type, record.key, record.value


def is_whole(records: Sequence[Any]) -> bool:
    """Whether one record stands for a batch that could not be read."""
    return len(records) == 1 and records[0].key is None and [n for n, _ in records[0].headers] == [WHOLE_BATCH]


def plain(raw: bytes) -> bytes:
    """Return a batch as aiokafka reads it right: not compressed, and no record of it with attributes.

    They are one byte by the format, which nobody uses, and aiokafka takes them for a number that may go on in the next.
    """
    inflate = inflation._INFLATE.get(raw[_ATTRIBUTES_AT] & _CODEC)
    records = bytearray(raw[HEADER_BYTES:] if inflate is None else inflate(memoryview(raw)[HEADER_BYTES:]))
    begins, _ = _borders(bytes(records), 0, int.from_bytes(raw[_COUNT_AT:HEADER_BYTES], signed=True))
    for begin in begins:
        records[begin] = 0
    header = raw[:_ATTRIBUTES_AT] + bytes([raw[_ATTRIBUTES_AT] & ~_CODEC]) + raw[_ATTRIBUTES_AT + 1 : HEADER_BYTES]
    return checked(header + bytes(records))


def read_alike(raw: bytes) -> bool:
    """Read a batch in both ways, which must agree; returns whether it was accepted."""
    objects, in_columns = unpacked(raw), unpacked(raw, columns)
    if not objects and not in_columns:
        return False
    one, other = objects[0], in_columns[0]
    for records in (one, other):
        assert not is_whole(records) or records[0].value == raw, "a batch that cannot be read is kept byte for byte"
    assert all(list(record.headers) is not None for record in other)
    if is_whole(one) or is_whole(other):
        # Headers are read when somebody asks, and offsets that fall cannot be searched: these two may differ.
        return False
    said = [fields(record) for record in other]
    if [fields(record) for record in one] != said:
        (one,) = unpacked(plain(raw))
        assert is_whole(one) or [fields(record) for record in one] == said
    return True


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    for _ in range(inputs):
        values = [rng.randbytes(rng.choice((0, 10, 300))) * rng.choice((1, 50)) for _ in range(rng.randint(1, 9))]
        codec = rng.choice(list(CODECS.values()))
        raw, draw = batch(codec, values, [("h", b"v"), ("n", None)]), rng.random()
        if draw < 0.6:
            raw = checked(raw[:HEADER_BYTES] + scrambled(rng, raw[HEADER_BYTES:]))
        elif draw < 0.75:
            raw = checked(
                raw[:_COUNT_AT] + rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 10**6)).to_bytes(4) + raw[HEADER_BYTES:]
            )
        elif draw < 0.8:
            raw = checked(raw[:_ATTRIBUTES_AT] + bytes([rng.randrange(8)]) + raw[_ATTRIBUTES_AT + 1 :])
        elif draw < 0.801 and codec:
            raw = bomb(codec)
        yield read_alike(raw)
