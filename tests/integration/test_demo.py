"""`leap demo` ends where an independent calculation ends: from the CSV files and the policy, in fractions."""

import csv
import json
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "leap" / "data" / "oulad"
DEFAULT_POLICY = ROOT / "policy" / "2026.1.toml"
START = date(2026, 10, 5)
DAYS = [START + timedelta(days=n) for n in range(-10, 3)]
LAST = DAYS[-1]

SHORT_WINDOW = """
[policy]
version = "short"
owner = "a test"
effective_from = 2026-09-01
zone = "Europe/London"
window_days = 3

[activities.moodle_login]
weight = 1.0
target = 3

[activities.moodle_course]
weight = 2.0
target = 25

[bands]
high = 60.0
good = 35.0
partial = 12.5
low = 2.5

[alerts.low_engagement]
at_or_below = "very_low"
"""

LONG_WINDOW_WITH_DAYS_OFF = """
[policy]
version = "long"
owner = "a test"
effective_from = 2026-09-20
zone = "Europe/London"
window_days = 10
part_time_window_days = 21

[activities.moodle_login]
weight = 1.5
target = 1

[activities.moodle_course]
weight = 0.5
target = 7

[activities.tap_in]
weight = 1.0

[activities.reading_list]

[bands]
high = 40.0
good = 30.0
partial = 20.0
low = 10.0

[alerts.no_activity]
days = [3, 5]

[[off]]
activity = "moodle_login"
first = 2026-09-28
last = 2026-09-30
effect = "leaves"

[[off]]
activity = "moodle_course"
first = 2026-10-02
last = 2026-10-03
effect = "lowers"

[[off]]
activity = "tap_in"
first = 2026-09-01
last = 2026-10-06
effect = "leaves"
"""


class Expected(NamedTuple):
    """Where a student must stand after the close of the last day."""

    rating: str
    score: str
    reason: str


def lines(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def day(text: str) -> date:
    return START + timedelta(days=int(text))


def day_score(policy: dict[str, Any], on: date, counts: Counter[str]) -> Fraction:
    """100 x sum(weight x min(1, count / target)) / sum(weight), with what is switched off that day."""
    off = {
        entry["activity"]: entry["effect"] for entry in policy.get("off", []) if entry["first"] <= on <= entry["last"]
    }
    earned, possible = Fraction(0), Fraction(0)
    for activity, rule in policy["activities"].items():
        if "weight" not in rule or off.get(activity) == "leaves":
            continue
        weight = Fraction(str(rule["weight"]))
        possible += weight
        if off.get(activity) != "lowers":
            earned += weight * min(Fraction(1), Fraction(counts[activity], rule.get("target", 1)))
    return 100 * earned / possible if possible else Fraction(0)


def expected(policy: dict[str, Any]) -> dict[str, Expected]:
    """Every student's official rating after the close of the last day."""
    types = {line["id_site"]: line["activity_type"] for line in lines("vle.csv")}
    counts: defaultdict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for line in lines("studentVle.csv"):
        activity = "moodle_login" if types[line["id_site"]] == "homepage" else "moodle_course"
        counts[line["id_student"], day(line["date"])][activity] += int(line["sum_click"])
    window = [LAST - timedelta(days=n) for n in range(policy["policy"]["window_days"])]
    found = {}
    for line in lines("studentRegistration.csv"):
        student = line["id_student"]
        first = day(line["date_registration"]) if line["date_registration"] else date.min
        last = day(line["date_unregistration"]) - timedelta(days=1) if line["date_unregistration"] else date.max
        if first > LAST:
            found[student] = Expected("not_rated", "", "not_started")
        elif last < LAST:
            found[student] = Expected("not_rated", "", "withdrawn")
        else:
            days = [on for on in window if first <= on <= last]
            mean = sum((day_score(policy, on, counts[student, on]) for on in days), Fraction(0)) / len(days)
            bands = policy["bands"]
            falling = [name for name in ("high", "good", "partial", "low") if mean >= Fraction(str(bands[name]))]
            found[student] = Expected(falling[0] if falling else "very_low", f"{float(mean):.6f}", "")
    return found


def run_demo(tmp_path: Path, *options: str) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Run the demo to its end; return its JSON and its CSV by student."""
    ratings = tmp_path / "ratings.csv"
    command = [sys.executable, "-m", "leap.main", "demo", "--once", "--json", "--ratings", str(ratings), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    with ratings.open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    return json.loads(done.stdout.splitlines()[-1]), rows


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("policy", "pace"),
    [(None, "1"), (SHORT_WINDOW, "0.1"), (LONG_WINDOW_WITH_DAYS_OFF, "0.1")],
    ids=["default policy", "short window", "long window, part-time window, days off"],
)
def test_every_student_stands_where_an_independent_calculation_puts_them(
    tmp_path: Path, policy: str | None, pace: str
) -> None:
    file = DEFAULT_POLICY
    options = ["--pace", pace]
    if policy is not None:
        file = tmp_path / "policy.toml"
        file.write_text(policy)
        options += ["--policy", str(file)]

    outcome, ratings = run_demo(tmp_path, *options)

    should = expected(tomllib.loads(file.read_text()))
    have = {student: Expected(row["rating"], row["score"], row["reason"]) for student, row in ratings.items()}
    assert have == should
    assert {row["day"] for row in ratings.values()} == {LAST.isoformat()}
    rated = Counter(student.rating for student in should.values() if student.score)
    assert len(lines("studentVle.csv")) == outcome["events"] == outcome["counted"] == 13_905
    assert len(should) == outcome["students"] == 383
    assert rated == outcome["ratings"]
    assert rated.total() == outcome["rated"]
    assert Counter(student.reason for student in should.values() if student.reason) == outcome["not_rated"]
    assert outcome["lag"] == 0
    assert outcome["dead_letters"] == 0
    assert outcome["latency_p99_ms"] > 0
