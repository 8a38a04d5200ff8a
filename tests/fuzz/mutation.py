"""Inputs that nobody should send: odd values where a field stands, and good records with bytes of theirs changed."""

import json
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

SECRET = "qX7-a-name-that-no-reason-may-quote"
"""Stands in many inputs, so that whatever quotes an input is found out."""

ODD_NUMBERS = (
    0, -1, 1, 65535, 65536, 2**31 - 1, -(2**31), 2**47 - 1, 2**47, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30,
    -0.0, 1e-320, 0.1, 1e308, -1e308, 31_999_999_999, 32_000_000_001, -2_000_000_001, 4_102_444_800, 631_151_999,
)  # fmt: skip
ODD_TEXTS = (
    "", SECRET, "\u0000", "\u001f", "\u2028", "\U0010ffff", "é" * 64, "x" * 65, "x" * 300, "s1\n", "{}", "leap.a-0", "null",
    "2026-02-30", "0001-01-01", "9999-12-31", "2099-12-31", "1989-12-31", "20261005", "-0001-01-01", "2026-10-05T25:00",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "%s%n", "'; drop", "🎓", "\u202e",
)  # fmt: skip


def nested(depth: int) -> Any:
    """Return lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def odd(rng: random.Random) -> Any:
    """Return a value that a field should not have, most of the time."""
    return rng.choice(
        (
            lambda: rng.choice(ODD_NUMBERS),
            lambda: rng.choice(ODD_TEXTS),
            lambda: None,
            lambda: rng.random() < 0.5,
            list,
            dict,
            lambda: nested(rng.choice((3, 150))),
            lambda: {SECRET: SECRET},
            lambda: [SECRET] * rng.randint(1, 100),
            lambda: rng.uniform(-1e10, 1e11),
            lambda: rng.getrandbits(rng.randint(1, 70)),
        )
    )()


def bent(rng: random.Random, good: dict[str, Any]) -> dict[str, Any]:
    """Return a record with a field or two changed, missing or new."""
    made = dict(good)
    for _ in range(rng.randint(1, 2)):
        draw = rng.random()
        name = rng.choice(list(made)) if made else SECRET
        if draw < 0.12:
            made.pop(name, None)
        elif draw < 0.24:
            made[rng.choice(ODD_TEXTS)] = odd(rng)
        elif isinstance(made.get(name), dict) and draw < 0.7:
            made[name] = bent(rng, made[name])
        elif isinstance(made.get(name), list) and made[name] and draw < 0.7:
            values = list(made[name])
            values[rng.randrange(len(values))] = odd(rng)
            made[name] = values
        else:
            made[name] = odd(rng)
    return made


def text(rng: random.Random, record: Any) -> bytes:
    """Return a record as JSON, now and then as no good writer would write it."""
    draw = rng.random()
    if draw < 0.85:
        return json.dumps(record, ensure_ascii=draw < 0.3, separators=(",", ":")).encode()
    if draw < 0.9:
        return json.dumps(record, indent=1).encode()
    raw = json.dumps(record, ensure_ascii=False).encode()
    return rng.choice(
        (
            lambda: b" \n\t" + raw + b" \n",
            lambda: b"\xef\xbb\xbf" + raw,
            lambda: raw[:-1] + b"," + raw[1:],  # every key twice
            lambda: raw[:-1] + b',"x":NaN}',
            lambda: raw[:-1] + b',"x":1e999,"y":-Infinity}',
            lambda: raw[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            lambda: raw[:-1] + b',"x":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"}",
            lambda: raw[:-1] + b',"x":"\\ud800"}',
            lambda: raw[:-1] + b',"x":"\xff\xfe"}',
            lambda: raw[:-1] + b',"x":' + b"9" * 5_000 + b"}",
            lambda: raw[:-1] + b',"x":"' + SECRET.encode() * 500 + b'"}',
            lambda: raw + raw,
            lambda: raw + b"," + raw,
            lambda: raw + b"\n" + raw,
            lambda: raw.decode().encode("utf-16"),
        )
    )()


def scrambled(rng: random.Random, raw: bytes) -> bytes:
    """Return bytes with some changed, cut, doubled or put in."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        draw = rng.random()
        if draw < 0.4 and data:
            data[at % len(data)] = rng.choice((0, 0xFF, 0x22, 0x5C, 0x7B, 0x2C, rng.getrandbits(8)))
        elif draw < 0.6:
            del data[at : at + rng.randint(1, 8)]
        elif draw < 0.8:
            data[at:at] = data[at // 2 : at // 2 + rng.randint(1, 16)]
        elif draw < 0.9:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        else:
            del data[at:]
    return bytes(data)


def one_of(rng: random.Random, weighted: Sequence[tuple[int, Callable[[], Any]]]) -> Any:
    """Call one of some makers, by weight."""
    return rng.choices([make for _, make in weighted], [weight for weight, _ in weighted])[0]()


def record(
    offset: int, key: bytes | None, value: bytes | None, headers: Sequence[Any] = (), timestamp: int = 0
) -> SimpleNamespace:
    """Return a Kafka record in the form in which our consumers hand it over."""
    return SimpleNamespace(
        offset=offset, key=key, value=value, headers=list(headers), timestamp=timestamp, timestamp_type=1
    )


def assert_silent(reason: str) -> None:
    """A reason never quotes the record."""
    assert SECRET not in reason, "a reason quotes the record"
    assert len(reason) < 1000
