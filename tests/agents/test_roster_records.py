"""Roster records that the log could not be read with, or did not take: they stopped the roster, or lost a student."""

import asyncio

import orjson
import pytest

from agents.roster import Roster
from schemas import log
from streams.settings import Settings
from tests.fuzz.mutation import SECRET, record
from tests.fuzz.sources import Sent


def handle(key: bytes | None, value: bytes | None) -> Sent:
    sent = Sent()
    roster = Roster(Settings(_env_file=None), sent, sent)  # type: ignore[call-arg,arg-type]
    asyncio.run(roster.handle("leap.students", 0, [record(5, key, value, [], 1_790_000_000_000)]))
    return sent


@pytest.mark.parametrize(
    "value",
    [
        b'{"student":NaN,"student":"s1"}',
        b'{"student":"s1",\n"department":"cs"}',
        b' {"student":"s1"}\n',
        b'{"student":"s1"' + b" " * 60_000 + b"}",
        b'{"absences":' + b"[" * 150 + b"]" * 150 + b',"student":"s1","absences":[]}',
    ],
    ids=["NaN", "two lines", "blanks around", "padded", "nested"],
)
def test_an_entry_stands_in_the_log_as_the_log_is_written(value: bytes) -> None:
    """JSON parsers differ in what they let through; and the padding came on top of a record of the largest size."""
    ((key, raw, _),) = handle(b"s1", value).log

    assert len(raw) < 1_000
    assert b"\n" not in raw
    decoded = log.decode(raw)
    assert isinstance(decoded, log.StudentRecord)
    assert orjson.loads(bytes(decoded.record))["student"] == key.decode()


@pytest.mark.parametrize("key", [b"", b"\x00", b"\x01s1", b"\xff", b"x" * 1_000_000, b"a\nb"])
def test_a_removal_of_what_is_no_student_is_put_aside(key: bytes) -> None:
    """Passed on, the one of a million bytes did not fit the log: its partition of the roster stood still."""
    sent = handle(key, None)

    assert sent.log == []
    assert [letter.reason.partition(":")[0] for letter in sent.letters] == ["key"]


def test_the_name_of_an_unknown_field_is_not_quoted() -> None:
    (letter,) = handle(b"s1", orjson.dumps({"student": "s1", SECRET: 1})).letters

    assert SECRET not in letter.reason
    assert letter.reason == "(a field that is not in the schema): Extra inputs are not permitted"


def test_what_one_of_our_rules_says_of_a_value_is_not_quoted() -> None:
    absence = {"first": "2026-10-09", "last": "2026-10-08"}
    (letter,) = handle(b"s1", orjson.dumps({"student": "s1", "absences": [absence]})).letters

    assert "2026-10" not in letter.reason
    assert letter.reason == "absences.0: breaks a rule"
