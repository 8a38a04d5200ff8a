"""The records of the keys that tell repeats: small ones are merged when they are many, and not looked through before."""

from typing import Any

import msgspec
import orjson
import pytest

from agents.decide import decide
from agents.items import Item, Items
from agents.partition import Context, Partition
from schemas import log
from schemas.policy import read_policies
from schemas.state import KEY_ONCE
from streams.settings import Settings
from windows.civil import CivilDays
from windows.once import OnceKeys
from windows.scoring import Rules

DAY = 20_731  # 2026-10-05
KEYS = 80_000


class Log:
    """One student's activities, each with a key of its own."""

    def __init__(self) -> None:
        policies = read_policies(Settings(_env_file=None).policies)  # type: ignore[call-arg]
        self.context = Context(Rules(policies), CivilDays(policies.zone))
        self.at = self.context.civil.start_of(DAY) + 36_000.0
        self.partition = Partition(0, self.context)
        self.held: dict[bytes, bytes] = {}
        self.offset = 0
        entry = log.StudentRecord(msgspec.Raw(orjson.dumps({"student": "s"})), log.Position("r-0", 0), self.at)
        self.decide([Item(0, b"s", self.at, entry)])

    def act(self, events: int) -> int:
        """Count some activities as one batch; returns how many of the batch's records are keys."""
        items = []
        for _ in range(events):
            self.offset += 1
            record = log.ActivityRecord("zoom", self.at, log.Position("s-0", self.offset), self.at, once=self.offset)
            items.append(Item(self.offset, b"s", self.at, record))
        return self.decide(items)

    def decide(self, items: list[Item]) -> int:
        draft = decide(self.partition, Items.of(items))
        draft.commit()
        for key, value, _ in draft.effects.changelog:
            assert key is not None
            if value is None:
                del self.held[key]
            else:
                self.held[key] = value
        return sum((key or b"").startswith(KEY_ONCE) for key, _, _ in draft.effects.changelog)


def test_keys_are_put_in_order_only_when_their_records_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    of, gathered = OnceKeys.of, []

    def counted(keys: OnceKeys, day: int) -> Any:
        gathered.append(day)
        return of(keys, day)

    monkeypatch.setattr(OnceKeys, "of", counted)
    written = Log()
    alone = KEYS // 256 - 1 - written.act(KEYS)
    assert {written.act(1) for _ in range(alone)} == {1}
    assert not gathered

    # A record for 256 keys: they are merged, and those that they were in are removed.
    assert any(written.act(1) > alone for _ in range(10))
    assert gathered
    monkeypatch.undo()
    again = Partition(0, written.context)
    again.load(written.held.items())
    assert again.once.of(DAY).tolist() == list(range(1, written.offset + 1))
    assert len(again.once_records.names[DAY]) < 5
