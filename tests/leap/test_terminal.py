import pytest

from leap.terminal import bar, sparkline


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, "    "), (1, "████"), (0.5, "██  "), (0.28, "█▏  "), (-1, "    "), (7, "████")]
)
def test_a_bar_is_as_long_as_its_share_and_as_wide_as_asked(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_a_sparkline_is_scaled_to_its_highest_value() -> None:
    assert sparkline([0, 5, 10]) == " ▄█"


def test_a_sparkline_of_nothing_is_empty_and_of_zeroes_blank() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "  "
