"""How the read model goes about its records."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka import TopicPartition
from redis.asyncio import Redis

from schemas.redis_keys import Keys
from schemas.state import blank_rows, encode_rows
from sinks.read_model import ReadModel
from sinks.store import RedisDownError, Store
from streams import metrics
from streams.role import Health
from streams.settings import Settings
from tests.sinks.test_lanes import CLOSE, rows

CLOSED, LIVE = TopicPartition("leap.engagement", 0), TopicPartition("leap.engagement", 1)


class Fetched:
    """What an aiokafka consumer has fetched, handed over as it does: one partition after the other."""

    def __init__(self, held: dict[TopicPartition, list[Any]]) -> None:
        self.all = {tp: list(records) for tp, records in held.items()}
        self.held = held
        self.waits: list[int] = []
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=object()))

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.held[tp] = [record for record in self.all[tp] if record.offset >= offset]

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.all[tp])

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: 10 + len(self.all[tp]) for tp in partitions}

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> dict:
        self.waits.append(timeout_ms)
        found: dict[TopicPartition, list[Any]] = {}
        for tp in [tp for tp, records in self.held.items() if records and tp in partitions]:
            records, self.held[tp] = self.held[tp][:max_records], self.held[tp][max_records:]
            max_records -= len(records)
            if records:
                found[tp] = records
        return found


def reading(held: dict[TopicPartition, list[Any]]) -> ReadModel:
    model = ReadModel(Settings(_env_file=None), Health("readmodel", 60.0))  # type: ignore[call-arg]
    model._positions = dict.fromkeys(held, "1:0")
    model._kafka = Fetched(held)
    return model


class KeptError(Exception):
    """Its fetches were to be kept apart."""


async def test_its_fetches_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = SimpleNamespace(start=AsyncMock(), stop=AsyncMock(), _fetcher=SimpleNamespace())

    def keep(given: Any) -> None:
        assert given is kafka
        kafka.start.assert_awaited_once()
        raise KeptError

    monkeypatch.setattr("sinks.read_model.consumer", lambda *_, **__: kafka)
    monkeypatch.setattr("sinks.read_model.connect", lambda *_: SimpleNamespace(aclose=AsyncMock()))
    monkeypatch.setattr("sinks.read_model.keep_fetches_apart", keep)
    with pytest.raises(KeptError):
        await ReadModel(Settings(_env_file=None), Health("readmodel", 60.0)).run()  # type: ignore[call-arg]


async def test_it_waits_for_records_only_when_there_is_nothing_to_write() -> None:
    model = reading({CLOSED: rows(0, *[CLOSE] * 30_000), LIVE: []})

    await model._fetch()
    await model._fetch()
    assert model._kafka.waits == [200, 0]

    model._lanes.forget()
    await model._fetch()
    assert model._kafka.waits == [200, 0, 200]


async def test_of_a_partition_of_which_very_much_waits_no_more_is_fetched() -> None:
    model = reading({CLOSED: rows(0, *[CLOSE] * 230_000), LIVE: rows(0, 8)})
    for _ in range(11):
        await model._fetch()

    assert len(model._kafka.held[CLOSED]) == 30_000
    assert model._kafka.held[LIVE] == []


async def test_while_redis_is_away_it_tells_how_far_behind_it_gets() -> None:
    """Nothing is fetched then, so what the last fetch said of the topic's end grows old."""
    model = reading({CLOSED: [], LIVE: rows(0, 8)})
    model._done = dict.fromkeys(model._positions, 0)
    tries = 0

    async def away_once() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RedisDownError("away")
        return "done"

    assert await model._persist(away_once) == "done"
    told = [metrics.lag_records.labels("readmodel", *tp)._value.get() for tp in (CLOSED, LIVE)]
    assert told == [10, 11]


def states(*given: tuple[str, int]) -> list[Any]:
    """Return records of the state: a student's row and its version, each."""
    made = blank_rows(len(given), 7, 7, 20_000)
    made["version"], made["enrolled"] = [version for _, version in given], 1
    values = encode_rows(made, 7, 7)
    return [
        SimpleNamespace(offset=i, key=student.encode(), value=value, headers=[], timestamp=0)
        for i, ((student, _), value) in enumerate(zip(given, values, strict=True))
    ]


async def test_what_was_written_ahead_of_a_close_survives_a_fall_to_an_older_copy(redis_db: str) -> None:
    """Redis falls back to before the activity that went first, and to the same progress: only its batches tell."""
    held = states(*((f"s{i}", CLOSE) for i in range(3000)), ("acted", 8))
    model, keys = reading({CLOSED: held}), Keys("leap")
    async with Redis.from_url(redis_db) as client:
        model._store = Store(model._settings, client)
        model._placed = model._assignment
        model._seek(CLOSED, "")
        await model._fetch()
        await model._write(model._lanes.take(500))
        assert await client.hget(keys.view("acted"), "version") == b"8"

        await client.delete(keys.view("acted"), keys.attempts)
        while model._lanes or model._kafka.held[CLOSED]:
            await model._fetch()
            await model._write(model._lanes.take(500))

        assert await client.hget(keys.view("acted"), "version") == b"8"
        assert await model._store.positions([CLOSED]) == ["1:3001"]
        assert [await client.hget(keys.view(f"s{i}"), "version") for i in (0, 2999)] == [b"7", b"7"]


async def test_an_activity_is_seen_before_the_close_that_it_stands_behind(redis_db: str) -> None:
    held = states(*((f"s{i}", CLOSE) for i in range(30_000)), ("acted", 8))
    model, keys = reading({CLOSED: held}), Keys("leap")
    async with Redis.from_url(redis_db) as client:
        model._store = Store(model._settings, client)
        model._placed = model._assignment
        model._seek(CLOSED, "")
        steps = 0
        while not await client.exists(keys.view("acted")):
            await model._fetch()
            await model._write(model._lanes.take(1000))
            steps += 1

        assert steps == 2  # two fetches
        assert not await client.exists(keys.view("s29999"))
