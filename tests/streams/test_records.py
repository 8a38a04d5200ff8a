"""Records read in columns are those that aiokafka reads one by one."""

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.records import HEADER_BYTES, joined
from tests.fuzz.batches import (
    CODECS,
    batch,
    built,
    checked,
    columns,
    fields,
    plain,
    read_alike,
    unpacked,
)

MAYBE = st.none() | st.binary(max_size=300)
RECORDS = st.lists(
    st.tuples(
        st.integers(1, 3),  # how far from the offset before: compaction leaves gaps
        st.integers(-(10**6), 10**13),
        MAYBE,
        MAYBE,
        st.lists(st.tuples(st.text(max_size=5), MAYBE), max_size=3),
    ),
    max_size=40,
)


def spread(codec: int, records: list[Any]) -> bytes:
    """Return a batch of them, each so many offsets behind the one before."""
    offsets = accumulate((step for step, *_ in records), initial=-1)
    next(offsets)
    return built(codec, ((offset, *rest) for offset, (_, *rest) in zip(offsets, records, strict=True)))


@settings(deadline=None)
@given(RECORDS, st.sampled_from(list(CODECS.values())), st.booleans())
def test_both_ways_of_reading_agree(records: list[Any], codec: int, appended: bool) -> None:
    """Null and empty keys and values, gaps, time stamps of the sender and of the broker, headers without value."""
    raw = spread(codec, records)
    if appended:
        raw = checked(raw[:21] + bytes([raw[21], raw[22] | 0x08]) + raw[23:])

    (objects,), (found,) = unpacked(raw), unpacked(raw, columns)

    assert [fields(record) for record in found] == [fields(record) for record in objects]
    assert [list(record.headers) for record in found] == [list(record.headers) for record in objects]


@given(st.binary(max_size=200), st.integers(0, 5))
def test_bytes_that_are_no_records_are_kept_as_they_are(content: bytes, count: int) -> None:
    raw = batch(0, [b"one"])

    read_alike(checked(raw[:57] + count.to_bytes(4) + content))


def test_a_records_attributes_are_one_byte_whatever_is_in_it() -> None:
    """By the format; aiokafka reads on in the next byte where the highest bit is set, and reads something else."""
    sound = batch(0, [b"one"])
    raw = checked(sound[: HEADER_BYTES + 1] + b"\xd9" + sound[HEADER_BYTES + 2 :])

    (objects,), (found,) = unpacked(raw), unpacked(raw, columns)

    assert [fields(record) for record in found] == [(0, 1_790_000_000_000, 0, b"k", b"one")]
    assert plain(raw) == sound
    assert [fields(record) for record in objects] != [fields(record) for record in found], "aiokafka reads it, too, now"


def test_some_of_several_batches() -> None:
    """A fetch has several batches, begins in the middle of the first one, and may be taken in parts."""
    first, second = unpacked(
        batch(0, [b"0", b"1", b"2"], [("h", b"a")]) + batch(1, [b"3", b"4"], [("h", b"b")]), columns
    )
    second.offsets[:] += 3  # type: ignore[attr-defined]

    found = joined([first.since(1), second])  # type: ignore[attr-defined, list-item]

    assert [record.value for record in found] == [b"1", b"2", b"3", b"4"]
    assert [record.value for record in found[1:3]] == [b"2", b"3"]
    assert [record.headers for record in found[1:3]] == [[("h", b"a")], [("h", b"b")]]
    assert (found[-1].value, found[-1].offset, found[0].offset, len(found[2:])) == (b"4", 4, 1, 2)
    assert len(joined([])) == 0


def test_they_have_no_names() -> None:
    """Faust asks whatever it is given for the name of a model, and takes a TypeError for no."""
    with pytest.raises(TypeError):
        joined([])["__faust"]  # type: ignore[call-overload]
