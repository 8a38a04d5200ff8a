"""How far a fetched record batch may inflate, in every consumer of ours.

A producer may compress its batches, and one of a few kilobytes can stand for gigabytes (or, uncompressed, for millions
of empty records). The broker takes it, because it only streams through; a client inflates it at once, dies of it, and
every process that takes the partition over dies of it again.

A batch that goes too far, or whose content is no records although its checksum is right, comes as one record instead:
the batch as it stands on the topic. It has no key, and no reader of ours can make sense of such a value, so it goes
where every record goes that cannot be used: to the dead letters, byte for byte.
"""

import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import cramjam
from aiokafka.codec import _detect_xerial_stream
from aiokafka.consumer import fetcher
from aiokafka.record._crecords import default_records, legacy_records
from aiokafka.record.memory_records import MemoryRecords

from schemas.dead_letters import WHOLE_BATCH
from schemas.topics import LARGEST_SOURCE_BYTES
from streams.records import HEADER_BYTES, Records, of_objects, unpack

MOST_BYTES = 2 * LARGEST_SOURCE_BYTES
"""Bytes to which a batch may inflate. A fetch gives no further batch once its batches have come to as much."""
MOST_RECORDS = 100_000
"""Records of a batch."""

_RECORD_BYTES = 256  # of objects, besides what a record holds
_LENGTH_AT, _LENGTH_END = 8, 12
_COUNT_AT, _COUNT_END = 57, 61
_MAGIC = 2
_XERIAL_HEADER = 16
_GZIP = 16 + zlib.MAX_WBITS


_Several = TypeVar("_Several", list[Any], Records)

_inflated = threading.local()  # Faust fetches in a thread of its own


class InflationError(Exception):
    """A batch would inflate too far."""


def _gzip(payload: Any) -> bytes:
    inflated = bytearray()
    rest = bytes(payload)
    while rest:  # a stream may have members
        stream = zlib.decompressobj(_GZIP)
        inflated += stream.decompress(rest, MOST_BYTES + 1 - len(inflated))
        if len(inflated) > MOST_BYTES:
            raise InflationError
        rest = stream.unused_data
        if not stream.eof:
            raise EOFError
    return bytes(inflated)


def _snappy(payload: Any) -> bytes:
    view = memoryview(payload)
    if not _detect_xerial_stream(payload):
        return _raw_snappy(view, MOST_BYTES)
    inflated = bytearray()
    at = _XERIAL_HEADER
    while at < len(view):
        size = int.from_bytes(view[at : at + 4])
        inflated += _raw_snappy(view[at + 4 : at + 4 + size], MOST_BYTES - len(inflated))
        at += 4 + size
    return bytes(inflated)


def _raw_snappy(block: memoryview, most: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > most:
        raise InflationError
    return bytes(cramjam.snappy.decompress_raw(block))


def _into(inflate: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def bounded(payload: Any) -> bytes:
        size = min(MOST_BYTES, 16 * len(payload) + 64 * 1024)
        while True:
            room = bytearray(size)
            try:
                return bytes(memoryview(room)[: inflate(payload, room)])
            except cramjam.DecompressionError:
                # Whether the room was too small or the content is broken does not show.
                if size == MOST_BYTES:
                    raise InflationError from None
            size = min(MOST_BYTES, 8 * size)

    return bounded


class _Record:
    """A whole batch in the form of a record."""

    __slots__ = ("checksum", "headers", "key", "offset", "timestamp", "timestamp_type", "value")

    def __init__(self, batch: Any, raw: bytes, reason: str) -> None:
        self.offset = batch.next_offset - 1  # the last one's, so that readers go on behind it
        self.timestamp, self.timestamp_type = batch.max_timestamp, batch.timestamp_type
        self.key, self.value, self.checksum = None, raw, None
        self.headers = [(WHOLE_BATCH, reason.encode())]


class _Batch:
    """aiokafka's batch; its records, or the one that stands for them, as objects (iterate) or in columns."""

    def __init__(self, batch: Any, raw: bytes, spend: Callable[[int], None]) -> None:
        self._batch = batch
        self._raw = raw
        self._spend = spend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        found = self._read(list)
        return iter([found] if isinstance(found, _Record) else found)

    def columns(self) -> Records:
        """Return the records in columns. Raises nothing."""
        read = self._unpack if self._batch.magic >= _MAGIC else lambda batch: of_objects(list(batch))
        found = self._read(read)
        return of_objects([found]) if isinstance(found, _Record) else found

    def _unpack(self, batch: Any) -> Records:
        inflate = _INFLATE.get(batch.compression_type)
        if inflate is None:
            return unpack(self._raw, self._raw, HEADER_BYTES)
        return unpack(self._raw, inflate(memoryview(self._raw)[HEADER_BYTES:]), 0)

    def _read(self, read: Callable[[Any], _Several]) -> _Several | _Record:
        """Read the records by one of the ways; return one that stands for them if that goes too far or fails."""
        batch = self._batch
        if batch.magic >= _MAGIC and int.from_bytes(self._raw[_COUNT_AT:_COUNT_END]) > MOST_RECORDS:
            reason = f"a batch of more than {MOST_RECORDS} records"
        else:
            _inflated.size = len(self._raw)
            try:
                records = read(batch)
            except InflationError:
                reason = f"a batch that inflates to more than {MOST_BYTES} bytes, or to nothing"
            except Exception as error:
                # Its checksum is right: this is what was sent, and it will be no better when it is fetched again.
                reason = f"a batch that holds no records: {type(error).__name__}"
            else:
                self._spend(_inflated.size + _RECORD_BYTES * len(records))
                return records
        self._spend(len(self._raw))
        return _Record(batch, self._raw, reason)


class _Batches:
    """aiokafka's batches of a fetch, up to what may be unpacked at once; the others are fetched again."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._batches = MemoryRecords(fetched)
        self._at = self._spent = 0

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return self._spent < MOST_BYTES and bool(self._batches.has_next())

    def next_batch(self) -> Any:
        batch = self._batches.next_batch()
        if batch is None:
            return None
        at = self._at
        self._at += _LENGTH_END + int.from_bytes(self._fetched[at + _LENGTH_AT : at + _LENGTH_END])
        return _Batch(batch, bytes(self._fetched[at : self._at]), self._spend)

    def _spend(self, amount: int) -> None:
        self._spent += amount


def _noted(inflate: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def noted(payload: Any) -> bytes:
        inflated = inflate(payload)
        _inflated.size = len(inflated)
        return inflated

    return noted


_INFLATE = {
    1: _noted(_gzip),
    2: _noted(_snappy),
    3: _noted(_into(cramjam.lz4.decompress_into)),
    4: _noted(_into(cramjam.zstd.decompress_into)),
}
"""By the number of the codec in a batch's attributes."""

# aiokafka has no hook for any of it.
for _records in (default_records, legacy_records):
    _records.gzip_decode, _records.snappy_decode, _records.lz4_decode, _records.zstd_decode = _INFLATE.values()
fetcher.MemoryRecords = _Batches
