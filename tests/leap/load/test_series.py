import csv
from pathlib import Path

import orjson
import pytest

from leap.load.picture import draw
from leap.load.series import Series, slope
from leap.load.watch import Look


def look(mb: float, cpu: float, lag: int = 0) -> Look:
    return Look({"intake": lag}, {"intake": mb}, {"intake": cpu})


@pytest.fixture
def series() -> Series:
    made = Series()
    for second, (sent, counted, lag) in enumerate([(0, 0, 0), (100, 90, 10), (200, 150, 50), (300, 300, 0)]):
        made.add(second + 0.001, sent, counted, look(100.0, 5.0 + second / 2, lag))
    made.place({0: [1.0, 2.0, 3.0], 2: [7.0]})
    made.marks.append((1.5, "half"))
    return made


def test_a_second_has_what_happened_in_it(series: Series) -> None:
    first, second, third = (second.row() for second in series.seconds)

    assert first == {
        "second": 0,
        "sent": 100,
        "counted": 90,
        "p50_ms": 2.0,
        "p99_ms": 3.0,
        "lag_intake": 10,
        "rss_mb_intake": 100.0,
        "cpu_intake": 0.5,
    }
    assert (second["counted"], second["p50_ms"]) == (60, None)
    assert (third["counted"], third["p50_ms"]) == (150, 7.0)
    assert series.lag_max() == {"intake": 50}
    assert series.cpu_share() == {"intake": 0.5}


def test_the_files_have_a_row_a_second(series: Series, tmp_path: Path) -> None:
    series.write(tmp_path / "s.csv")
    series.write(tmp_path / "s.jsonl")

    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sent"] for row in rows] == ["100", "100", "100"]
    lines = (tmp_path / "s.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["second"] for line in lines] == [0, 1, 2]


def test_a_process_that_comes_later_has_its_own_columns(series: Series, tmp_path: Path) -> None:
    series.add(4.0, 400, 400, Look({"intake": 0}, {"intake": 100.0, "engagement": 50.0}, {}))
    series.write(tmp_path / "s.csv")

    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rss_mb_engagement"] for row in rows] == ["", "", "", "50.0"]
    assert series.memory(per=10, skip=0)["engagement"]["slope_percent"] == 0.0


def test_the_picture_is_drawn(series: Series, tmp_path: Path) -> None:
    draw(series, "a test", tmp_path / "s.png")

    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_the_slope_is_in_percent_of_the_mean_and_leaves_the_warm_up_out() -> None:
    at = [float(n) for n in range(100)]
    warm = [50.0] * 25 + [100.0 + 0.1 * n for n in range(75)]

    # 0.1 a second of 103.7 on average, 10 seconds long.
    assert slope(at, warm, per=10, skip=25) == pytest.approx(100 * 1.0 / 103.7, rel=1e-3)
    assert slope(at, [7.0] * 100, per=10) == pytest.approx(0.0, abs=1e-9)
    assert slope([0.0], [7.0], per=10) == 0.0


def test_the_memory_of_each_process_has_its_own_slope(series: Series) -> None:
    assert series.memory(per=10, skip=0) == {"intake": {"start": 100.0, "end": 100.0, "slope_percent": 0.0}}
