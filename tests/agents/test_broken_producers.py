"""What somebody could write into the student log: each of these once stopped a partition, or hurt those around it."""

import asyncio
import json
import time
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from agents.decide import decide
from agents.engagement import Engagement, Owned
from agents.items import Item, Items
from agents.partition import Context, Partition
from schemas import log
from schemas.state import KEY_PARTITION
from streams.records import of_objects
from streams.settings import Settings
from tests.agents.campus import Campus
from tests.fuzz.log import _CONTEXT, Broker
from tests.fuzz.mutation import SECRET, record
from windows import roster
from windows.civil import number_of

MON = date(2026, 10, 5)
NOON = Campus(MON).at(MON)
ACTIVITY = {"kind": "activity", "activity": "tap_in", "at": NOON, "position": ["a-0", 1, 0], "recorded_at": NOON}
FEED = b'{"kind":"feed-state","feed":"%s","state":"stale","recorded_at":1}'


def handle(*values: bytes | None, partition: Partition | None = None) -> Broker:
    """Let engagement handle one batch; returns what it sent."""

    async def run() -> Broker:
        broker = Broker()
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        engagement: Any = Engagement(settings, _CONTEXT, broker, broker, SimpleNamespace())  # type: ignore[arg-type]
        engagement._owned[0] = asyncio.get_running_loop().create_future()
        engagement._owned[0].set_result(Owned(partition or Partition(0, _CONTEXT), broker))  # type: ignore[arg-type]
        records = [record(i, b"s1", value, [], int(NOON * 1000)) for i, value in enumerate(values)]
        await engagement.handle("leap.student-log", 0, of_objects(records))
        return broker

    return asyncio.run(run())


def reasons(broker: Broker) -> dict[int, str]:
    return {letter.offset: letter.reason for letter in broker.letters}


def test_lists_in_lists_in_lists_do_not_end_the_process() -> None:
    deep = json.dumps(ACTIVITY).encode()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    assert reasons(handle(FEED % b"f1", deep, FEED % b"f2")) == {1: "not a record: nested too deeply"}


@pytest.mark.parametrize("field", ["activity", "kind", "position"])
def test_a_reason_does_not_quote_the_record(field: str) -> None:
    (reason,) = reasons(handle(json.dumps(ACTIVITY | {field: SECRET}).encode())).values()

    assert SECRET not in reason
    assert field in reason


@pytest.mark.parametrize(
    "values",
    [
        (FEED % b"f1" + b"," + FEED % b"f2", b'{"kind":"feed-state","feed":"a', b'b","state":"stale","recorded_at":1}'),
        (FEED % b"f1" + b"\n" + FEED % b"f2", b'{"kind":"feed-state","x":[{}', b'{}],"feed":"f","state":"stale"}'),
        (FEED % b"f1" + b"," + FEED % b"f2", b'{"kind":"feed-state","x":[{}', b'{}],"feed":"f","state":"stale"}'),
        (FEED % b"f1" + FEED % b"f2", b""),
    ],
)
def test_values_that_are_records_only_together_are_none(values: tuple[bytes, ...]) -> None:
    """Taken for records they would have the keys and offsets of their neighbours, and other cuts of the log other ones."""
    assert reasons(handle(*values)).keys() == set(range(len(values)))


def test_many_records_that_the_core_fails_on_cost_no_more_than_a_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were found by bisection over the whole batch, one after the other: hours for ten thousand."""
    from agents import decide  # noqa: PLC0415

    worked = decide._control
    decided = 0

    def raising(draft: Any, item: Item) -> None:
        nonlocal decided
        decided += 1
        if item.offset % 3 == 0:
            raise ArithmeticError("a fault that a test put here")
        worked(draft, item)

    monkeypatch.setattr(decide, "_control", raising)
    monkeypatch.setattr("tests.fuzz.log.Broker.put", _collect)
    broker = handle(*[FEED % b"f%d" % (i % 5) for i in range(600)])

    assert reasons(broker) == dict.fromkeys(range(0, 600, 3), "core failed: ArithmeticError")
    assert decided < 20 * 600


async def _collect(self: Broker, letters: Any) -> None:
    self.letters += letters


# -- removals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, b"", KEY_PARTITION, b"\x02x", b"\xff", b"s1\n", b"x" * 129])
def test_a_removal_under_a_key_that_is_no_student_touches_nobody(key: bytes | None) -> None:
    """One under the partition's own key took the whole state with it; one without a key removed the last student."""
    campus = Campus(MON)
    campus.enrol("s1")
    campus.act("s1", MON)
    gone = log.StudentRecord(msgspec.Raw(b"null"), log.Position("roster-0", 99), NOON)
    draft = campus.step(gone, key)

    assert [r.partition(":")[0] for r in campus.rejected] == ["roster entry"]
    assert [key for key, _, _ in draft.effects.changelog] == [KEY_PARTITION]
    assert campus.partition.table["alive"].tolist() == [True]


def test_who_is_not_known_leaves_nothing_behind_when_removed_or_refused() -> None:
    """Each took a row that stayed until the next start."""
    campus = Campus(MON)
    for i, raw in enumerate([b"null", b'{"student":7}', b'{"student":"another"}']):
        campus.step(log.StudentRecord(msgspec.Raw(raw), log.Position("roster-0", i), NOON), b"nobody%d" % i)

    assert campus.partition.ids == []
    assert len(campus.rejected) == 2


# -- far away ---------------------------------------------------------------------------------------------------------------


def test_an_activity_of_another_century_does_not_close_the_days_up_to_it() -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    far = log.ActivityRecord("tap_in", campus.at(date(2099, 12, 30)), log.Position("a-0", 1), NOON)
    draft = campus.step(far, b"s1", appended=NOON)

    assert campus.rejected == ["at: in the future"]
    assert not draft.effects.closed


@pytest.mark.parametrize("kind", ["activity", "close"])
def test_even_a_simulated_clock_closes_no_more_than_five_years_at_once(kind: str) -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    far = date(2099, 12, 20)
    if kind == "activity":
        campus.act("s1", far)
    else:
        campus.close(far)

    assert len(campus.rejected) == 1
    assert "1830 days" in campus.rejected[0]
    campus.close(MON)
    assert campus.partition.meta is not None
    assert campus.partition.meta.anchor == number_of(MON)


@pytest.mark.parametrize("day", ["2026-02-30", "2150-01-01", "9999-12-31", "2099-12-31"])
def test_a_close_of_a_day_that_there_is_not_is_rejected(day: str) -> None:
    campus = Campus(MON)
    campus.step(log.DayClosed(day, "p", "c", NOON), appended=5e9)

    assert campus.rejected == ["day: there is no such day"]


def test_a_log_begins_when_it_was_written_and_not_when_its_first_record_says() -> None:
    """A roster entry may be years old: its topic is compacted. No alert rests on days that nobody watched."""
    campus = Campus(MON)
    entry = log.StudentRecord(msgspec.Raw(b'{"student":"s1"}'), log.Position("roster-0", 1), 1_600_000_000.0)
    campus.step(entry, b"s1", appended=NOON)

    assert campus.partition.meta is not None
    assert campus.partition.meta.begun == number_of(MON) - 1


def test_a_feed_cannot_be_stale_since_a_day_to_come() -> None:
    """It held alerts until then."""
    campus = Campus(MON)
    campus.step(log.FeedState("f1", "stale", 4e9), appended=NOON)

    assert campus.partition.meta is not None
    assert campus.partition.meta.stale == {"f1": number_of(MON)}


def test_years_of_absence_and_silence_cost_no_time() -> None:
    """They were counted day by day and absence by absence, for each student at each close."""
    spans = [(day, day + 6, False) for day in range(number_of(MON) - 64 * 9, number_of(MON), 9)]
    table = np.array([roster.entry(None)[0]] * 500, roster.dtype)
    table["first"], table["last"], table["absent"], table["alive"] = 0, roster.FOREVER, True, True
    never = np.full(500, -(1 << 31))
    began = time.perf_counter()
    idle = roster.idle_days(_CONTEXT.rules, table, [spans] * 500, never, number_of(MON) - 9_000, number_of(MON))

    assert time.perf_counter() - began < 5
    assert set(idle.tolist()) == {
        9_000 - sum(number_of(MON) - 9_000 < day for a, b, _ in spans for day in range(a, b + 1))
    }


# -- too many ---------------------------------------------------------------------------------------------------------------


def test_the_partitions_row_stays_small_however_many_feeds_and_sources_there_seem_to_be() -> None:
    """It outgrew what the topic takes, and then no batch could be written any more."""
    partition = Partition(0, Context(_CONTEXT.rules, _CONTEXT.civil))
    source = "x" * 250
    values = [FEED % b"feed-%d" % i for i in range(2_000)]
    values += [
        json.dumps(ACTIVITY | {"position": [f"{source}-{i}", 1, 0]}, separators=(",", ":")).encode()
        for i in range(6_000)
    ]
    values.append(json.dumps(ACTIVITY | {"position": ["\u0001 " * 9, 1, 0]}, separators=(",", ":")).encode())
    broker = handle(*values, partition=partition)

    assert partition.meta is not None
    assert len(partition.meta.stale) == 256
    assert len(partition.meta.sources) <= 2_048
    assert "position: no source" in reasons(broker).values()


def test_a_batch_of_the_largest_counts_does_not_wrap() -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    one = log.ActivityRecord("tap_in", NOON, log.Position("a-0", 0), NOON, 65_535)
    items = [
        Item(10 + i, b"s1", NOON, msgspec.structs.replace(one, position=log.Position("a-0", i))) for i in range(65_540)
    ]
    decide(campus.partition, Items.of(items)).commit()

    assert campus.partition.rows["counts"].max() == 65_535


def test_a_batch_of_many_once_keys_fits_the_topic() -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    items = []
    for i in range(140_000):
        made = log.ActivityRecord("tap_in", NOON, log.Position("a-0", i), NOON, once=i)
        items.append(Item(10 + i, b"s1", NOON, made))
    draft = decide(campus.partition, Items.of(items))

    assert max(len(value or b"") for _, value, _ in draft.effects.changelog) < 1_000_000
    draft.commit()
    assert len(campus.partition.once) == 140_000
    assert len(set(campus.partition.once_records.names[number_of(MON)])) == 5


def test_a_row_that_was_not_written_for_years_is_moved_on_at_once() -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    campus.act("s1", MON)
    draft = decide(campus.partition, Items.of([]))
    del draft
    from windows import daily  # noqa: PLC0415

    rows = campus.partition.rows.copy()
    step = rows.copy()
    anchor = int(rows["anchor"][0])
    rules, window = campus.partition.context.rules, campus.partition.context.window
    for day in range(anchor, anchor + 200):
        daily.advance(step, rules, window, day, day + 1)
    daily.advance(rows, rules, window, anchor, anchor + 200)
    assert rows.tobytes() == step.tobytes()
    began = time.perf_counter()
    daily.advance(rows, rules, window, -(1 << 31), 20_000)
    assert time.perf_counter() - began < 2


def test_days_that_are_missing_close_for_as_long_as_an_installation_may_be_off() -> None:
    campus = Campus(MON)
    campus.enrol("s1")
    campus.act("s1", MON + timedelta(days=400))

    assert not campus.rejected
    assert len(campus.days) == 399
