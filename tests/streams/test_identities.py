"""A key is known under both hash keys, however it is written, to whoever held it at the time of the event."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest
from pydantic import SecretStr

from schemas.identities import Claim, Terms, encode
from streams.identities import REFUSED, Hashing, IdentityView
from streams.settings import Settings
from windows.civil import CivilDays

LONDON = CivilDays("Europe/London")


def settings(**given: str) -> Settings:
    """Return settings with these keys."""
    return Settings(_env_file=None, **{name: SecretStr(key) for name, key in given.items()})  # type: ignore[arg-type]


OLD, NEW = settings(identity_key="old"), settings(identity_key="new")
BOTH = settings(identity_key="new", identity_key_before="old")


def at(day: int, hour: int = 12) -> float:
    """Return an instant of October 2026."""
    return datetime(2026, 10, day, hour, 30, tzinfo=UTC).timestamp()


def claim(view: IdentityView, under: Settings, person: str, student: str, first: int | None, **terms: int) -> bytes:
    """Let a view take up a claim, made under the key of some settings; return the record's key."""
    since = None if first is None else date(2026, 10, first)
    last = date(2026, 10, terms["last"]) if "last" in terms else None
    key = Claim("zoom", Hashing(under).of("zoom", person)[0], since, student).key()
    view.take(key, encode(Terms(1, terms.get("claimed", 1), last)))
    return key


@pytest.fixture
async def view() -> AsyncIterator[IdentityView]:
    made = IdentityView(BOTH, LONDON)
    yield made
    await made.stop()


def test_a_hash_depends_on_key_source_and_person_and_on_nothing_else() -> None:
    (one,) = Hashing(NEW).of("zoom", "A.Student@example.org")

    assert Hashing(NEW).of("zoom", " a.student@EXAMPLE.org\n") == [one]
    assert one not in {
        *Hashing(OLD).of("zoom", "a.student@example.org"),
        *Hashing(NEW).of("taps", "a.student@example.org"),
    }
    assert Hashing(BOTH).of("zoom", "x") == Hashing(NEW).of("zoom", "x") + Hashing(OLD).of("zoom", "x")
    assert 0 <= Hashing(NEW).of("zoom", "\ud800")[0] < 2**64


async def test_the_day_of_the_event_decides_whose_card_it_was(view: IdentityView) -> None:
    claim(view, NEW, "card 7", "ann", None, last=9)
    claim(view, NEW, "card 7", "bob", 11)

    days = [at(9), at(9, 23), at(10), at(10, 23), at(30)]
    # 23:30 UTC is half past midnight in London, in summer.
    assert view.look_up("zoom", [("CARD 7", when) for when in days]) == [b"ann", None, None, b"bob", b"bob"]
    assert view.look_up("taps", [("card 7", at(9))]) == [None]
    assert view.look_up("zoom", []) == []


async def test_the_older_claim_holds_where_two_students_have_one_key(view: IdentityView) -> None:
    ann = claim(view, NEW, "card 7", "ann", None, last=9, claimed=5)
    bob = claim(view, NEW, "card 7", "bob", 8, claimed=6)
    value = encode(Terms(1, 6))

    assert view.look_up("zoom", [("card 7", at(9)), ("card 7", at(10))]) == [b"ann", b"bob"]
    assert view.refusal(bob, value) == REFUSED
    assert view.refusal(ann, encode(Terms(1, 5, date(2026, 10, 9)))) is None

    view.take(ann, None)

    assert view.look_up("zoom", [("card 7", at(9))]) == [b"bob"]
    assert view.refusal(bob, value) is None
    assert view.refusal(b"no claim", value) not in {None, REFUSED}


async def test_a_key_is_the_same_one_under_either_hash(view: IdentityView) -> None:
    """While keys are changed, claims stand under both; the older one holds, whichever hash it is under."""
    claim(view, OLD, "a", "ann", None, claimed=5)
    claim(view, NEW, "b", "bob", None, claimed=5)
    claim(view, OLD, "c", "cid", None, claimed=6)
    claim(view, NEW, "c", "dan", None, claimed=5)
    claim(view, OLD, "e", "eve", None, claimed=5)
    claim(view, NEW, "e", "fay", None, claimed=5)

    assert view.look_up("zoom", [(person, at(5)) for person in "abcex"]) == [b"ann", b"bob", b"dan", b"eve", None]


async def test_what_is_no_claim_changes_nothing(view: IdentityView) -> None:
    key = claim(view, NEW, "a", "ann", None)
    before = view.changes

    for bad in ((None, b"{}"), (key, b"{}"), (key + b"\n", None)):
        view.take(*bad)

    assert view.changes == before
    assert view.look_up("zoom", [("a", at(5))]) == [b"ann"]
