"""A record batch that inflates too far is one record that no reader can use, and costs no more memory than a good one."""

import subprocess
import sys
from typing import Any

import pytest

from schemas.dead_letters import WHOLE_BATCH
from streams.inflation import MOST_BYTES, MOST_RECORDS
from tests.fuzz.batches import CODECS, batch, bomb, checked, columns, unpacked

WAYS = pytest.mark.parametrize("read", [list, columns], ids=["objects", "columns"])


@WAYS
@pytest.mark.parametrize("codec", CODECS)
def test_good_batches_come_as_they_were_sent(codec: str, read: Any) -> None:
    values = [b"one", b"two" * 1000, b""]

    ((one, two, three),) = unpacked(batch(CODECS[codec], values, [("h", b"v")]), read)
    assert [one.value, two.value, three.value] == values
    assert (one.key, one.offset, three.offset, list(one.headers)) == (b"k", 0, 2, [("h", b"v")])


@WAYS
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_bomb_is_kept_as_it_stands(codec: str, read: Any) -> None:
    raw = bomb(CODECS[codec])

    ((whole,),) = unpacked(raw, read)
    assert (whole.key, whole.value, whole.offset) == (None, raw, 0)
    assert whole.headers[0][0] == WHOLE_BATCH


@WAYS
def test_a_batch_of_too_many_records_is_kept_as_it_stands(read: Any) -> None:
    raw = batch(CODECS["zstd"], [b""] * (MOST_RECORDS + 1))

    ((whole,),) = unpacked(raw, read)
    assert (whole.value, whole.offset) == (raw, MOST_RECORDS)


@WAYS
@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_whose_content_is_no_records_is_kept_as_it_stands(codec: str, read: Any) -> None:
    """Its checksum is right, so it is no better when it is fetched again: it stopped its partition."""
    raw = batch(CODECS[codec], [b"value" * 9])
    broken = checked(raw[:61] + b"\xff" * (len(raw) - 61))

    ((whole,),) = unpacked(broken, read)
    assert (whole.key, whole.value) == (None, broken)


def test_the_name_of_a_header_that_is_not_utf_8_ends_nothing() -> None:
    raw = batch(CODECS["none"], [b"value"], [("name-of-a-header", b"v")])
    broken = checked(raw.replace(b"name-of-a-header", b"name-of-a-heade\xff"))

    ((whole,),) = unpacked(broken)
    assert whole.value == broken
    ((record,),) = unpacked(broken, columns)
    assert (record.value, record.headers) == (b"value", [])


def test_a_fetch_of_many_small_bombs_is_taken_in_parts() -> None:
    one = batch(CODECS["zstd"], [bytes(MOST_BYTES // 2)])

    assert len(unpacked(one * 50)) == 2


def test_the_memory_of_a_dozen_bombs_is_that_of_one() -> None:
    script = (
        "import resource\n"
        "from tests.fuzz.batches import CODECS, batch, unpacked\n"
        "from streams.inflation import MOST_BYTES\n"
        "bombs = batch(CODECS['zstd'], [bytes(4 * MOST_BYTES)])\n"
        "made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in range(12):\n"
        "    unpacked(bombs)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - made)\n"
    )
    grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)

    assert grown < 2 * MOST_BYTES // 1024
