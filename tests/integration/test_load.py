"""`leap load`, end to end: a short real load on servers and roles of its own."""

import csv
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATE, SECONDS, STUDENTS = 200, 6, 300


def test_a_load_is_sent_at_its_rate_counted_to_the_last_event_and_measured(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "leap.main", "load", "--local", "--json", "--even",
        "--rate", str(RATE), "--minutes", str(SECONDS / 60), "--students", str(STUDENTS),
        "--series", str(tmp_path / "load.csv"), "--png", str(tmp_path / "load.png"), "--log", str(tmp_path / "load.log"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    sent = RATE * SECONDS
    assert result["events"] == {
        "sent": sent,
        "counted": sent,
        "repeated": 0,
        "fenced": 0,
        "lost": 0,
        "sent_again": 0,
        "dead_letters": 0,
    }
    assert result["rate"]["asked"] == RATE
    assert result["restarts"] == 0
    latency = result["latency_ms"]
    assert latency["samples"] == sent // 4  # 50 a second
    assert latency["never"] == 0
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
    processes = {"roster", "intake", "engagement", "clock", "readmodel", "redis", "broker", "generator"}
    assert set(result["rss_mb"]) == set(result["cpu_share"]) == processes
    assert set(result["lag_max"]) == {"roster", "intake", "engagement", "readmodel"}
    with (tmp_path / "load.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= SECONDS - 1
    assert sum(int(row["sent"]) for row in rows) <= sent
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")
    assert "engagement: metrics and probes on port" in (tmp_path / "load.log").read_text()
