"""`leap demo --sources`: every record of every source, by all ways in, ends where it was planted to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from leap.demo.sources.days import Days
from leap.demo.sources.ledger import COLUMNS, FATES
from leap.demo.sources.plan import SOURCES, make

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_every_record_of_every_source_is_accounted_for() -> None:
    command = [sys.executable, "-m", "leap.main", "demo", "--sources", "--once", "--json", "--seed", "7"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["differences"] == []
    assert set(outcome["sources"]) == set(SOURCES)
    for line in (*outcome["sources"].values(), outcome["total"]):
        assert line["sent"] == sum(line[fate] for fate in FATES)
    assert all(outcome["total"][column] for column in COLUMNS)
    # What it compares itself with, made here again: the figures do not depend on the hour.
    assert outcome["sources"] == make(Days("Europe/London", 1_795_000_000.0), seed=7).ledger().as_json()
    assert "simulated" in done.stderr
