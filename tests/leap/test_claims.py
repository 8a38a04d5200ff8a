"""What a directory's file leads to: claims that are not there yet, and for each line that is not taken its reason."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from leap.claims import NO_CLAIM, Change, Claims
from leap.csv_file import Bad
from leap.errors import CONFIG, USAGE, CommandError
from leap.identity_file import Line, read
from leap.main import run
from schemas import identities
from streams.identities import REFUSED, Hashing, hold
from streams.settings import Settings

HEADER = "source,key,student,from,to\n"


def settings(**given: str) -> Settings:
    """Return settings with these keys."""
    return Settings(_env_file=None, **{name: SecretStr(key) for name, key in given.items()})  # type: ignore[arg-type]


OLD, NEW = settings(identity_key="old"), settings(identity_key="new")
BOTH = settings(identity_key="new", identity_key_before="old")


def line(key: str, student: str, first: int | None = None, last: int | None = None) -> Line:
    """Return a line of October 2026."""
    days = [None if day is None else date(2026, 10, day) for day in (first, last)]
    return Line(2, "zoom", key, student, *days)


def written(change: Change | str) -> list[tuple[int, str, int | None, date | None]]:
    """Return what a change writes and withdraws: hash, student, age and end (no age: withdrawn)."""
    assert isinstance(change, Change), change
    found: list[tuple[int, str, int | None, date | None]] = []
    for key, value, _ in [*change.write, *change.withdraw]:
        claim, terms = identities.read(key, value)
        age, last = (None, None) if terms is None else (terms.claimed, terms.last)
        found.append((claim.hash, claim.student, age, last))
    return found


def hashes(of: Settings, key: str) -> list[int]:
    return Hashing(of).of("zoom", key)


def test_a_line_is_written_once_and_a_claim_keeps_its_age() -> None:
    (h,) = hashes(NEW, "a")
    claims = Claims(NEW, 100.9)
    assert written(claims.load(line("a", "ann"))) == [(h, "ann", 100, None)]
    assert written(claims.load(line("A ", "ann"))) == []

    later = Claims(NEW, 200.0)
    later.table = claims.table
    assert written(later.load(line("a", "ann", None, 9))) == [(h, "ann", 100, date(2026, 10, 9))]
    assert written(later.load(line("a", "ann", None, 12))) == [(h, "ann", 100, date(2026, 10, 12))]
    assert written(later.load(line("a", "bob", 13))) == [(h, "bob", 200, None)]


def test_nobody_gets_days_that_somebody_else_claims() -> None:
    """Neither by a new claim nor by one that grows, however old it is."""
    claims = Claims(NEW, 100.0)
    assert written(claims.load(line("a", "ann", None, 9)))
    assert claims.load(line("a", "bob", 9)) == REFUSED
    assert claims.load(line("a", "bob")) == REFUSED
    assert written(claims.load(line("a", "bob", 10, 20)))
    assert claims.load(line("a", "ann", None, 10)) == REFUSED
    assert written(claims.load(line("a", "ann", 21)))
    assert written(claims.load(line("a", "ann", None, 8)))


def test_a_new_key_takes_over_what_stands_under_the_one_before() -> None:
    """With its age, and never without either; another student is not let in by it."""
    (old,), (new,) = hashes(OLD, "a"), hashes(NEW, "a")
    before = Claims(OLD, 100.0)
    before.load(line("a", "ann", None, 9))
    claims = Claims(BOTH, 200.0)
    claims.table = before.table

    assert claims.load(line("a", "bob")) == REFUSED
    assert written(claims.load(line("a", "ann", None, 9))) == [
        (new, "ann", 100, date(2026, 10, 9)),
        (old, "ann", None, None),
    ]
    assert written(claims.load(line("a", "ann", None, 9))) == []
    assert claims.load(line("a", "bob")) == REFUSED


def test_what_is_withdrawn_is_gone_under_either_key() -> None:
    (old,), (new,) = hashes(OLD, "a"), hashes(NEW, "a")
    claims = Claims(BOTH, 100.0)
    claims.load(line("a", "ann"))
    hold(claims.table, identities.Claim("zoom", old, None, "ann"), identities.Terms(1, 5))

    assert claims.withdraw(line("a", "bob")) == NO_CLAIM
    assert written(claims.withdraw(line("a", "ann"))) == [(new, "ann", None, None), (old, "ann", None, None)]
    assert claims.withdraw(line("a", "ann")) == NO_CLAIM
    assert written(claims.load(line("a", "bob")))


def test_lines_that_cannot_be_used_are_told_by_their_number_without_what_is_in_them(tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    bad = {
        3: ("zoom,SECRET", "2 columns, not 5"),
        4: ("tapes,SECRET,s1,,", "source: none of those that give keys of their own (LEAP_SOURCES)"),
        5: ("zoom, ,s1,,", "key: empty"),
        6: ("zoom,SECRET,,,", "student: "),
        7: ("zoom,SECRET,s1,5/10/2026,", "from: not a date like 2026-10-05"),
        8: ("zoom,SECRET,s1,2026-10-05,2026-10-04", "to: before from"),
        9: ("zoom,SECRET,s1,,2100-01-01", "to: not in 1990 to 2099"),
        10: ('zoom,"SECRET"x,s1,,', "not CSV: "),
    }
    rows = ["zoom,a,s1,2026-10-05,", *(text for text, _ in bad.values()), "", ' zoom ,"b,c",s2,,2026-10-31']
    file.write_bytes(b"\xef\xbb\xbf" + (HEADER + "\n".join(rows)).replace("\n", "\r\n").encode())

    found = list(read(file, {"zoom"}))

    assert found[0] == Line(2, "zoom", "a", "s1", date(2026, 10, 5), None)
    assert found[-1] == Line(12, "zoom", "b,c", "s2", None, date(2026, 10, 31))
    told = {one.number: one.reason for one in found if isinstance(one, Bad)}
    assert told.keys() == bad.keys()
    for number, (_, reason) in bad.items():
        assert told[number].startswith(reason)
        assert "SECRET" not in told[number]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the first line must be: source,key,student,from,to"),
        (b"key,source,student,from,to\n", "the first line must be"),
        (HEADER.encode() + b"zoom,\xff,s1,,\n", "not UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    file.write_bytes(content)

    with pytest.raises(CommandError, match=words):
        list(read(file, {"zoom"}))


def test_the_command_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LEAP_IDENTITY_KEY", raising=False)
    assert run(["identities", "load", "cards.csv"]) == CONFIG
    assert "LEAP_IDENTITY_KEY is not set" in capsys.readouterr().err

    monkeypatch.setenv("LEAP_IDENTITY_KEY", "s3cret")
    assert run(["identities", "load", str(tmp_path / "none.csv")]) == USAGE
    assert "none.csv: no such file" in " ".join(capsys.readouterr().err.split())


def test_the_age_of_a_claim_is_a_number_of_seconds() -> None:
    change: Any = Claims(NEW, 1_790_000_000.7).load(line("a", "ann", 5, 9))

    assert json.loads(change.write[0][1]) == {"version": 1, "claimed": 1_790_000_000, "to": "2026-10-09"}
