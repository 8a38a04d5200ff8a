"""A heartbeat that misses its cancellation is told again."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

from streams import heartbeats


async def stopped(heartbeat: Any) -> Any:
    coordinator = SimpleNamespace(_heartbeat_task=asyncio.create_task(heartbeat))
    await asyncio.sleep(0)
    await asyncio.wait_for(GroupCoordinator._stop_heartbeat_task(coordinator), 5)
    return coordinator


async def test_a_lost_cancellation_does_not_hold_up_the_group_for_ever(monkeypatch: Any) -> None:
    monkeypatch.setattr(heartbeats, "_AGAIN", 0.01)
    heard = 0

    async def deaf() -> None:
        nonlocal heard
        while heard < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1

    assert (await stopped(deaf()))._heartbeat_task is None
    assert heard == 3


async def test_a_heartbeat_that_hears_ends_at_once() -> None:
    task = (await stopped(asyncio.sleep(60)))._heartbeat_task
    assert task is None
