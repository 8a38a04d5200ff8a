"""The state's codec."""

import numpy as np
import pytest

from schemas.state import CodecError, blank_rows, decode_rows, encode_rows


def test_rows_come_back_as_they_were() -> None:
    rows = blank_rows(3, 7, 9, anchor=20_000)
    rows["counts"][1, 3, 2] = 65_535
    rows["older"][2] = [12.5, 99.0]
    assert decode_rows(encode_rows(rows, 7, 9), 7, 9).tobytes() == rows.tobytes()


@pytest.mark.parametrize("broken", [b"\x02\x01\x07\x07", b"\x01\x02\x07\x07", b"\x01\x01\x07\x07short", b"", b"\x01"])
def test_an_unknown_codec_layout_or_length_is_refused(broken: bytes) -> None:
    with pytest.raises(CodecError):
        decode_rows([broken], 7, 7)


@pytest.mark.parametrize("window", [5, 9])
def test_a_window_that_changes_keeps_the_days_that_both_hold(window: int) -> None:
    """Slots are days up to anchor + 2, so the newest slots of both layouts are the same days."""
    rows = blank_rows(1, 7, 7, anchor=20_000)
    rows["counts"][0, :, 0] = np.arange(1, 10)
    moved = decode_rows(encode_rows(rows, 7, 7), window, window)
    kept = min(7, window) + 2
    assert moved["counts"][0, -kept:, 0].tolist() == list(range(1, 10))[-kept:]
    assert moved["counts"][0, :-kept, 0].sum() == 0
    assert moved["anchor"][0] == 20_000
