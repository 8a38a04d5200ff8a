"""What a user sees who is mistaken: a message with place and reason, the documented exit code, no traceback."""

from pathlib import Path

import pytest

from leap.errors import CONFIG, OK, UNREACHABLE, USAGE
from leap.main import COMMANDS, run

NOWHERE = ["--kafka", "127.0.0.1:1", "--redis", "redis://:secret@127.0.0.1:1/0"]
EVENT = '{"student":"1","activity":"tap_in","at":"2026-10-05T10:00:00Z","id":"a"}\n'


@pytest.mark.parametrize("command", [name for names in COMMANDS.values() for name in names])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == OK

    text = capsys.readouterr().out
    assert "Example:" in text
    assert "Exit codes" in text


def test_the_list_of_commands_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == OK

    lines = capsys.readouterr().out.splitlines()
    for command in [name for names in COMMANDS.values() for name in names]:
        assert any(line.split()[1:2] == [command] and len(line.split()) > 4 for line in lines), command


@pytest.mark.parametrize("words", [["worker", "nobody"], ["topics", "drop"], ["demo", "--start", "soon"], ["nothing"]])
def test_wrong_usage_is_said_and_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == USAGE

    assert words[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["topics", "check"],
        ["topics", "create"],
        ["status"],
        ["show", "1"],
        ["parity"],
        ["sources", "pause", "events"],
        ["dead-letters", "list"],
    ],
)
def test_what_does_not_answer_is_named_without_its_password(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, *NOWHERE]) == UNREACHABLE

    text = capsys.readouterr().err
    assert "127.0.0.1:1" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEAP_PARTITIONS", "many"),
        ("LEAP_SOURCES", "oulad"),
        ("LEAP_PREFIX", "a b"),
        ("LEAP_METRICS_PORT", "70000"),
        ("LEAP_KAFKA_SECURITY", "tls"),
        ("LEAP_KAFKA_PASSWORD_FILE", "no-file"),
        ("LEAP_REDIS_CA_FILE", "ca.pem"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)

    assert run(["topics", "check"]) == CONFIG
    assert variable.removeprefix("LEAP_").lower() in capsys.readouterr().err.lower()


def test_a_bad_policy_is_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[policy]\nversion = "1"\nowner = "me"\neffective_from = 2026-09-01\nzone = "Europe/Atlantis"\n')

    assert run(["demo", "--policy", str(policy)]) == CONFIG
    text = capsys.readouterr().err.replace("\n", " ")
    assert "policy.zone: unknown time zone 'Europe/Atlantis'" in text
    assert "bands: Field required" in text


def test_a_course_before_every_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--start", "2026-09-05"]) == CONFIG
    assert "no policy is in force on 2026-08-26" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["replay", "none.jsonl", "--source", "events"], "none.jsonl: no such file"),
        (["replay", "FILE", "--source", "moodle"], "--source moodle: unknown; there are oulad, events"),
        (["replay", "FILE", "--source", "oulad"], "--source oulad needs --start"),
        (["ingest", "none.tsv", "--source", "events"], "none.tsv: no such file"),
        (["ingest", "FILE", "--source", "moodle"], "--source moodle: unknown; there are oulad, events"),
        (["demo", "--ratings", "no/where.csv"], "there is no folder no"),
        (["demo", "--pace", "-1"], "--pace"),
        (["sources", "resume", "moodle"], "moodle: unknown; there are oulad, events"),
        (["dead-letters", "list", "--source", "moodle"], "--source moodle: unknown; there are oulad, events"),
        (["dead-letters", "list", "--since", "soon"], "--since soon: give a date"),
        (["dead-letters", "list", "--since", "1h", "--until", "2h"], "is not before"),
        (["dead-letters", "replay", "--limit", "0"], "--limit 0: must be 1 or more"),
        (["dead-letters", "show", "leap.source.events-0/17"], "as in leap.dead-letters-0/17"),
    ],
)
def test_a_mistake_in_the_words_is_explained(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(EVENT)

    assert run([str(file) if word == "FILE" else word for word in words]) == USAGE
    assert message in capsys.readouterr().err
