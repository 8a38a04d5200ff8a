"""What the README names is there."""

import re
from pathlib import Path

import pytest

from leap.main import COMMANDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", TEXT))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_command_in_it_is_one() -> None:
    named = set(re.findall(r"(?:^|`|bin/)leap ([a-z-]+)", TEXT, re.MULTILINE))

    assert named <= {name for commands in COMMANDS.values() for name in commands}
    assert {"demo", "up", "show", "status", "replay", "worker", "topics", "parity", "rebuild"} <= named


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_an_example_is_proper_python(code: str) -> None:
    compile(code, "README.md", "exec")
