"""One run of the demo of the sources, from cold start until every record is where it belongs."""

import asyncio
import secrets
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from deploy.servers import free_port
from leap.commands import identities, timetable
from leap.connect import offsets as started_offsets
from leap.connect import producing, redis_client
from leap.demo.running import left_to_do, supervised, while_running
from leap.demo.sources.board import Progress
from leap.demo.sources.days import MIDNIGHT_IN, Days
from leap.demo.sources.ledger import Difference, Ledger, differences
from leap.demo.sources.measure import Measured, Meter, engagement_agrees, views_agree
from leap.demo.sources.plan import SOURCES, Plan, make
from leap.demo.sources.planting import WAYS_IN, Shipment
from leap.demo.sources.ways import Ways, new_secrets
from leap.errors import CONFIG, SOFTWARE, CommandError
from leap.local import free_ports, servers
from leap.measure import Samples, scrape, total
from leap.options import load_settings
from leap.progress import read_lags
from leap.sending import deliver
from leap.supervisor import Supervisor
from leap.waiting import caught_up
from schemas.cloudevents import headers
from schemas.policy import PolicyError, PolicySet, read_policies
from streams.admin import Offsets
from streams.producer import Message, Producer
from streams.settings import Process, Settings

PROCESSES: tuple[Process, ...] = ("roster", "intake", "engagement", "clock", "readmodel", "gateway")

_VENDORS: dict[str, Any] = {"moodle_dates": "%d/%m/%y, %H:%M", "least_watched": 60.0, "remote_labs": False}
"""What the simulated vendors' records rest on, whatever the environment says."""

_START_PATIENCE = 180.0
_PATIENCE = 120.0
_ASK_EVERY = 0.1


@dataclass(frozen=True)
class Outcome:
    """Both ledgers, and where they differ."""

    plan: Plan
    expected: Ledger
    measured: Ledger
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what ``leap demo --sources --json`` prints: what was measured, and where that is not as planted."""
        return {
            "simulated": True,
            "students": len(self.plan.university.students),
            "sources": self.measured.as_json(),
            "total": self.measured.total(),
            "differences": [difference._asdict() for difference in self.differences],
        }


@dataclass(frozen=True)
class Run:
    """A run that has come to its end, while its servers and processes are still up."""

    settings: Settings
    supervisor: Supervisor
    outcome: Outcome


@dataclass(frozen=True)
class _Stage:
    """What a run works with, all of it started; files are written to the directory."""

    settings: Settings
    supervisor: Supervisor
    producer: Producer
    offsets: Offsets
    redis: "Redis"
    ways: Ways
    directory: Path
    progress: Progress

    async def metrics(self, process: Process) -> Samples:
        """Return a process's metrics; one that has no time to answer is asked again."""
        while True:
            try:
                return await asyncio.to_thread(scrape, self.supervisor.metrics_url(process))
            except OSError:
                await asyncio.sleep(_ASK_EVERY)

    async def until(self, holds: Callable[[Samples], bool], process: Process) -> None:
        """Return when something holds for a process's metrics."""
        while not holds(await self.metrics(process)):  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(_ASK_EVERY)


def _policies_of(policy: Path | None) -> tuple[Path, PolicySet]:
    """Read the policies.

    Raises:
        CommandError: they cannot be used.
    """
    path = policy or load_settings().policies
    try:
        return path, read_policies(path)
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error


@asynccontextmanager
async def accounted(seed: int, policy: Path | None) -> AsyncIterator[Run]:
    """Send everything and account for it; give the run while everything is still up, then end it all.

    Raises:
        CommandError: a server did not start, a process could not go on, or one did not get ahead.
    """
    path, policies = _policies_of(policy)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leap-demo-")))
        secret = new_secrets()
        credentials = directory / "gateway.toml"
        credentials.write_text(secret.file())
        settings = await stack.enter_async_context(
            servers(
                directory,
                policies=path.resolve(),
                sources=SOURCES,
                commit_interval=0.1,
                unmatched_retry=1.0,
                gateway_host="127.0.0.1",
                gateway_port=free_port(),
                gateway_credentials=credentials,
                identity_key=secrets.token_hex(32),
                identity_key_file=None,
                identity_key_before=None,
                identity_key_before_file=None,
                simulated_clock=False,
                **_VENDORS,
            )
        )
        supervisor = Supervisor(settings, free_ports(PROCESSES), log=directory / "processes.log")
        running = await stack.enter_async_context(supervised(supervisor))
        producer = await stack.enter_async_context(producing(settings, "demo"))
        offsets = await stack.enter_async_context(started_offsets(settings))
        redis = await stack.enter_async_context(redis_client(settings))
        ways = Ways(settings, producer, secret, directory)
        progress = Progress()
        stage = _Stage(settings, supervisor, producer, offsets, redis, ways, directory, progress)

        async def where() -> str:
            return await left_to_do(progress.phase, settings, offsets, redis)

        outcome = await while_running(_all(stage, policies, seed), running, supervisor, where)
        yield Run(settings, supervisor, outcome)


async def _all(stage: _Stage, policies: PolicySet, seed: int) -> Outcome:
    progress = stage.progress
    progress.say("starting the processes")
    async with asyncio.timeout(_START_PATIENCE):
        await asyncio.gather(*(_ready(stage.supervisor, process) for process in PROCESSES))
    days = await _today(policies, progress)
    plan = make(days, seed)
    progress.say("students, timetable and identities of the simulated university")
    async with asyncio.timeout(_PATIENCE):
        await _open(stage, plan)
    progress.say("its systems send")
    async with asyncio.timeout(_PATIENCE):
        await _send(stage, plan)
        await _taken(stage)
    progress.say("the directory says who some of the unknown are")
    async with asyncio.timeout(_PATIENCE):
        await _claim(stage, plan)
    progress.say("waiting until everything is in Redis")
    async with asyncio.timeout(_PATIENCE):
        while any(lag.records for lag in await read_lags(stage.settings, stage.offsets, stage.redis)):  # noqa: ASYNC110
            await asyncio.sleep(_ASK_EVERY)
        progress.say("reading what became of it")
        return await _outcome(stage, plan, policies.zone)


async def _ready(supervisor: Supervisor, process: Process) -> None:
    """Return when a process says that it is ready."""
    url = supervisor.metrics_url(process).replace("/metrics", "/ready")
    while not await asyncio.to_thread(_answers, url):  # noqa: ASYNC110 - another process tells nobody
        await asyncio.sleep(_ASK_EVERY)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - a process of the installation
            return bool(answer.status == 200)
    except (HTTPException, OSError):
        return False


async def _today(policies: PolicySet, progress: Progress) -> Days:
    """Return today. Counting begins on the day on which the students come: if midnight is near, after it."""
    days = Days(policies.zone, time.time())
    if days.left < MIDNIGHT_IN:
        progress.say("it is nearly midnight: waiting for the day on which to begin")
        await asyncio.sleep(days.left + 1.0)
        days = Days(policies.zone, time.time())
    try:
        policies.on(days.date(0))
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error
    return days


async def _open(stage: _Stage, plan: Plan) -> None:
    """Let every process know the students, their keys and the timetable."""
    settings = stage.settings
    entries: list[Message] = [
        (
            student.student.encode(),
            student.model_dump_json(exclude_defaults=True).encode(),
            headers("student", "/leap/demo", student.student),
        )
        for student in plan.roster
    ]
    await deliver(stage.producer, settings.topics.students.name, entries)
    await caught_up(stage.offsets, settings, "roster", [settings.topics.students.name])
    await caught_up(stage.offsets, settings, "engagement", [settings.topics.student_log.name])
    lines = await _load(stage, "timetable.csv", plan.timetable(), partial(timetable.run, "load"))
    await stage.until(lambda samples: total(samples, "leap_timetable_events") >= lines, "intake")
    lines = await _load(stage, "identities.csv", plan.identities(), partial(identities.run, "load"))
    await stage.until(lambda samples: total(samples, "leap_identities") >= lines, "intake")


async def _load(stage: _Stage, name: str, content: bytes, load: Callable[[Path, Settings], Any]) -> int:
    """Load a file as its command does; returns how many lines were taken."""
    file = stage.directory / name
    file.write_bytes(content)
    report = await load(file, stage.settings)
    if report.bad:
        raise CommandError(f"{name}: line {report.bad[0].number}: {report.bad[0].reason}", SOFTWARE)
    return int(report.lines)


async def _send(stage: _Stage, plan: Plan) -> None:
    """Send everything: the ways in side by side, each webhook and each token in turn on a connection of its own."""
    queues: defaultdict[tuple[str, str, str], list[Shipment]] = defaultdict(list)
    for shipment in plan.shipments:
        way_in = WAYS_IN[shipment.way]
        own = (shipment.way, shipment.source) if way_in == "gateway" else ("", "")
        queues[way_in, *own].append(shipment)
    try:
        with stage.progress.sending(plan.shipments):
            async with asyncio.TaskGroup() as group:
                for (way_in, *_), some in queues.items():
                    group.create_task(_way(stage, way_in, some))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several


async def _way(stage: _Stage, way_in: str, some: Sequence[Shipment]) -> None:
    tell = partial(stage.progress.sent, way_in)
    if way_in == "gateway":
        await stage.ways.gateway(some, tell)
        return
    send = stage.ways.kafka if way_in == "Kafka" else stage.ways.files
    for shipment in some:
        await send(shipment)
        tell(len(shipment.records))


async def _taken(stage: _Stage) -> None:
    """Return when intake has dealt with everything that was sent."""
    topics = [topic.name for topic in stage.settings.topics.sources.values()]
    await caught_up(stage.offsets, stage.settings, "intake", topics)


async def _claim(stage: _Stage, plan: Plan) -> None:
    """Load the identities of those who came late, and wait until everything that waited for them has moved."""
    held = total(await stage.metrics("intake"), "leap_identities")
    lines = await _load(stage, "late-identities.csv", plan.late_identities(), partial(identities.run, "load"))
    await stage.until(lambda samples: total(samples, "leap_identities") >= held + lines, "intake")
    since = time.time()
    # A sweep that was under way may have passed some of them; the one after it has not.
    for _ in range(2):
        await stage.until(partial(_swept_since, since), "intake")
        since = _swept(await stage.metrics("intake"))


def _swept_since(since: float, samples: Samples) -> bool:
    return _swept(samples) > since


def _swept(samples: Samples) -> float:
    return total(samples, "leap_unmatched_last_sweep_timestamp_seconds")


async def _outcome(stage: _Stage, plan: Plan, zone: str) -> Outcome:
    """Measure, and compare.

    Raises:
        CommandError: a process began anew, and its counters with it.
    """
    intake, engagement = await stage.metrics("intake"), await stage.metrics("engagement")
    if stage.supervisor.restarts:
        raise CommandError("a process ended and was started again: its counters began anew with it", SOFTWARE)
    measured = await Meter(stage.settings, stage.offsets, zone).measure(intake)
    expected = _expected(plan, stage.ways, measured)
    students = [person.student for person in plan.university.students]
    found = [
        *differences(expected, measured.ledger),
        *engagement_agrees(measured.ledger, engagement),
        *await views_agree(stage.redis, stage.settings, students, plan.shown()),
    ]
    return Outcome(plan, expected, measured.ledger, tuple(found))


def _expected(plan: Plan, ways: Ways, measured: Measured) -> Ledger:
    """Return the plan's ledger, with what stands on a topic once more because its sender could not know.

    The gateway answers 503 also when Kafka was only slow to say that it has a record; senders try that again.
    """
    expected = plan.ledger()
    doubtful = {(shipment.source, value): record for shipment, record, value in ways.doubtful}
    for (source, value), record in doubtful.items():
        planned = sum(shipment.values.count(value) for shipment in plan.shipments if shipment.source == source)
        # The gateway may have put an id in front of it.
        there = sum(n for text, n in measured.values[source].items() if text.endswith(value[1:]))
        fate = "repeated" if record.fate in {"counted", "late"} else record.fate
        expected.sent[source] += there - planned
        expected.add(source, fate, there - planned)
    return expected
