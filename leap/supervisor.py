"""One child process a role: started, watched, started again when it ends, ended together; the gateway may be one.

A role that cannot go on ends its process on purpose (and acknowledges nothing), so somebody has to start it again:
Kubernetes does, and so does this.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from deploy.servers import die_with_parent
from leap.errors import CONFIG, OK
from leap.options import as_environment
from streams.settings import Process, Settings

logger = logging.getLogger(__name__)

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_RAN_WELL = 60.0
"""After so many seconds of running, the next end counts as a first one."""


class Supervisor:
    """Runs roles as child processes.

    ``ports``: the port of each role's metrics and probes. ``log``: a file for what they print; without one it goes
    where ours goes.
    """

    def __init__(self, settings: Settings, ports: Mapping[Process, int], *, log: Path | None = None) -> None:
        """Take what to run; nothing is started yet."""
        self._settings = settings
        self.ports = ports
        self.log = log
        self.restarts = 0
        self._stopping = asyncio.Event()
        self._children: dict[Process, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        """Run until :meth:`stop`, or until a role says that its configuration is wrong; returns the exit code."""
        with self._log_file() as output:
            watched = [asyncio.create_task(self._keep(role, output)) for role in self.ports]
            codes = await asyncio.gather(*watched)
        return max(codes, default=OK)

    def stop(self) -> None:
        """Ask all roles to end (SIGTERM); :meth:`run` returns when they have."""
        self._stopping.set()
        for child in self._children.values():
            _signal(child, signal.SIGTERM)

    def pid(self, role: Process) -> int | None:
        """Return a role's process, if one is running."""
        child = self._children.get(role)
        return child.pid if child is not None and child.returncode is None else None

    def metrics_url(self, role: Process) -> str:
        """Return where a role's metrics are."""
        return f"http://{self._settings.metrics_host}:{self.ports[role]}/metrics"

    async def _keep(self, role: Process, output: BinaryIO | None) -> int:
        """Keep one role running; returns CONFIG if it ended for that, else OK."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._once(role, output)
            if self._stopping.is_set():
                break
            if code == CONFIG:
                logger.error("%s: its configuration is wrong (exit %d, see above): ending all roles", role, code)
                self.stop()
                return CONFIG
            failures = 0 if time.monotonic() - began > _RAN_WELL else failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else 0.0
            self.restarts += 1
            logger.warning("%s ended (%s); starting it again in %.1f s", role, _how(code), pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        return OK

    async def _once(self, role: Process, output: BinaryIO | None) -> int:
        """Run a role's process to its end; returns its exit code."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "leap.main",
            *(["gateway"] if role == "gateway" else ["worker", role]),
            env={
                **os.environ,
                **as_environment(self._settings),
                "LEAP_METRICS_PORT": str(self.ports[role]),
                # A checkout that is not installed: the packages are where ours are.
                "PYTHONPATH": os.pathsep.join(
                    dict.fromkeys([str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
                ),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us: we end them in order
            preexec_fn=die_with_parent(),
        )
        self._children[role] = child
        if self._stopping.is_set():
            _signal(child, signal.SIGTERM)
        ended = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        try:
            return await asyncio.wait_for(ended, None if ended.done() else self._settings.rebalance_timeout + 4.0)
        except TimeoutError:
            logger.warning("%s did not end when asked to; killing it", role)
            _signal(child, signal.SIGKILL)
            return await child.wait()

    @contextlib.contextmanager
    def _log_file(self):  # type: ignore[no-untyped-def]
        if self.log is None:
            yield None
        else:
            with self.log.open("ab") as output:
                yield output


def at_signal(stop: Callable[[], object]) -> None:
    """Call ``stop`` at SIGINT and SIGTERM from now on. To be called where an event loop runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


_ROOT = Path(__file__).resolve().parent.parent


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def _how(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
