"""The fuzzer that is guided by coverage runs: what it finds in earnest is found by hand, not by these tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="there is no atheris for this machine")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", ["tap-ins", "gateway"])
def test_it_tries_inputs_and_tells_how_many(target: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", "--target", target, "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    (executed,) = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    assert int(executed) > 50
