"""A source trips when more than the share of its last records was unusable, and at no other time."""

from hypothesis import given
from hypothesis import strategies as st

from streams.breaker import Breaker

OUTCOMES = st.lists(st.lists(st.booleans(), max_size=30), max_size=20)


@given(OUTCOMES, st.integers(1, 40), st.integers(1, 100))
def test_it_trips_if_and_only_if_more_than_the_share_of_the_last_records_was_unusable(
    batches: list[list[bool]], size: int, percent: int
) -> None:
    """After each batch, whatever came before, and not while there are fewer records than it judges."""
    breaker, everything = Breaker(size, percent / 100), list[bool]()
    for batch in batches:
        breaker.add(batch)
        everything += batch
        last = everything[-size:]
        assert breaker.unusable == sum(last)
        assert breaker.tripped == (len(last) == size and 100 * sum(last) > percent * size)


def test_with_a_share_of_one_it_never_trips() -> None:
    breaker = Breaker(10, 1.0)
    breaker.add([True] * 1000)

    assert not breaker.tripped


def test_cleared_it_begins_anew() -> None:
    breaker = Breaker(3, 0.5)
    breaker.add([True] * 3)
    breaker.clear()
    breaker.add([True] * 2)

    assert not breaker.tripped
