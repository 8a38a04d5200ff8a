"""Somebody else writes into Redis: the sink and a rebuild go on, and what is written again is right again."""

import random
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from schemas.redis_keys import Keys
from sinks.records import Batch, Closed, Entry, Rating, Roster, Standing
from sinks.store import Store
from streams.settings import Settings
from tests.fuzz.mutation import ODD_TEXTS

KEYS = Keys("leap")
TP = TopicPartition("leap.ratings", 0)
_TEXTS = (*(text for text in ODD_TEXTS if not text.isdigit()), b"\xff\xfe", "99x")  # a higher version is one
SETTINGS = Settings(_env_file=None, partitions=1)  # type: ignore[call-arg]


def batch(version: int) -> Batch:
    """Return a batch of everything about one student."""
    made = Batch()
    doc = '{"recorded_at":"2026-10-05T10:00:00Z","days":[]}'
    fields = ("rating", "low", "reason", "", "closed_rating", "low", "partition", "0", "enrolled", "3", "doc", doc)
    made.rosters["s1"] = Roster("s1", version, ("department", "cs", "course", "c1"))
    made.standings["s1"] = Standing("row", "s1", version, fields, 3, 1.0)
    entry = ("student", "s1", "at", "1790000000000")
    made.ratings.append(Rating("s1", 0, version, f'{{"version":{version}}}', f"1-{version}", entry, 1_790_000_000_000))
    day = Entry("s1", "2026-10-05", version, f'{{"version":{version}}}', "2026-08-01")
    made.days["s1", "2026-10-05"] = day
    said = f'{{"closed_day":"2026-10-05","version":{version},"state":"closed"}}'
    made.alerts["s1", "a"] = Entry("s1", "a", version, said, "2026-08-01")
    made.closed[0] = Closed(0, version, "2026-10-05", "{}")
    return made


def removal(version: int) -> Batch:
    made = Batch()
    made.standings["s1"] = Standing("removed", "s1", version)
    return made


def hashes(client: Any) -> dict[str, dict[bytes, bytes]]:
    keys = (KEYS.view("s1"), KEYS.rating("s1"), KEYS.days("s1"), KEYS.alerts("s1"), KEYS.closed(0))
    return {key: client.hgetall(key) for key in keys}


@pytest.mark.parametrize("seed", range(60))
async def test_writing_again_mends_what_was_tampered_with(redis_db: str, seed: int) -> None:
    """Fields lost, or with text in them that is nobody's; it ended in errors of the scripts, for ever."""
    rng = random.Random(seed)
    async with Redis.from_url(redis_db) as client:
        store = Store(SETTINGS, client, again=True)
        await store.write(batch(500))
        with redis.Redis.from_url(redis_db) as plain:
            wanted = hashes(plain)
            for key, fields in wanted.items():
                for name in rng.sample(sorted(fields), rng.randint(0, len(fields))):
                    if rng.random() < 0.4:
                        plain.hdel(key, name)
                    else:
                        plain.hset(key, name, rng.choice(_TEXTS))
            plain.xadd(KEYS.changes(0), {"at": "x", "student": "s1"}, id="1-501")
            if seed % 3 == 0:
                await store.write(removal(501))
                assert plain.hget(KEYS.view("s1"), "removed") == b"1"
            else:
                await store.write(batch(500))
                for key, fields in wanted.items():
                    held = plain.hgetall(key)
                    assert {name: held.get(name) for name in fields} == fields, key


@pytest.mark.parametrize("held", ["x", "1:", ":5", "1:-5", "1:" + "9" * 30, "a:b", "1:1_0", b"\xff", "1:5 "])
async def test_a_progress_that_is_none_counts_as_none(redis_db: str, held: Any) -> None:
    """It ended the sink, at every start; one that only looked like none could not be stepped from."""
    async with Redis.from_url(redis_db) as client:
        store = Store(SETTINGS, client)
        await client.hset(KEYS.progress, "leap.ratings-0", held)
        (position,) = await store.positions([TP])
        assert store.offset_of(position) is None
        written = await store.write(batch(5), [TP])

        assert await store.claim(written.attempt, {TP: (position, store.position(7))}) == [True]
        assert await store.positions([TP]) == ["1:7"]
