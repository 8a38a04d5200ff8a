"""Records of leap.identities, as intake takes them up: a claim, its withdrawal, or nothing, for a reason that is silent."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from schemas import identities
from schemas.identities import IdentityError
from streams.identities import contested, hold
from streams.identity_table import IdentityTable
from tests.fuzz.mutation import SECRET, assert_silent, scrambled
from tests.fuzz.sources import value

NAME = "identities"
_DAYS = ("", "1990-01-01", "2026-09-21", "2099-12-31", "1989-12-31", "2026-9-1", "20260921", "0001-01-01", SECRET)
_STUDENTS = ("s1", "é🎓", "a/b", "x" * 128, "x" * 129, "", f"{SECRET}\n")
_HASHES = ("0000000000000000", "ffffffffffffffff", "0123456789abcdef", "0123456789ABCDEF", "1", "")


def key(rng: random.Random) -> bytes | None:
    """Return a record's key, mostly good."""
    parts = (("zoom", "taps", "zo om"), 2), (_HASHES, 3), (_DAYS, 4), (_STUDENTS, 4)
    made = "/".join(rng.choice(some[:good] if rng.random() < 0.9 else some) for some, good in parts).encode()
    draw = rng.random()
    if draw < 0.1:
        return scrambled(rng, made)
    return rng.choice((None, b"", b"\xff", b"///")) if draw < 0.13 else made


def terms(rng: random.Random) -> dict[str, Any]:
    """Return good terms."""
    made: dict[str, Any] = {"version": 1, "claimed": rng.choice((0, 1, 1_790_000_000, (1 << 32) - 1))}
    return made | ({"to": rng.choice(("2026-09-21", "2099-12-31", None))} if rng.random() < 0.5 else {})


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    table = IdentityTable(delta_least=7)
    held: set[Any] = set()
    for _ in range(inputs):
        record = key(rng), value(rng, terms(rng))
        try:
            claim, found = identities.read(*record)
        except IdentityError as error:
            assert_silent(str(error))
            yield False
            continue
        assert claim.key() == record[0]
        hold(table, claim, found)
        (held.discard if found is None else held.add)(claim[1:])  # a true hash is of the source, too
        if found is not None:
            contested(table, claim, found)
        assert len(table) == len(held)
        answer = table.find(np.array([claim.hash], np.uint64), np.array([20_717], np.int32))
        assert found is None or answer.student[0] >= 0 or claim.first is not None or found.last is not None
        yield True
