"""Work that goes on for as long as the roles run; if it does not get ahead, where it stands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from leap.errors import SOFTWARE, CommandError
from leap.progress import read_lags
from leap.supervisor import Supervisor
from streams.admin import Offsets
from streams.settings import Settings

_Result = TypeVar("_Result")

_ANSWER_PATIENCE = 10.0


@asynccontextmanager
async def supervised(supervisor: Supervisor) -> AsyncIterator["asyncio.Task[int]"]:
    """Start the roles, give the task that runs them, and end them all."""
    running = asyncio.create_task(supervisor.run())
    try:
        yield running
    finally:
        supervisor.stop()
        await running


async def while_running(
    work: Coroutine[Any, Any, _Result],
    running: "asyncio.Task[int]",
    supervisor: Supervisor,
    where: Callable[[], Awaitable[str]],
) -> _Result:
    """Do some work for as long as the roles run; ``where`` says how far it is.

    Raises:
        CommandError: they ended, or the work did not get ahead; the message has the end of what they printed.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CommandError(
            f"a role ended for good (exit {running.result()}):\n{_last_words(supervisor)}", running.result()
        )
    except TimeoutError as error:
        message = f"the demo does not get ahead: {await where()}\n{_last_words(supervisor)}"
        raise CommandError(message, SOFTWARE) from error
    finally:
        task.cancel()


async def left_to_do(phase: str, settings: Settings, offsets: Offsets, redis: "Redis") -> str:
    """Say what the demo is at, and which role has how much left to do."""
    try:
        async with asyncio.timeout(_ANSWER_PATIENCE):
            lags = await read_lags(settings, offsets, redis)
    except (KafkaError, RedisError, OSError) as error:  # TimeoutError is an OSError
        return f"{phase}; how far the roles are cannot be read ({type(error).__name__})"
    left = [f"{lag.role} {lag.topic}-{lag.partition}: {lag.records}" for lag in lags if lag.records]
    return f"{phase}; left to do: {', '.join(left) or 'nothing'}"


async def cancelled(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """End tasks that go on for ever."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _last_words(supervisor: Supervisor, lines: int = 15) -> str:
    text = supervisor.log.read_text(errors="replace") if supervisor.log is not None and supervisor.log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
