"""The engagement state as recovery reads it: records changed on the disk are refused, and never keep it busy for long."""

import random
from collections.abc import Iterator
from typing import Any

from agents.decide import decide
from agents.items import Item, Items
from agents.partition import Partition, PolicyMismatchError
from schemas import log
from schemas.state import CodecError
from streams.column_table import Latest
from tests.fuzz.log import _CONTEXT, Author
from tests.fuzz.mutation import assert_silent, record, scrambled

NAME = "state"


def state(rng: random.Random) -> tuple[list[Any], Author]:
    """Return the changelog that some days of a partition left, and who wrote its log."""
    author, partition, offset = Author(rng), Partition(0, _CONTEXT), 0
    written: list[Any] = []
    for _ in range(rng.randint(1, 30)):
        items = []
        for _ in range(rng.randint(1, 6)):
            offset += 1
            key, made = author.good()
            author.pass_time()
            items.append(Item(offset, key, author.now, log.decode(log.encode(made))))
        draft = decide(partition, Items.of(items))
        written += [record(i, *message) for i, message in enumerate(draft.effects.changelog, start=len(written))]
        draft.commit()
    return written, author


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    written, author = state(rng)
    for _ in range(inputs):
        records = list(written)
        at = rng.randrange(len(records))
        hit = records[at]
        value = hit.value if hit.value is not None and rng.random() < 0.1 else scrambled(rng, hit.value or b"")
        key = hit.key if rng.random() < 0.8 else scrambled(rng, hit.key)
        carried = hit.headers if rng.random() < 0.8 else [("leap-version", rng.choice((b"x", b"-3", b"9" * 40, None)))]
        records[at] = record(hit.offset, key, rng.choice((value, None)), carried)
        if rng.random() < 0.2:
            del records[rng.randrange(len(records)) :]
        yield recovers(records, author)


def recovers(records: list[Any], author: Author) -> bool:
    """Recover, and go on; says whether the state was accepted."""
    latest, partition = Latest(), Partition(0, _CONTEXT)
    try:
        for one in records:
            latest.add(one)
        partition.load(latest.values())
    except CodecError as error:
        assert_silent(str(error))
        return False
    except PolicyMismatchError:
        return False
    latest.again()
    key, made = author.activity()
    reached = partition.meta.offset if partition.meta is not None else 0
    decide(partition, Items.of([Item(reached + 1, key, author.now, log.decode(log.encode(made)))])).commit()
    return True
