"""Roster records, through the roster role and on through engagement, which takes whatever the role passed on."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

from agents.decide import decide
from agents.items import Item, Items
from agents.partition import Partition
from agents.roster import Roster
from schemas import log
from schemas.topics import Topics
from streams.settings import Settings
from tests.fuzz.log import _CONTEXT
from tests.fuzz.mutation import odd, record
from tests.fuzz.sources import Sent, value

NAME = "roster"
_NOW = 1_790_000_000
_KEYS = (None, b"", b"\x00", b"\x01s1", b"\x02/", b"\x1f", b"\xff", b"s1\n", b"x" * 129, b"x" * 2_000_000, b"nobody")


def entry(rng: random.Random) -> dict[str, Any]:
    """Return a good entry, with everything in it that there may be."""
    days = ("0001-01-01", "2026-09-01", "2026-10-10", "9999-12-31")
    first, last = sorted(rng.choices(days, k=2))
    made: dict[str, Any] = {"student": rng.choice(("s1", "28400", "é🎓", "a/b}%s"))}
    more = {
        "first": rng.choice(days),
        "last": rng.choice(days),
        "unrated": rng.choice((None, "research")),
        "part_time": rng.random() < 0.5,
        "department": rng.choice((None, "cs", "%s")),
        "course": "c",
        "priority": True,
        "contact_opt_out": False,
        "absences": [{"kind": "exempt", "first": first, "last": last}] * rng.choice((1, 64, 65)),
    }
    return made | {name: more[name] for name in rng.sample(list(more), rng.randint(0, len(more)))}


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    sent = Sent()
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    roster = Roster(settings, sent, sent)  # type: ignore[arg-type]
    records = []
    for offset in range(inputs):
        good = entry(rng)
        raw, key = value(rng, good), good["student"].encode()
        if rng.random() < 0.15:
            key = rng.choice(_KEYS)
        if raw is not None and rng.random() < 0.02:
            raw = raw[:-1] + b" " * rng.choice((10, 70_000, 1_100_000)) + raw[-1:]
        records.append(record(offset, key, raw, [("x", odd(rng) and b"1")], _NOW * 1000))
    with asyncio.Runner() as runner:
        runner.run(roster.handle(Topics().students.name, 0, records))
    assert len(sent.log) + len(sent.letters) == inputs, "a record went to two places, or to none"
    values = [raw for _, raw, _ in sent.log]
    decoded = log.decode_many(values) if values else []
    assert decoded is not None, "the roster role passed on what the log cannot be read with"
    keys = [key for key, _, _ in sent.log]
    items = [Item(offset, key, _NOW, one) for offset, (key, one) in enumerate(zip(keys, decoded, strict=True))]
    draft = decide(Partition(0, _CONTEXT), Items.of(items))
    assert not draft.effects.rejected, draft.effects.rejected[0].reason
    draft.commit()
    dead = {letter.offset for letter in sent.letters}
    yield from (offset not in dead for offset in range(inputs))
