"""Keys that tell repeats."""

import numpy as np

from windows.once import OnceKeys


def test_a_key_is_known_on_its_day_only_until_the_day_is_forgotten() -> None:
    once = OnceKeys()
    once.add(5, np.array([3, 1, 2], np.int64))
    days, keys = np.array([5, 5, 6]), np.array([1, 4, 1], np.int64)
    assert once.seen(days, keys).tolist() == [True, False, False]
    once.forget_before(6)
    assert not once.seen(days, keys).any()
    assert len(once) == 0


def test_many_small_additions_are_as_good_as_one_set() -> None:
    rng = np.random.default_rng(1)
    once = OnceKeys()
    plain: set[int] = set()
    for _ in range(60):
        keys = rng.integers(0, 1 << 20, 500)
        new = np.unique(keys[~once.seen(np.full(500, 1), keys)])
        assert {int(k) for k in keys} - plain == {int(k) for k in new}
        once.add(1, new)
        plain |= {int(k) for k in new}
    assert len(once) == len(plain)
    assert set(once.of(1).tolist()) == plain
