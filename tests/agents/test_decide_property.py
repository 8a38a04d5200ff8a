"""The vectorised core against the plain oracle: whatever the log, the cuts, restarts and half-written batches."""

import random
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.decide import decide
from agents.items import Effects, Item, Items
from agents.partition import Context, Partition
from schemas.policy import PolicySet
from schemas.state import KEY_EVIDENCE, KEY_ONCE, KEY_ROSTER, encode_partition
from streams.column_table import Latest
from tests.agents.logs import Writer
from tests.oracle import Oracle
from windows.civil import CivilDays
from windows.scoring import Rules

KINDS = ("days", "ratings", "alerts")
Said = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


class Topic(Latest):
    """The changelog as compaction and recovery see it."""

    def write(self, messages: list[Any]) -> None:
        for key, value, headers in messages:
            self.add(SimpleNamespace(key=key, value=value, headers=headers))

    def recover(self, partition: Partition) -> None:
        due = partition.load(self.values())
        self.write(self.again() + due)


def identity(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes a record one record: outputs are unique by it."""
    return record["version"], record.get("student", ""), record.get("day") or record.get("alert") or ""


def collect(said: Said, effects: Effects) -> None:
    for kind in KINDS:
        for _, value, _ in getattr(effects, kind):
            record = orjson.loads(value)
            held = said[kind].setdefault(identity(record), record)
            assert held == record, "one identity was said twice with different content"


def play(
    policies: PolicySet, items: list[Item], rng: random.Random, *, restarts: bool, half_writes: bool
) -> tuple[Said, list[int], Topic, Partition]:
    """Run a log through the core in random cuts; on demand with restarts, and with deaths in the middle of a write."""
    context = Context(Rules(policies), CivilDays(policies.zone))
    partition, topic = Partition(0, context), Topic()
    said: Said = {kind: {} for kind in KINDS}
    rejected: list[int] = []
    done = 0
    while done < len(items):
        cut = rng.choice([1, 2, 5, 20, 100])
        draft = decide(partition, Items.of(items[done : done + cut]))
        collect(said, draft.effects)
        changelog = draft.effects.changelog
        if half_writes and changelog and rng.random() < 0.2:
            topic.write(changelog[: rng.randint(0, len(changelog) - 1)])
        else:
            topic.write(changelog)
            rejected += [r.offset for r in draft.effects.rejected]
            draft.commit()
            done += cut
            if not restarts or rng.random() < 0.8:
                continue
        partition = Partition(0, context)
        topic.recover(partition)
    return said, rejected, topic, partition


def content(topic: Topic, context: Context) -> dict[Any, Any]:
    """Return what the changelog holds, all rows moved on to the last anchor, once-keys as one set a day."""
    partition = Partition(0, context)
    partition.load(topic.values())
    held: dict[Any, Any] = {key: partition.rows[row].tobytes() for key, row in partition.index.items()}
    held["partition"] = partition.meta and encode_partition(partition.meta)
    for key, value in topic.values():
        if key.startswith(KEY_ROSTER):
            held[key] = value
        elif key.startswith((KEY_ONCE, KEY_EVIDENCE)):
            entries = held.setdefault(key.partition(b"/")[0], set())
            size = 8 if key.startswith(KEY_ONCE) else 24
            entries.update(value[i : i + size] for i in range(0, len(value), size))
    return held


def near(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float | int):
        return abs(found - wanted) < 2e-6
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(near(found.get(name), value) for name, value in wanted.items())
    return bool(found == wanted)


def agrees(said: Said, oracle: Oracle) -> None:
    for kind in KINDS:
        wanted = {identity(record): record for record in getattr(oracle, kind)}
        assert said[kind].keys() == wanted.keys(), kind
        for key, record in wanted.items():
            found = said[kind][key]
            different = {name: found.get(name) for name, value in record.items() if not near(found.get(name), value)}
            assert not different, (kind, record, different)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(rng=st.randoms(use_true_random=False))
def test_days_ratings_and_alerts_are_those_of_the_oracle_in_any_cut_with_restarts_and_half_written_batches(
    rng: random.Random,
) -> None:
    """Same log, same policies: same outputs and same state, and they are what a plain calculation gives."""
    check(rng)


@pytest.mark.parametrize("seed", range(150))
def test_seeded_logs_too(seed: int) -> None:
    """Long logs, which hypothesis rarely draws."""
    check(random.Random(seed))


def check(rng: random.Random) -> None:
    writer = Writer(rng)
    items = writer.write()
    oracle = Oracle(writer.policies)
    for item in items:
        oracle.feed(*item)
    said, rejected, topic, partition = play(writer.policies, items, rng, restarts=False, half_writes=False)
    agrees(said, oracle)
    assert rejected == oracle.rejected
    wanted = content(topic, partition.context)
    for half_writes in (False, True):
        again, _, other, _ = play(writer.policies, items, rng, restarts=True, half_writes=half_writes)
        assert again == said
        assert content(other, partition.context) == wanted
