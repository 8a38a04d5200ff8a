"""What engagement sent, changed on the way: the read model reads it or puts it aside, and Redis' scripts can take it."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
from aiokafka import TopicPartition

from schemas.cloudevents import headers
from schemas.state import KEY_PARTITION, KEY_ROSTER, CodecError, PartitionRow, blank_rows, encode_partition, encode_rows
from schemas.topics import Topics
from schemas.version import version
from sinks.records import Batch, Reader
from streams.column_table import Latest
from tests.fuzz.mutation import assert_silent, bent, one_of, record, scrambled, text

NAME = "outputs"
TOPICS = Topics()
_READER = Reader(TOPICS)
_ANCHOR = 20_731


def _day(rng: random.Random) -> dict[str, Any]:
    counts = {"tap_in": rng.randint(1, 9)}
    day = {"student": "s1", "day": "2026-10-05", "counts": counts, "score": 5.5, "policy": "p"}
    return day | {"version": version(1, rng.randint(0, 99)), "restated": False, "stale": []}


def _alert(_: random.Random) -> dict[str, Any]:
    alert = {"student": "s1", "alert": "no_activity_1.2026-10-05", "kind": "no_activity", "state": "opened"}
    return alert | {"opened_for": "2026-10-05", "closed_day": "2026-10-05", "version": version(1, 9), "policy": "p"}


def _rating(_: random.Random) -> dict[str, Any]:
    rating: dict[str, Any] = {
        "student": "s1",
        "rating": "low",
        "reason": None,
        "previous": None,
        "cause": "close",
        "days": [],
    }
    return rating | {"department": "cs", "course": None, "version": version(1, 7)}


def _output(rng: random.Random) -> tuple[str, Any]:
    topic, make, kind = rng.choice(
        ((TOPICS.days, _day, "day"), (TOPICS.alerts, _alert, "alert"), (TOPICS.ratings, _rating, "rating"))
    )
    good, draw = make(rng), rng.random()
    if draw < 0.3:
        value: bytes | None = orjson.dumps(good)
    elif draw < 0.7:
        value = text(rng, bent(rng, good))
    elif draw < 0.97:
        value = scrambled(rng, orjson.dumps(good))
    else:
        value = None
    return topic.name, record(rng.randint(0, 99), b"s1", value, headers(kind, "/x", "1"), 1_790_000_000_000)


def _state(rng: random.Random) -> tuple[str, Any]:
    def student_row() -> tuple[bytes, bytes]:
        rows = blank_rows(1, 7, 14, _ANCHOR)
        rows["version"] = version(1, rng.randint(0, 99))
        rows["counts"][0, rng.randrange(9), rng.randrange(11)] = rng.choice((1, 65_535))
        rows["spells"][0][rng.randrange(5)] = _ANCHOR - rng.randint(0, 9)
        return b"s1", encode_rows(rows, 7, 14)[0]

    def partition_row() -> tuple[bytes, bytes]:
        row = PartitionRow(99, 1, _ANCHOR, _ANCHOR - 9, True, {"a-0": (5, 0)}, {"p": "c"}, {"f": _ANCHOR})
        if rng.random() < 0.5:
            row = msgspec.json.decode(text(rng, bent(rng, msgspec.to_builtins(row))), type=PartitionRow)
        return KEY_PARTITION, encode_partition(row)

    def roster_entry() -> tuple[bytes, bytes]:
        return KEY_ROSTER + b"s1", (42).to_bytes(8, "little") + orjson.dumps({"student": "s1", "department": "cs"})

    try:
        key, value = one_of(rng, ((6, student_row), (2, partition_row), (2, roster_entry)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        key, value = KEY_PARTITION, rng.randbytes(9)
    draw = rng.random()
    if draw < 0.5:
        value = scrambled(rng, value)
    elif draw < 0.55:
        value = rng.randbytes(rng.randint(0, 400))
    elif draw < 0.6:
        value = None
    if rng.random() < 0.1:
        key = rng.choice((None, b"", b"\x00", b"\x01", b"\x02", b"\x02x/1", b"\x03", b"\x04", b"\xff", b"s2"))
    carried = [] if rng.random() < 0.7 else [("leap-version", rng.choice((b"5", b"-1", b"", b"9" * 30, b"x", None)))]
    return TOPICS.engagement.name, record(rng.randint(0, 99), key, value, carried, 1_790_000_000_000)


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    for _ in range(inputs):
        topic, one = _output(rng) if rng.random() < 0.5 else _state(rng)
        try:
            batch = _READER.read([(TopicPartition(topic, 0), [one])])
            if topic == TOPICS.engagement.name:
                Latest().add(one)
        except CodecError as error:
            assert_silent(str(error))
            yield False
            continue
        for letter in batch.letters:
            letter.message(0.0)
            assert_silent(letter.reason)
        _check(batch)
        yield not batch.letters


def _check(batch: Batch) -> None:
    """What is read can go to Redis' scripts, which look versions and days up in the text."""
    everything: list[Any] = [*batch.standings.values(), *batch.rosters.values(), *batch.closed.values()]
    entries: list[Any] = [*batch.days.values(), *batch.alerts.values(), *batch.ratings]
    for item in everything + entries:
        msgspec.msgpack.encode(item)
        assert 0 <= item.version < 1 << 63 or item.version == -1
    for entry in entries:
        assert f'"version":{entry.version}' in entry.doc
        assert orjson.loads(entry.doc)["version"] == entry.version
