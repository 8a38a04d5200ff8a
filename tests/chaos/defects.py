"""Planted defects: each takes one protection of the product away, so that the suite can show that it would notice.

A worker process plants one from its environment (`DEFECT`); the product itself knows nothing of this.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

DEFECTS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Take the protection of that name away in this process; of several names, with commas between them, all."""
    for one in name.split(","):
        DEFECTS[one]()


def _defect(plant_it: Callable[[], None]) -> Callable[[], None]:
    DEFECTS[plant_it.__name__.replace("_", "-")] = plant_it
    return plant_it


@_defect
def acknowledge_before_the_changelog() -> None:
    """A batch is acknowledged (and may be committed) when its outputs are delivered, before its rows are."""
    from agents.engagement import Engagement  # noqa: PLC0415
    from streams import role  # noqa: PLC0415

    handle = Engagement.handle

    async def early(self: Any, topic: str, number: int, records: Any) -> None:
        # The batch is dealt with behind the caller's back, who acknowledges at once.
        task = asyncio.ensure_future(_later(self, topic, number, records))
        _tasks.add(task)
        task.add_done_callback(_ended)

    async def _later(self: Any, topic: str, number: int, records: Any) -> None:
        await handle(self, topic, number, records)

    def _ended(task: Any) -> None:
        _tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            role.end_process(70, f"engagement: {task.exception()!r}")

    _tasks: set[Any] = set()
    Engagement.handle = early  # type: ignore[method-assign,assignment]


@_defect
def answered_before_kafka_has_it() -> None:
    """The gateway answers success when it has understood a request, and brings it to Kafka afterwards."""
    from streams.gateway.entrance import Entrance  # noqa: PLC0415

    deliver = Entrance.deliver
    tasks: set[Any] = set()

    async def early(self: Any, source: str, messages: Any) -> None:
        task = asyncio.ensure_future(deliver(self, source, messages))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    Entrance.deliver = early  # type: ignore[method-assign]


@_defect
def what_waited_without_its_once_key() -> None:
    """What waited is counted by its place in the waiting room alone, which it may have had twice."""
    from msgspec.structs import replace  # noqa: PLC0415

    from schemas import log  # noqa: PLC0415
    from streams.intake import Intake  # noqa: PLC0415

    message = Intake.message

    def keyless(self: Any, *args: Any) -> Any:
        key, value, headers = message(self, *args)
        record = log.decode(value or b"")
        if isinstance(record, log.ActivityRecord) and ".unmatched-" in record.position.source:
            value = log.encode(replace(record, once=None))
        return key, value, headers

    Intake.message = keyless  # type: ignore[method-assign,assignment]


@_defect
def no_row_fence() -> None:
    """What is at or below a row's version is counted again."""
    from agents import counting  # noqa: PLC0415

    count = counting._count

    def unfenced(draft: Any, events: Any) -> None:
        count(draft, events._replace(behind=np.zeros_like(events.behind)))

    counting._count = unfenced


@_defect
def no_source_fence() -> None:
    """A source record that intake sent twice counts twice."""
    from agents.draft import Draft  # noqa: PLC0415

    past_fence = Draft.past_fence

    def unfenced(self: Any, run: slice, positions: Any) -> Any:
        return np.ones_like(past_fence(self, run, positions))

    Draft.past_fence = unfenced  # type: ignore[method-assign]


@_defect
def redis_without_version_check() -> None:
    """Whatever comes last is written, older or not."""
    from hashlib import sha1  # noqa: PLC0415

    from sinks import store  # noqa: PLC0415

    for script in store._SCRIPTS:
        blind = script.text.replace(
            "local function newer(version, held)", "local function newer(version, held)\n  if true then return true end"
        )
        script.text, script.sha = blind, sha1(blind.encode(), usedforsecurity=False).hexdigest()


@_defect
def outputs_after_the_changelog() -> None:
    """Rows are delivered first, so what they caused may never be said."""
    from agents.engagement import Engagement  # noqa: PLC0415

    deliver = Engagement._deliver

    async def reversed_order(self: Any, owned: Any, draft: Any, records: Any, rejected: Any) -> None:
        await owned.changelog.write(draft.effects.changelog)
        draft.effects.changelog = []
        await deliver(self, owned, draft, records, rejected)

    Engagement._deliver = reversed_order  # type: ignore[method-assign]


@_defect
def a_zombies_write_kept() -> None:
    """Nobody notices a second writer, and recovery takes the last row of a key and not the newest."""
    from streams import column_table  # noqa: PLC0415

    async def unguarded(self: Any, messages: Any) -> None:
        await self._producer.deliver(self._topic, self._partition, messages)

    def last(self: Any, record: Any) -> None:
        self.records += 1
        if record.key is not None:
            self._held[record.key] = (column_table.version_of(record.key, record.value, record.headers), record.value)

    column_table.Changelog.write = unguarded  # type: ignore[method-assign]
    column_table.Latest.add = last  # type: ignore[method-assign]


@_defect
def a_close_that_skips_rows() -> None:
    """A close passes over every seventh student."""
    from agents import closing  # noqa: PLC0415

    close = closing.close_through

    def skipping(draft: Any, *args: Any, **kwargs: Any) -> None:
        alive = draft.table["alive"].copy()
        draft.table["alive"][::7] = False
        close(draft, *args, **kwargs)
        draft.table["alive"] = alive

    closing.close_through = skipping
