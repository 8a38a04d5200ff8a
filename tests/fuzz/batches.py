"""Record batches off the wire: compressed in every way, changed under a right checksum, bombs among them."""

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from aiokafka.record._crc32c import crc
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.dead_letters import WHOLE_BATCH
from streams import inflation
from tests.fuzz.mutation import scrambled

NAME = "batches"
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_HEADER = 61
_CRC_AT = 17


def batch(codec: int, values: list[bytes], headers: list[Any] | None = None) -> bytes:
    """Return a record batch as a producer would send it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1_790_000_000_000, key=b"k", value=value, headers=headers or [])
    return bytes(builder.build())


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


def unpacked(raw: bytes) -> list[list[Any]]:
    """Return the records of each batch of a fetch."""
    fetched, found = inflation._Batches(raw), []
    while fetched.has_next():
        one = fetched.next_batch()
        assert one.validate_crc()
        found.append(list(one))
    return found


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    for _ in range(inputs):
        values = [rng.randbytes(rng.choice((0, 10, 300))) * rng.choice((1, 50)) for _ in range(rng.randint(1, 9))]
        codec = rng.choice(list(CODECS.values()))
        raw, draw = batch(codec, values, [("h", b"v"), ("n", None)]), rng.random()
        if draw < 0.6:
            raw = checked(raw[:_HEADER] + scrambled(rng, raw[_HEADER:]))
        elif draw < 0.75:
            raw = checked(raw[:57] + rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 10**6)).to_bytes(4) + raw[61:])
        elif draw < 0.8:
            raw = checked(raw[:22] + bytes([rng.randrange(8)]) + raw[23:])
        elif draw < 0.801 and codec:
            raw = bomb(codec)
        for records in unpacked(raw):
            whole = [r for r in records if r.headers and r.headers[0][0] == WHOLE_BATCH]
            if whole and len(records) == 1 and whole[0].key is None:
                assert whole[0].value == raw, "a batch that cannot be read must be kept byte for byte"
                yield False
            else:
                yield True
            for one in records:
                assert one.offset is not None
            break
        else:
            yield False
