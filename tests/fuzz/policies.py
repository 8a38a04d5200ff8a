"""Policy files: one is used, or refused with the place and the reason; and whatever is used can rate."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.policy import Policy, PolicyError, PolicySet, read_policy
from schemas.state import blank_rows
from tests.fuzz.mutation import ODD_NUMBERS, ODD_TEXTS, one_of, scrambled
from windows import daily, rating, roster
from windows.civil import CivilDays
from windows.scoring import Rules

NAME = "policies"
_GOOD = (Path(__file__).resolve().parents[2] / "policy" / "2026.1.toml").read_text(encoding="utf-8")
_MORE = """
[[terms]]
name = "autumn"
first = 2026-10-05
last = 2026-12-18

[[off]]
activity = "tap_in"
effect = "leaves"
first = 2026-10-10
last = 2026-10-11
"""


def _value(rng: random.Random) -> str:
    return str(
        one_of(
            rng,
            (
                (3, lambda: rng.choice(ODD_NUMBERS)),
                (3, lambda: '"' + rng.choice(ODD_TEXTS).encode("unicode_escape").decode().replace('"', "'") + '"'),
                (2, lambda: rng.choice(("nan", "inf", "-inf", "true", "[]", "{}", "0x7f", "1_0", "9" * 5_000))),
                (
                    2,
                    lambda: rng.choice(
                        ("0001-01-01", "1960-01-01", "9999-12-31", "2100-01-01", "07:00:00", "1990-01-01")
                    ),
                ),
                (1, lambda: "[" * 3_000),
                (
                    1,
                    lambda: (
                        '"' + rng.choice(("Europe", "../UTC", "", "UTC", "a" * 5_000, "tzdata.zi", "/etc/passwd")) + '"'
                    ),
                ),
            ),
        )
    )


def _mutated(rng: random.Random) -> str | bytes:
    text = _GOOD if any(mark in _GOOD for mark in ("[[terms]]", "[[off]]")) else _GOOD + _MORE
    draw = rng.random()
    if draw < 0.1:
        return text
    if draw < 0.35:
        return scrambled(rng, text.encode())
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines))
        name, found, _ = lines[at].partition(" = ")
        if found and rng.random() < 0.8:
            lines[at] = f"{name} = {_value(rng)}"
        elif rng.random() < 0.5:
            del lines[at]
        else:
            lines.insert(at, rng.choice(lines))
    return "\n".join(lines)


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.toml"
        for _ in range(inputs):
            made = _mutated(rng)
            path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))
            policy, refused = _read(path)
            if policy is None:
                assert str(path) in refused
                yield False
                continue
            assert len(policy.checksum) == 16
            _rate(PolicySet([policy]))
            yield True


def _read(path: Path) -> tuple[Policy | None, str]:
    try:
        return read_policy(path), ""
    except PolicyError as error:
        return None, str(error)


def _rate(policies: PolicySet) -> None:
    rules = Rules(policies)
    assert CivilDays(policies.zone).day_of(1_790_000_000.0) > 0
    anchor = 20_731
    rows = blank_rows(2, policies.window, policies.longest, anchor)
    rows["counts"][:, -1, :] = 65_535
    table = np.array([roster.entry(None)[0]] * 2, roster.dtype)
    table["first"], table["last"], table["alive"] = 0, roster.FOREVER, True
    for day in (anchor + 1, anchor + 2, anchor + 3):
        daily.advance(rows, rules, policies.window, day - 1, day)
        rating.settle(rows, table, [[], []], rules, closed=True, version=1, at=0.0, official=True)
        assert ((rows["closed_score"] >= 0) & (rows["closed_score"] <= 100.000001)).all()
        assert 0 <= rules.taught_since(anchor - 30, day) <= 33
