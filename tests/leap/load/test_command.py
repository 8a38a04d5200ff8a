"""What the page promises and what a user may get wrong."""

import re
import shlex
from pathlib import Path

import pytest

from leap.errors import UNREACHABLE, USAGE, CommandError
from leap.load.installation import check
from leap.load.plan import BURST
from leap.main import build, run
from streams.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "load.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"^(?:LEAP_\w+=\S+ )*(leap load .*)$", PAGE, re.MULTILINE))
def test_every_command_of_the_page_can_be_given(line: str) -> None:
    command, _, ignored = build(listing=False).parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)

    assert command.__name__ == "load"
    assert not ignored


def test_the_page_has_every_scenario_and_the_burst_it_names() -> None:
    assert set(re.findall(r"--scenario (\w+)", PAGE)) == {"steady", "burst", "backlog", "close", "weeks"}
    assert f"{BURST:.0f} times the rate" in PAGE


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "0"], "--rate 0.0: must be more than 0"),
        (["--students", "9"], "--students 9: must be 10 or more"),
        (["--scenario", "close"], "--scenario close starts and stops roles itself: add --local"),
        (["--series", "load.txt"], "--series load.txt: the name must end in .csv or .jsonl"),
        (["--png", "no/where.png"], "--png no/where.png: there is no folder no"),
        (["--log", "roles.log"], "--log: the roles of an installation that runs elsewhere have a log of their own"),
        (["--local", "--log", "no/roles.log"], "--log no/roles.log: there is no folder no"),
    ],
)
def test_a_mistake_is_explained_before_anything_starts(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["load", *words]) == USAGE
    assert message in capsys.readouterr().err


def test_an_installation_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", "--kafka", "127.0.0.1:1"]) == UNREACHABLE
    assert "no Kafka at 127.0.0.1:1" in capsys.readouterr().err


def test_more_students_than_partitions_can_hold_are_refused() -> None:
    with pytest.raises(CommandError, match=r"120,001 students need 3 partitions .* there are 2: LEAP_PARTITIONS"):
        check(Settings(_env_file=None, partitions=2), 120_001)  # type: ignore[call-arg]
    check(Settings(_env_file=None, partitions=2), 120_000)  # type: ignore[call-arg]
