"""A consumer's heartbeat ends when it is told to, in every consumer group of ours.

Before aiokafka joins a group again it cancels its heartbeat and waits for it without end. If that gets lost, the
heartbeat goes on telling the broker that all is well, nobody joins, and the group stands still for ever. A sink
whose broker had just come back was seen in that state once in 575 faults; how it got there is inferred from its log.
"""

import asyncio
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

_AGAIN = 1.0
"""Seconds after which a heartbeat that still beats is told again."""


async def _stop_heartbeat(self: Any) -> None:
    task = self._heartbeat_task
    if task is not None and not task.done():
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN)
        if not task.cancelled():
            task.result()
    self._heartbeat_task = None


# aiokafka has no hook for it.
GroupCoordinator._stop_heartbeat_task = _stop_heartbeat
