"""What the sink writes first."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from sinks.lanes import Lanes

ROWS, OTHER = TopicPartition("leap.engagement", 0), TopicPartition("leap.engagement", 1)
CHANGES = TopicPartition("leap.ratings", 0)
CLOSE = 7
"""The version that the rows of a close have."""


def row(offset: int, version: int, key: bytes = b"student") -> Any:
    value = b"\x01\x01\x07\x07" + version.to_bytes(8, "little") if version >= 0 else None
    return SimpleNamespace(offset=offset, key=key, value=value)


def rows(first: int, *versions: int) -> list[Any]:
    return [row(first + i, version) for i, version in enumerate(versions)]


def offsets(taken: Any, tp: TopicPartition = ROWS) -> list[int]:
    return [record.offset for record in taken.records.get(tp, [])]


def test_activities_pass_the_rows_of_a_close() -> None:
    """A close of 3,000, then two activities, then the partition's own row: that one says that the close is written."""
    lanes = Lanes(ROWS.topic)
    lanes.put(ROWS, [*rows(0, *[CLOSE] * 3000), *rows(3000, 8, 9), row(3002, 9, key=b"\x00")])

    first = lanes.take(5000)
    assert offsets(first)[:2] == [3000, 3001]
    assert offsets(first)[2:] == list(range(1000))
    assert first.ends == {ROWS: 1000}

    left = [lanes.take(5000) for _ in range(4)]
    assert [offset for taken in left for offset in offsets(taken)] == [*range(1000, 3000), 3002]
    assert left[-1].ends == {} or left[-1].ends == {ROWS: 3003}
    assert not lanes


def test_an_activity_that_is_fetched_while_the_close_is_written_passes_it_too() -> None:
    lanes = Lanes(ROWS.topic)
    lanes.put(ROWS, rows(0, *[CLOSE] * 3000))
    lanes.take(500)
    lanes.put(ROWS, rows(3000, CLOSE, 8))

    assert offsets(lanes.take(500))[0] == 3001


def test_what_has_few_records_keeps_its_order() -> None:
    lanes = Lanes(ROWS.topic)
    lanes.put(ROWS, rows(10, 3, 2, 1))

    taken = lanes.take(5000)

    assert offsets(taken) == [10, 11, 12]
    assert taken.ends == {ROWS: 13}


def test_what_is_no_row_keeps_its_order() -> None:
    """The stream of changes takes no entry that is older than its last one."""
    lanes = Lanes(ROWS.topic)
    lanes.put(CHANGES, rows(0, *[CLOSE] * 3000, 8))

    assert [o for _ in range(4) for o in offsets(lanes.take(5000), CHANGES)] == list(range(3001))


def test_other_partitions_do_not_wait_for_a_close() -> None:
    lanes = Lanes(ROWS.topic)
    lanes.put(ROWS, rows(0, *[CLOSE] * 3000))
    lanes.put(OTHER, rows(0, 8, 9))

    taken = lanes.take(100)

    assert offsets(taken, OTHER) == [0, 1]
    assert len(offsets(taken)) == 20


def test_a_partition_of_which_very_much_waits_is_full() -> None:
    lanes = Lanes(ROWS.topic)
    lanes.put(ROWS, rows(0, *[CLOSE] * 200_000))
    assert lanes.full(ROWS)
    assert not lanes.full(OTHER)

    lanes.forget(ROWS)
    assert not lanes.full(ROWS)
    assert not lanes


STEP = st.tuples(
    st.sampled_from([ROWS, OTHER, CHANGES]),
    st.lists(st.tuples(st.sampled_from([-1, CLOSE, CLOSE, 8, 9]), st.integers(1, 800)), min_size=1, max_size=5),
    st.integers(0, 3),
    st.integers(1, 2000),
)


@given(st.lists(STEP, min_size=1, max_size=6))
def test_each_record_is_taken_once_and_the_end_never_passes_one_that_waits(steps: list[Any]) -> None:
    lanes, put, taken = Lanes(ROWS.topic), dict.fromkeys([ROWS, OTHER, CHANGES], 0), []
    done: dict[TopicPartition, set[int]] = {ROWS: set(), OTHER: set(), CHANGES: set()}

    def take(most: int) -> None:
        found = lanes.take(most)
        taken.append(found)
        for tp, records in found.records.items():
            assert done[tp].isdisjoint(r.offset for r in records)
            done[tp] |= {r.offset for r in records}
            assert set(range(found.ends[tp])) <= done[tp]

    for tp, parts, times, most in steps:
        records = rows(put[tp], *[version for version, n in parts for _ in range(n)])
        put[tp] += len(records)
        lanes.put(tp, records)
        for _ in range(times):
            take(most)
    while lanes:
        before = sum(map(len, done.values()))
        take(5000)
        assert sum(map(len, done.values())) > before
    assert {tp: len(offsets) for tp, offsets in done.items()} == put
