"""A table of claims says what a plain dictionary says, whatever came in which order, and wherever it was merged."""

from random import Random
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.identity_table import FOR_EVER, SINCE_EVER, IdentityTable


class Change(NamedTuple):
    """A claim, or its withdrawal (``claimed`` None)."""

    hash: int
    student: bytes
    first: int
    last: int
    claimed: int | None


HASHES = [0, 1, 2, 2**64 - 1]
ASKED = [(digest, day) for digest in (*HASHES, 3) for day in range(1, 14)]
CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(HASHES),
        st.sampled_from([b"a", b"b", b"c"]),
        st.sampled_from([SINCE_EVER, 2, 5, 9]),
        st.sampled_from([4, 8, 12, FOR_EVER]),
        st.none() | st.integers(0, 3),
    ),
    max_size=60,
)
Oracle = dict[tuple[int, bytes, int], tuple[int, int]]


def applied(changes: list[Change], delta_least: int) -> tuple[IdentityTable, Oracle]:
    """Return a table and a plain dictionary after the same changes."""
    table, oracle = IdentityTable(delta_least), Oracle()
    for change in changes:
        if change.claimed is None:
            table.drop(change.hash, change.student, change.first)
            oracle.pop(change[:3], None)
        else:
            table.put(*change)  # type: ignore[arg-type]
            oracle[change[:3]] = change.last, change.claimed
    return table, oracle


def holder(oracle: Oracle, digest: int, day: int) -> bytes | None:
    """Return who holds a key on a day: the oldest claim that covers it."""
    found = [
        (claimed, student)
        for (held, student, first), (last, claimed) in oracle.items()
        if held == digest and first <= day <= last
    ]
    return min(found)[1] if found else None


def says(table: IdentityTable) -> list[bytes | None]:
    """Return what a table says of every key on every day."""
    found = table.find(np.array([h for h, _ in ASKED], np.uint64), np.array([d for _, d in ASKED], np.int32))
    return [None if i < 0 else table.students[i] for i in found.student]


@given(CHANGES, st.integers(0, 5))
def test_it_says_what_a_dictionary_says(changes: list[Change], delta_least: int) -> None:
    table, oracle = applied(changes, delta_least)

    assert says(table) == [holder(oracle, *one) for one in ASKED]
    assert len(table) == len(oracle)
    for (digest, student, first), (last, claimed) in oracle.items():
        held = table.get(digest, student, first)
        assert held is not None
        assert (held.last, held.claimed) == (last, claimed)
        rivals = [
            (c, s) < (claimed, student)
            for (h, s, f), (until, c) in oracle.items()
            if h == digest and s != student and f <= last and first <= until
        ]
        assert table.rival(digest, student, first, last, claimed) == any(rivals)


@given(CHANGES, st.randoms(use_true_random=False))
def test_what_compaction_leaves_in_whatever_order_says_the_same(changes: list[Change], rng: Random) -> None:
    """A process that starts again reads the last record of each key, from partitions in any order."""
    table, _ = applied(changes, 3)
    left = list({change[:3]: change for change in changes}.values())
    rng.shuffle(left)
    again, _ = applied(left, 100)

    assert says(again) == says(table)


def test_a_claim_takes_20_bytes_once_it_is_merged() -> None:
    table = IdentityTable(delta_least=100)
    for digest in range(1_000):
        table.put(digest, b"s%d" % (digest % 50), 1, 9, 7)
    table.merge()

    assert table.nbytes == 20 * len(table) == 20_000
