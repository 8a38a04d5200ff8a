"""The installation under load: one of its own on this machine, or one that runs elsewhere."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from deploy.servers import ApacheKafka, EmbeddedBroker, Server, kafka_available
from leap.commands.worker import ports
from leap.connect import reach_kafka
from leap.errors import CONFIG, SOFTWARE, CommandError
from leap.local import free_ports, servers
from leap.options import load_settings
from leap.supervisor import Supervisor
from streams.settings import ROLES, Role, Settings

STUDENTS_A_PARTITION = 60_000
_COMFORTABLE = 50_000
_FEWEST = 4
_WORDS = 15


class Installation:
    """Where the load goes. ``urls``: the /metrics of its roles; ``broker``: its process, if we started it."""

    def __init__(self, settings: Settings, urls: list[str]) -> None:
        """Name it."""
        self.settings = settings
        self.urls = urls
        self.broker: psutil.Process | None = None
        self.broker_name = "given"

    async def start(self, roles: Iterable[Role]) -> None:
        """Start roles; somebody else runs those of an installation that is not ours."""

    async def stop(self, roles: Iterable[Role]) -> None:
        """Stop roles."""

    async def failure(self) -> CommandError:
        """Return, if ever, why it cannot go on."""
        await asyncio.Event().wait()
        raise AssertionError


class Local(Installation):
    """An installation of our own. Each role has a supervisor of its own, so that it starts and stops alone."""

    def __init__(self, settings: Settings, broker: Server, log: Path) -> None:
        """Take the settings of servers that run."""
        self._ports = free_ports(ROLES)
        super().__init__(settings, [f"http://{settings.metrics_host}:{port}/metrics" for port in self._ports.values()])
        self.broker = psutil.Process(broker.pid)
        self.broker_name = broker.name
        self._log = log
        self._running: dict[Role, tuple[Supervisor, asyncio.Task[int]]] = {}
        self._failed: asyncio.Queue[int] = asyncio.Queue()

    async def start(self, roles: Iterable[Role]) -> None:
        """Start one process of each role."""
        for role in roles:
            supervisor = Supervisor(self.settings, {role: self._ports[role]}, log=self._log)
            running = asyncio.create_task(supervisor.run())
            running.add_done_callback(self._ended)
            self._running[role] = supervisor, running

    async def stop(self, roles: Iterable[Role]) -> None:
        """Ask roles to end, and return when they have."""
        ending = [self._running.pop(role) for role in roles]
        for supervisor, _ in ending:
            supervisor.stop()
        await asyncio.gather(*(running for _, running in ending))

    async def stop_all(self) -> None:
        """Stop every role that runs."""
        await self.stop(list(self._running))

    def _ended(self, running: "asyncio.Task[int]") -> None:
        if any(running is task for _, task in self._running.values()):
            self._failed.put_nowait(SOFTWARE if running.cancelled() or running.exception() else running.result())

    async def failure(self) -> CommandError:
        """Return when a role has ended for good, with the end of what it printed."""
        code = await self._failed.get()
        words = self._log.read_text(errors="replace").splitlines()[-_WORDS:] if self._log.exists() else []
        return CommandError(f"a role ended for good (exit {code}):\n" + "\n".join(words), code)


@asynccontextmanager
async def local(students: int, *, simulated: bool, log: Path | None = None) -> AsyncIterator[Installation]:
    """Start Apache Kafka where Java is (else the embedded broker) and Valkey; end everything in the end.

    As many partitions as the students need, unless the settings name a number. ``simulated``: time is what the
    records say, so that days can be closed at will. ``log``: where the roles write, else a file that ends with them.
    """
    given = load_settings()
    chosen: dict[str, Any] = {"partitions": max(_FEWEST, -(-students // _COMFORTABLE))}
    chosen = {name: value for name, value in chosen.items() if name not in given.model_fields_set}
    if given.hash_key is None:
        chosen["hash_key"] = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="leap-load-") as name:
        directory = Path(name)
        kind = ApacheKafka if kafka_available() else EmbeddedBroker
        broker: Server = kind(directory / "kafka")
        async with servers(directory, broker=broker, simulated_clock=simulated, **chosen) as settings:
            check(settings, students)
            installation = Local(settings, broker, log or directory / "roles.log")
            try:
                yield installation
            finally:
                await installation.stop_all()


@asynccontextmanager
async def given(settings: Settings, students: int, metrics: tuple[str, ...]) -> AsyncIterator[Installation]:
    """Use an installation that runs.

    ``metrics``: its roles' /metrics; without any, where ``leap worker all`` has them.
    """
    await reach_kafka(settings)
    check(settings, students)
    yield Installation(
        settings,
        list(metrics) or [f"http://{settings.metrics_host}:{port}/metrics" for port in ports(settings).values()],
    )


def check(settings: Settings, students: int) -> None:
    """Refuse more students than the partitions may hold.

    Raises:
        CommandError: there are.
    """
    if students > settings.partitions * STUDENTS_A_PARTITION:
        needed = -(-students // STUDENTS_A_PARTITION)
        msg = (
            f"{students:,} students need {needed} partitions (at most {STUDENTS_A_PARTITION:,} students each), "
            f"there are {settings.partitions}: LEAP_PARTITIONS"
        )
        raise CommandError(msg, CONFIG)
    if "events" not in settings.sources:
        raise CommandError("LEAP_SOURCES: the load is sent as source `events`, which is not among them", CONFIG)
