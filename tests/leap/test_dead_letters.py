"""What a user gives and sees of dead letters."""

from datetime import UTC, datetime

import pytest

from leap.commands.dead_letters import instant, printable
from leap.errors import CommandError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 1e9 - 5400),
        ("2d", 1e9 - 2 * 86400),
        ("2026-10-05", datetime(2026, 10, 5, tzinfo=UTC).timestamp()),
        ("2026-10-05T14:30+01:00", datetime(2026, 10, 5, 13, 30, tzinfo=UTC).timestamp()),
    ],
)
def test_a_time_or_how_long_ago(text: str, seconds: float) -> None:
    assert instant("--since", text, 1e9) == seconds


@pytest.mark.parametrize("text", ["", "h", "2w", "-2h", "yesterday", "2026-13-01"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(CommandError, match=f"--until {text}"):
        instant("--until", text, 1e9)


def test_what_a_source_sent_does_nothing_to_a_terminal() -> None:
    assert printable("café \x1b]0;x\x07\u202e".encode() + b"\xff") == "café \\x1b]0;x\\x07\\u202e\\xff"
