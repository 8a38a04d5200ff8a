"""The records of a fetch, in columns.

aiokafka makes an object of each record and of each of its headers: 2.5 µs a record with five headers, of which the
engagement role needs two slices. Here the fields of all records of a batch are read at once, 0.5 µs a record.

The layout of a record batch (magic 2) is https://kafka.apache.org/documentation/#recordbatch: 61 bytes of header, then
records, each after its length: attributes, time stamp delta, offset delta, key, value, headers. Numbers of a record are
zigzag varints.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, overload

import numpy as np
from aiokafka.errors import CorruptRecordException

from schemas.cloudevents import Headers

HEADER_BYTES = 61
"""Bytes of a batch before its records."""

_ATTRIBUTES = slice(21, 23)
_LAST_DELTA = slice(23, 27)
_BASE_TIME = slice(27, 35)
_LAST_TIME = slice(35, 43)
_COUNT = slice(57, 61)
_LOG_APPEND_TIME = 0x08
_LONGEST = 63  # bits by which the last byte of a varint is shifted


class Batch(Protocol):
    """What knows the headers of the records of one batch."""

    timestamp_type: int
    """0: set by who sent the record, 1: by the broker."""

    def headers(self, number: int) -> Headers:
        """Return the headers of a record, by its number in the batch."""


class Record:
    """One record, in the form in which aiokafka hands records over; its headers are read when somebody asks."""

    __slots__ = ("_batch", "_headers", "_number", "key", "offset", "timestamp", "value")

    def __init__(
        self, offset: int, timestamp: int, key: bytes | None, value: bytes | None, batch: Batch, number: int
    ) -> None:
        """Take the fields; ``timestamp`` is in ms since 1970."""
        self.offset, self.timestamp, self.key, self.value = offset, timestamp, key, value
        self._batch, self._number = batch, number
        self._headers: Headers | None = None

    @property
    def timestamp_type(self) -> int:
        """0: set by who sent it, 1: by the broker."""
        return self._batch.timestamp_type

    @property
    def headers(self) -> Headers:
        """Return the headers; none if what stands in their place cannot be read."""
        if self._headers is None:
            self._headers = self._batch.headers(self._number)
        return self._headers


class Records(Sequence[Record]):
    """Records in log order, in columns.

    ``offsets`` and ``timestamps`` (ms since 1970) are int64 arrays, ``keys`` and ``values`` lists of bytes or None.
    """

    __slots__ = ("_batches", "_number", "_of", "keys", "offsets", "timestamps", "values")

    def __init__(
        self,
        offsets: Any,
        timestamps: Any,
        keys: list[bytes | None],
        values: list[bytes | None],
        batches: list[Batch],
        of: Any,
        number: Any,
    ) -> None:
        """Take the columns; ``of`` is the batch of each record, ``number`` its number in it."""
        self.offsets, self.timestamps, self.keys, self.values = offsets, timestamps, keys, values
        self._batches, self._of, self._number = batches, of, number

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> "Records": ...

    def __getitem__(self, index: int | slice) -> "Record | Records":
        """Return one record, or some of them; TypeError for anything else (Faust asks for a name)."""
        if not isinstance(index, slice):
            at = range(len(self))[index]
            return next(iter(self[at : at + 1]))
        return Records(
            self.offsets[index],
            self.timestamps[index],
            self.keys[index],
            self.values[index],
            self._batches,
            self._of[index],
            self._number[index],
        )

    def __iter__(self) -> Iterator[Record]:
        """Go through the records."""
        batches = [self._batches[of] for of in self._of.tolist()]
        return map(
            Record,
            self.offsets.tolist(),
            self.timestamps.tolist(),
            self.keys,
            self.values,
            batches,
            self._number.tolist(),
        )

    def since(self, offset: int) -> "Records":
        """Return those from an offset on."""
        return self[int(np.searchsorted(self.offsets, offset)) :]


def joined(parts: Sequence[Records]) -> Records:
    """Return the records of several batches as one."""
    if len(parts) == 1:
        return parts[0]
    batches: list[Batch] = []
    of: list[Any] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for part in parts:
        of.append(part._of + len(batches))
        batches += part._batches
        keys += part.keys
        values += part.values
    return Records(
        _end_to_end([part.offsets for part in parts]),
        _end_to_end([part.timestamps for part in parts]),
        keys,
        values,
        batches,
        _end_to_end(of),
        _end_to_end([part._number for part in parts]),
    )


def _end_to_end(columns: list[Any]) -> Any:
    return np.concatenate(columns) if columns else np.zeros(0, np.int64)


class _Objects:
    """A batch whose records are objects already."""

    def __init__(self, records: Sequence[Any]) -> None:
        self._records = records
        self.timestamp_type = records[0].timestamp_type or 0 if records else 0

    def headers(self, number: int) -> Headers:
        return list(self._records[number].headers)


def of_objects(records: Sequence[Any]) -> Records:
    """Return the records of one batch as columns, from objects of aiokafka."""
    return Records(
        np.array([record.offset for record in records], np.int64),
        # The oldest format has no time stamps.
        np.array([-1 if record.timestamp is None else record.timestamp for record in records], np.int64),
        [record.key for record in records],
        [record.value for record in records],
        [_Objects(records)],
        np.zeros(len(records), np.int64),
        np.arange(len(records)),
    )


class _Bytes:
    """A batch as it came, inflated."""

    def __init__(self, timestamp_type: int, records: bytes, begins: Any, ends: Any) -> None:
        self.timestamp_type = timestamp_type
        self._records, self._begins, self._ends = records, begins, ends

    def headers(self, number: int) -> Headers:
        try:
            return list(_headers(self._records[int(self._begins[number]) : int(self._ends[number])]))
        except (IndexError, UnicodeDecodeError):
            return []


def unpack(header: bytes, records: bytes, begin: int) -> Records:
    """Read the records of a batch from its header and from its records, inflated, which begin at ``records[begin]``.

    Raises:
        CorruptRecordException: they are not what the header says they are, or no records.
    """
    count = int.from_bytes(header[_COUNT], signed=True)
    try:
        begins, ends = _borders(records, begin, count)
        data = np.frombuffer(records, np.uint8)
        later, at = _varints(data, begins + 1)
        deltas, at = _varints(data, at)
        key_size, key_begin = _varints(data, at)
        key_end = _end(key_begin, key_size, ends)
        value_size, value_begin = _varints(data, key_end)
        value_end = _end(value_begin, value_size, ends)
    except IndexError as error:
        raise CorruptRecordException("a record that reaches beyond its batch") from error
    last = int.from_bytes(header[_LAST_DELTA], signed=True)
    if count and (deltas[0] < 0 or deltas[-1] > last or (deltas[1:] <= deltas[:-1]).any()):
        raise CorruptRecordException("offsets that do not rise within the batch")
    appended = bool(int.from_bytes(header[_ATTRIBUTES]) & _LOG_APPEND_TIME)
    if appended:
        timestamps = np.full(count, int.from_bytes(header[_LAST_TIME], signed=True), np.int64)
    else:
        timestamps = later + np.int64(int.from_bytes(header[_BASE_TIME], signed=True))
    return Records(
        deltas + int.from_bytes(header[:8], signed=True),
        timestamps,
        _slices(records, key_begin, key_end, key_size),
        _slices(records, value_begin, value_end, value_size),
        [_Bytes(int(appended), records, value_end, ends)],
        np.zeros(count, np.int64),
        np.arange(count),
    )


def _borders(records: bytes, at: int, count: int) -> tuple[Any, Any]:
    """Return where each record begins (behind its length) and ends. Together they are all of the bytes.

    Each length says where the next one stands, so this is the one part that cannot be done for all at once.
    """
    begins: list[int] = []
    ends: list[int] = []
    begin, end = begins.append, ends.append
    for _ in range(count):
        length = records[at]
        at += 1
        if length >= 0x80:
            byte = records[at]
            if byte < 0x80:  # nearly always two bytes: not worth a call
                length = length & 0x7F | byte << 7
                at += 1
            else:
                length, at = _long(records, at, length)
        # Zigzag: an odd number would be a negative length. Its half does not fit the record.
        begin(at)
        at += length >> 1
        end(at)
    if at != len(records) or len(ends) != count:
        raise CorruptRecordException(f"{count} records do not fill the {len(records)} bytes of their batch")
    return np.array(begins, np.int64), np.array(ends, np.int64)


def _long(data: bytes, at: int, first: int) -> tuple[int, int]:
    """Read on in a varint of more than one byte; return it, not yet unzigzagged, and where it ends."""
    number, shift = first & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > _LONGEST:
            raise IndexError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = data[at]
    at += 1
    if number >= 0x80:
        number, at = _long(data, at, number)
    return number >> 1 ^ -(number & 1), at


def _varints(data: Any, at: Any) -> tuple[Any, Any]:
    """Read a zigzag varint at each of these places at once; return the numbers and where they end."""
    byte = data[at]
    at = at + 1
    number = (byte & 0x7F).astype(np.uint64)
    more, shift = byte >= 0x80, 7
    while more.any():
        if shift > _LONGEST:
            raise IndexError
        # What has ended already is followed by something, at least by the number of headers.
        byte = data[at]
        number |= np.where(more, byte & 0x7F, 0).astype(np.uint64) << np.uint64(shift)
        at += more
        more &= byte >= 0x80
        shift += 7
    return ((number >> np.uint64(1)) ^ (~(number & np.uint64(1)) + np.uint64(1))).view(np.int64), at


def _end(begin: Any, size: Any, ends: Any) -> Any:
    """Return where fields of these sizes end (-1: null), which must leave room for what follows in the record."""
    end = begin + np.maximum(size, 0)
    # Not end >= ends alone: a size of nearly 2**63 would make an end below zero.
    if ((size < -1) | (size >= ends) | (end >= ends)).any():
        raise IndexError
    return end


def _slices(data: bytes, begins: Any, ends: Any, size: Any) -> list[bytes | None]:
    if len(size) and size.min() < 0:
        columns = (begins.tolist(), ends.tolist(), size.tolist())
        return [None if n < 0 else data[begin:end] for begin, end, n in zip(*columns, strict=True)]
    return [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _headers(data: bytes) -> Iterator[tuple[str, Any]]:
    """Read all headers of a record; raises IndexError or UnicodeDecodeError if they cannot be."""
    count, at = _varint(data, 0)
    for _ in range(count):
        size, at = _varint(data, at)
        name, at = data[at : at + size], at + size
        if size < 0 or at > len(data):
            raise IndexError
        size, at = _varint(data, at)
        value = None if size < 0 else data[at : at + size]
        at += max(size, 0)
        if at > len(data):
            raise IndexError
        yield name.decode(), value
