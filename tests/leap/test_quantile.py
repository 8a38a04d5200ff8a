import pytest

from leap.measure import quantile


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile(share, [float(n) for n in range(100, 0, -1)]) == value


def test_the_quantile_of_one_value_is_that_value() -> None:
    assert quantile(0.99, [3.0]) == 3.0
