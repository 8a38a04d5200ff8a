"""The event loop of the worker processes: uvloop, which ends TLS connections in time, beside a thread that fetches.

A connection that is closed while an answer is on its way, as that of a consumer nearly always is, waits for the other
side's farewell: uvloop then misses it and gives up after 30 s (measured; asyncio's own loop does not). Every end
of a process and every recovery would take that long.
"""

import asyncio
import sys
from typing import Any

import uvloop

_SHUTDOWN_TIMEOUT = 0.5
_TURN = 0.0003


class Loop(uvloop.Loop):
    """A loop whose TLS connections wait half a second for the other side's farewell."""

    async def create_connection(self, *args: Any, ssl: Any = None, **options: Any) -> Any:
        """Open a connection; what it has still to send when it is closed is sent first, as ever."""
        if ssl is not None:
            options.setdefault("ssl_shutdown_timeout", _SHUTDOWN_TIMEOUT)
        return await super().create_connection(*args, ssl=ssl, **options)


class _Policy(uvloop.EventLoopPolicy):
    def _loop_factory(self) -> Loop:
        return Loop()


def where(task: "asyncio.Task[Any]") -> str:
    """Return where a task waits: its functions with their lines, from the outermost to the innermost."""
    found: list[str] = []
    waits: Any = task.get_coro()
    while (frame := getattr(waits, "cr_frame", None) or getattr(waits, "ag_frame", None)) is not None:
        found.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        waits = getattr(waits, "cr_await", None) or getattr(waits, "ag_await", None)
    return " > ".join(found)


def install() -> None:
    """Have every event loop that is made from now on be a :class:`Loop`, and threads take turns more often.

    Faust fetches in a thread of its own. It gives the interpreter up for each 64 KB that it reads, and gets it back
    when a turn is over: with turns of Python's 5 ms, four megabytes took longer to read than to count.
    """
    sys.setswitchinterval(_TURN)
    asyncio.set_event_loop_policy(_Policy())
