"""One run: students on the roster, events by the schedule, a look every second, and what it came to."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from leap.connect import offsets as started_offsets
from leap.connect import redis_client
from leap.errors import CONFIG, UNREACHABLE, CommandError
from leap.load.days import Days
from leap.load.generator import Generator, entries
from leap.load.installation import Installation
from leap.load.latency import Sampler
from leap.load.plan import MIDNIGHT, Plan
from leap.load.population import Population
from leap.load.series import Series
from leap.load.watch import OUTCOMES, Watch
from leap.progress import read_lags
from leap.terminal import progress
from schemas.cloudevents import recorded_at
from schemas.policy import PolicyError, PolicySet, read_policies
from schemas.redis_keys import Keys
from sinks.store import safe_url
from streams.admin import Offsets
from streams.intake import partition_of
from streams.producer import DeliveryError, Message, Producer
from streams.settings import ROLES, Role
from windows.civil import CivilDays, number_of

_ANSWER_PATIENCE = 60.0
_STANDSTILL = 60.0
_ASK_EVERY = 0.25
_ROSTER_SLICE = 20_000
_FIRST_DAY = date(2026, 10, 5)
_WEEK_DAYS = 7
_REST: tuple[Role, ...] = ("intake", "engagement")


@dataclass
class Run:
    """What is known of a run so far; :meth:`as_json` when it is over."""

    plan: Plan
    installation: Installation
    population: Population
    watch: Watch
    sampler: Sampler
    generator: Generator
    series: Series = field(default_factory=Series)
    phase: str = "starting"
    before: dict[str, int] = field(default_factory=dict)
    letters_before: int = 0
    filled: int = 0
    seconds: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        """What engagement did with activities since the run began, by outcome."""
        now = self.watch.activities()
        return {outcome: now[outcome] - self.before.get(outcome, 0) for outcome in OUTCOMES}

    @property
    def lost(self) -> int:
        """Events sent and not counted. Below 0: some counted twice."""
        outcomes = self.outcomes
        return self.generator.sent - outcomes["counted"] - max(0, outcomes["repeated"] - self.generator.again)

    def as_json(self) -> dict[str, Any]:
        """Return what `leap load --json` prints."""
        outcomes, live = self.outcomes, self.generator.sent - self.filled
        week = _WEEK_DAYS * self.plan.pace
        memory = (
            {"per": week, "skip": week}
            if self.plan.scenario == "weeks"
            else {"per": 3600.0, "skip": 0.25 * self.seconds}
        )
        return {
            "scenario": self.plan.scenario,
            "broker": self.installation.broker_name,
            "students": self.plan.students,
            "partitions": self.installation.settings.partitions,
            "seconds": round(self.seconds, 1),
            "rate": {"asked": self.plan.rate, "reached": round(live / self.seconds, 1) if self.seconds else 0.0},
            "events": {
                "sent": self.generator.sent,
                **outcomes,
                "lost": self.lost,
                "sent_again": self.generator.again,
                "dead_letters": self.watch.dead_letters() - self.letters_before,
            },
            "latency_ms": {
                "samples": len(self.sampler.histogram),
                **self.sampler.histogram.milliseconds(),
                "over_1s": self.sampler.histogram.slow,
                "never": len(self.sampler.under_way),
            },
            "generator_late_ms": self.generator.late.milliseconds(),
            "lag_max": self.series.lag_max(),
            "rss_mb": self.series.memory(**memory),
            "cpu_share": self.series.cpu_share(),
            "restarts": self.watch.restarts,
            **self.more,
        }


class _Stage:
    """What a run works with, all of it started."""

    def __init__(
        self, run: Run, producer: Producer, offsets: Offsets, redis: "Redis", policies: PolicySet, days: Days | None
    ) -> None:
        self.run, self.producer, self.offsets, self.redis, self.days = run, producer, offsets, redis, days
        self.civil = CivilDays(policies.zone)


@asynccontextmanager
async def prepared(plan: Plan, installation: Installation) -> AsyncIterator["_Stage"]:
    """Connect to an installation and make the run.

    Raises:
        CommandError: Redis does not answer, or the policies cannot be used.
    """
    settings = installation.settings
    try:
        policies = read_policies(settings.policies)
        first = max(_FIRST_DAY, policies.policies[0].policy.effective_from)
        if plan.simulated:
            policies.on(first)
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_client(settings))
        offsets = await stack.enter_async_context(started_offsets(settings))
        producer = Producer(settings, "load")
        await producer.start()
        stack.push_async_callback(producer.stop)
        days = None
        if plan.simulated:
            days = Days(settings, policies, producer, offsets, redis, number_of(first))
        population = Population(plan.students)
        run = Run(
            plan,
            installation,
            population,
            Watch(installation.urls, redis, installation.broker),
            Sampler(redis, Keys(settings.prefix)),
            Generator(
                settings, producer, population, CivilDays(policies.zone), time.time if days is None else days.now
            ),
        )
        yield _Stage(run, producer, offsets, redis, policies, days)


async def perform(stage: _Stage) -> None:
    """Do all of it; ``stage.run`` has what it came to, also when this is cancelled.

    Raises:
        CommandError: the installation cannot go on or does not get ahead.
    """
    work = asyncio.create_task(_all(stage))
    failing = asyncio.create_task(stage.run.installation.failure())
    try:
        await asyncio.wait({work, failing}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise failing.result()
        work.result()
    except (DeliveryError, KafkaError, RedisError) as error:
        # The name alone: the text may quote what was sent.
        settings = stage.run.installation.settings
        msg = f"Kafka at {settings.kafka} or Redis at {safe_url(settings.redis)} went away ({type(error).__name__})"
        raise CommandError(msg, UNREACHABLE) from error
    finally:
        await _cancelled([work, failing])


async def _all(stage: _Stage) -> None:
    run, plan, days = stage.run, stage.run.plan, stage.days
    installation = run.installation
    await installation.start(role for role in ROLES if days is None or role != "clock")
    await _answering(run)
    if days is not None:
        await days.start()
    run.phase = "enrolling"
    await _enrol(stage)
    await run.watch.look()
    run.before, run.letters_before = run.watch.activities(), run.watch.dead_letters()
    if days is not None and plan.scenario == "close":
        await _close_before(stage, days)
    if plan.scenario == "backlog":
        run.phase = "writing the backlog"
        await installation.stop(_REST)
        await _fill(stage, plan.backlog)
    await _live(stage)


async def _live(stage: _Stage) -> None:
    """Send by the schedule, look every second, wait until everything has arrived."""
    run, plan, days = stage.run, stage.run.plan, stage.days
    watched = [run.population.key(student).decode() for student in range(run.population.watched)]
    await run.sampler.start(watched)
    run.phase = "sending"
    began = run.sampler.began = time.monotonic()
    side: list[Coroutine[Any, Any, None]] = [run.sampler.run(), _look(run, began)]
    if plan.scenario == "backlog":
        await run.installation.start(_REST)
        side.append(_drain_of_backlog(stage, began))
    if days is not None:
        stagger = stage.run.installation.settings.close_stagger if plan.scenario == "close" else 0.0
        if plan.scenario == "close":
            days.begin(1.0, before_midnight=MIDNIGHT * plan.seconds)
        else:
            days.begin(86_400.0 / plan.pace)
        side.append(_closes(stage, days, stagger, began))
    tasks = [asyncio.create_task(work) for work in side]
    try:
        sending = asyncio.create_task(run.generator.run(run.population.draw(plan.schedule), began, run.sampler))
        await _unless_one_fails(sending, tasks)
        run.seconds = time.monotonic() - began
        run.phase = "waiting until everything is in Redis"
        run.series.marks.append((run.seconds, "all sent"))
        await _unless_one_fails(asyncio.create_task(_arrived(stage)), tasks)
        await run.watch.look()
    finally:
        run.seconds = run.seconds or time.monotonic() - began
        await _cancelled(tasks)
        run.series.place(run.sampler.by_second)
        if days is not None:
            run.more["closes"] = [close._asdict() for close in days.closes]


async def _answering(run: Run) -> None:
    """Wait until engagement answers with its metrics: what is counted is read there."""
    deadline = time.monotonic() + _ANSWER_PATIENCE
    while "engagement" not in run.watch.roles():
        if time.monotonic() > deadline:
            where = " ".join(run.installation.urls)
            raise CommandError(f"no metrics of engagement at {where}: name them with --metrics", UNREACHABLE)
        await asyncio.sleep(_ASK_EVERY)
        await run.watch.look()


async def _enrol(stage: _Stage) -> None:
    """Put everybody on the roster, and wait until Redis has them."""
    run, settings = stage.run, stage.run.installation.settings
    headers = [recorded_at(run.generator.now())] if settings.simulated_clock else []
    began, n = time.monotonic(), run.plan.students
    with progress(unit="students") as shown:
        task = shown.add_task("students sent", total=n)
        for start in range(0, n, _ROSTER_SLICE):
            numbers = range(start, min(start + _ROSTER_SLICE, n))
            out: defaultdict[int, list[Message]] = defaultdict(list)
            for message in entries(run.population, numbers, headers):
                out[partition_of(message[0] or b"", settings.partitions)].append(message)
            for partition, messages in out.items():
                await stage.producer.deliver(settings.topics.students.name, partition, messages)
            shown.update(task, completed=numbers.stop)
        roster = shown.add_task("enrolled", total=n)

        def told(lags: dict[str, int]) -> None:
            shown.update(roster, completed=min(n, run.watch.students()))
            run.phase = "enrolling: " + _left(lags)

        await _arrived(stage, told, roles=("roster", "engagement", "readmodel"))
        shown.update(roster, completed=n)
    seconds = time.monotonic() - began
    run.more["enrolment"] = {"seconds": round(seconds, 1), "students_per_second": round(n / seconds)}


async def _fill(stage: _Stage, events: int) -> None:
    """Write events as fast as the broker takes them."""
    run, began = stage.run, time.monotonic()
    with progress(unit="events") as shown:
        task = shown.add_task("events written", total=events)
        await run.generator.fill(events, lambda done: shown.update(task, completed=done))
    run.filled += events
    run.more["filled"] = {"events": events, "seconds": round(time.monotonic() - began, 1)}


async def _close_before(stage: _Stage, days: Days) -> None:
    """Close a first day (everybody gets a first rating), then give the second one activity, all before the load."""
    run = stage.run
    run.phase = "closing the first day"
    run.more["first_close"] = (await days.close(stagger=0.0, began=time.monotonic()))._asdict()
    days.closes.clear()
    await _arrived(stage)
    run.phase = "activity of the second day"
    days.begin(0.0, before_midnight=12 * 3600.0)
    await _fill(stage, run.plan.students // 2)
    await _arrived(stage)


async def _closes(stage: _Stage, days: Days, stagger: float, began: float) -> None:
    """Close each day, and note when."""
    marks = stage.run.series.marks
    while True:
        await days.until_midnight()
        mark = len(marks)
        marks.append((time.monotonic() - began, "midnight"))
        close = await days.close(stagger=stagger, began=began)
        if stage.run.plan.scenario == "close":
            marks[mark] = (close.began, f"{close.day} closes")
            marks.append((close.began + close.seconds, "in Redis"))


async def _drain_of_backlog(stage: _Stage, began: float) -> None:
    """Note when all of the backlog is counted."""
    run, events = stage.run, stage.run.plan.backlog
    while run.outcomes["counted"] < events:  # noqa: ASYNC110 - engagement tells nobody
        await asyncio.sleep(_ASK_EVERY)
    seconds = time.monotonic() - began
    run.watch.restarts = 0  # so far they were ours
    run.series.marks.append((seconds, "backlog counted"))
    run.more["backlog"] = {"events": events, "seconds": round(seconds, 1), "events_per_second": round(events / seconds)}


async def _look(run: Run, began: float) -> None:
    """Look at everything at each full second, for ever."""
    second = 0
    while True:
        await asyncio.sleep(max(0.0, began + second - time.monotonic()))
        at = time.monotonic() - began
        look = await run.watch.look()
        run.series.add(at, run.generator.sent - run.filled, run.outcomes["counted"], look)
        second = max(second + 1, int(time.monotonic() - began))


async def _arrived(
    stage: _Stage,
    told: Callable[[dict[str, int]], object] = lambda _: None,
    *,
    roles: Sequence[Role] = ("intake", "engagement", "readmodel"),
) -> None:
    """Return when these roles have nothing left to do, and no sampled event is under way.

    Gives up when nothing changes for a minute: what is missing then is in the result. Not when nothing gets less: a
    role that catches up leaves more to the next one than it has had itself.
    """
    run, settings = stage.run, stage.run.installation.settings
    before: tuple[int, ...] = ()
    since = time.monotonic()
    while True:
        lags: dict[str, int] = dict.fromkeys(roles, 0)
        for lag in await read_lags(settings, stage.offsets, stage.redis):
            if lag.role in lags:
                lags[lag.role] += lag.records
        told(dict(lags))
        left = (*lags.values(), len(run.sampler.under_way))
        if not any(left):
            return
        if left != before:
            before, since = left, time.monotonic()
        elif time.monotonic() - since > _STANDSTILL:
            run.more["gave_up"] = f"nothing moved for {_STANDSTILL:.0f} s: {_left(lags)}"
            return
        await asyncio.sleep(_ASK_EVERY)
        if run.phase.startswith("enrolling"):
            await run.watch.look()


def _left(lags: dict[str, int]) -> str:
    return ", ".join(f"{role} {records:,} records behind" for role, records in lags.items() if records) or "caught up"


async def _unless_one_fails(main: "asyncio.Task[None]", others: Sequence["asyncio.Task[None]"]) -> None:
    """Wait for a task, while none of some others fails."""
    try:
        while not main.done():
            running = {task for task in others if not task.done()}
            await asyncio.wait({main, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                if task.done():
                    task.result()
        main.result()
    finally:
        await _cancelled([main])


async def _cancelled(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
