"""The workers of a run, kept running as a supervisor does."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from leap.errors import CONFIG
from streams.settings import Process
from tests.integration.harness import ROOT, Installation, Program, Worker

CREW: tuple[Process, ...] = (
    "roster",
    *("intake", "intake"),
    *("engagement", "engagement"),
    *("readmodel", "readmodel"),
    "gateway",
)
_PAUSE = 0.1


class Crew:
    """Keeps the workers of every role running: whoever ends, for whatever reason, is started again."""

    def __init__(self, system: Installation, **environment: str) -> None:
        self._system = system
        self._environment = environment
        self.workers: list[Worker] = []
        self.ended: Counter[str] = Counter()
        self.marks: list[Path] = []
        """A file for each order, in their order; it is there when the worker has come to its point."""
        self._ordered: dict[Worker, Path] = {}
        self._held: set[int] = set()
        self._holding = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Start everybody and keep them running."""
        self.workers = [self._start(role) for role in CREW]
        keeping = asyncio.create_task(self._keep())
        try:
            yield
            if keeping.done():
                keeping.result()
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            for worker in self._system.workers:
                worker.go_on()
                worker.kill()

    def _start(self, role: Program, **environment: str) -> Worker:
        number = len(self._system.workers) + 1
        orders = self._system.directory / f"{role}-{number}.orders"
        return self._system.start(
            role,
            fault={"orders": str(orders)},
            root=ROOT,
            LEAP_POLL_RECORDS="60",
            **{**self._environment, **environment},
        )

    async def _keep(self) -> None:
        while True:
            for place, worker in enumerate(self.workers):
                if worker.running or place in self._held or self._holding:
                    continue
                code = worker.process.returncode
                self.ended[f"{worker.role} {code}"] += 1
                if code == CONFIG:
                    raise AssertionError(f"a worker says that its configuration is wrong\n{worker.tail()}")
                self.workers[place] = self._start(worker.role)
            await asyncio.sleep(_PAUSE)

    def of(self, role: Process) -> list[Worker]:
        """Return the workers of a role."""
        return [worker for worker in self.workers if worker.role == role]

    def free(self, role: Process) -> list[Worker]:
        """Return the running workers of a role that have nothing to come to, or else all that run, or all."""
        workers = self.of(role)
        running = [worker for worker in workers if worker.running]
        free = [w for w in running if w not in self._ordered or self._ordered[w].exists()]
        return free or running or workers

    def order(self, worker: Worker, **what: Any) -> None:
        """Tell a running worker what is to happen to it at a point of its work; an order it had before is void."""
        path = worker.log.with_suffix(".orders")
        self.marks.append(path.with_suffix(f".{len(self.marks)}"))
        self._ordered[worker] = self.marks[-1]
        written = path.with_suffix(".new")
        written.write_text(json.dumps({"mark": str(self.marks[-1]), **what}))
        written.rename(path)

    async def replace(self, worker: Worker, **environment: str) -> Worker:
        """End a worker in order and start one in its place, in another environment."""
        place = self.workers.index(worker)
        self._held.add(place)
        worker.terminate()
        await worker.ended()
        self.workers[place] = self._start(worker.role, **environment)
        self._held.discard(place)
        return self.workers[place]

    @contextlib.contextmanager
    def holding(self):  # type: ignore[no-untyped-def]
        """Start nobody again for a while."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    async def one_more(self, role: Process, root: Path | None = None) -> Worker:
        """Start one more worker of a role, of this checkout or another, which is not kept."""
        if root is None:
            return self._start(role)
        worker = self._system.start(role, root=root, LEAP_POLL_RECORDS="60")
        worker.may_end = True
        return worker
