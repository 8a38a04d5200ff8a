"""One run of the demo, from cold start to the last day closed and everything in Redis."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.live import Live

from leap.connect import redis_client
from leap.demo.board import Board
from leap.demo.course import Course, read_course
from leap.demo.latency import Latency
from leap.demo.outcome import Outcome, read_outcome
from leap.demo.picture import Picture
from leap.demo.play import Play
from leap.demo.watch import Watch
from leap.errors import CONFIG, SOFTWARE, CommandError
from leap.local import free_ports, servers
from leap.options import load_settings
from leap.progress import read_lags
from leap.supervisor import Supervisor
from leap.terminal import BAND_NAMES, err
from schemas.policy import PolicyError, PolicySet, read_policies
from schemas.redis_keys import Keys
from streams.admin import Offsets
from streams.producer import Producer
from streams.settings import Role, Settings

ROLES: tuple[Role, ...] = ("roster", "intake", "engagement", "readmodel")
"""The roles that run as processes; the clock runs in here, because its time is simulated."""

_Result = TypeVar("_Result")

_START_PATIENCE = 120.0
_DAY_PATIENCE = 60.0
_REDIS_PATIENCE = 60.0
_ANSWER_PATIENCE = 10.0
_REFRESH = 0.15


@dataclass(frozen=True)
class Plan:
    """What is played: the course on its dates, the policies, and how many seconds a day takes."""

    course: Course
    policies: PolicySet
    policy_path: Path
    pace: float


@dataclass
class Run:
    """A run that has ended its last day, while its servers and processes are still up."""

    settings: Settings
    supervisor: Supervisor
    picture: Picture
    outcome: Outcome


def plan(start: date, policy: Path | None, pace: float) -> Plan:
    """Read course and policies.

    Raises:
        CommandError: a policy cannot be used, or none is in force on the first day.
    """
    path = policy or load_settings().policies
    try:
        policies = read_policies(path)
        course = read_course(start)
        policies.on(course.days[0])
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error
    return Plan(course, policies, path, pace)


@asynccontextmanager
async def played(plan: Plan) -> AsyncIterator[Run]:
    """Play the whole course; give the run while everything is still up, then end it all.

    Raises:
        CommandError: a server did not start, a role could not go on, or one did not get ahead.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leap-demo-")))
        settings = await stack.enter_async_context(
            servers(
                directory,
                simulated_clock=True,
                policies=plan.policy_path.resolve(),
                sources=("oulad", "events"),
                commit_interval=0.1,
            )
        )
        supervisor = Supervisor(settings, free_ports(ROLES), log=directory / "roles.log")
        running = asyncio.create_task(supervisor.run())
        stack.push_async_callback(_end, supervisor, running)
        producer, offsets = Producer(settings, "demo"), Offsets(settings, "demo")
        await producer.start()
        stack.push_async_callback(producer.stop)
        await offsets.start()
        stack.push_async_callback(offsets.stop)
        play = Play(settings, plan.policies, plan.course, producer, offsets)
        rows = sum(map(len, plan.course.rows.values()))
        picture = Picture(students=len(plan.course.students), rows=rows, days=len(plan.course.days))
        redis = await stack.enter_async_context(redis_client(settings))
        latency = await stack.enter_async_context(Latency(redis, Keys(settings.prefix)))
        play.sample = latency.follow
        watch = Watch(settings, picture, supervisor, offsets, latency)
        await watch.start()
        stack.push_async_callback(watch.stop)
        tasks = [asyncio.create_task(work) for work in (watch.follow(), watch.measure())]
        stack.push_async_callback(_cancel, tasks)
        async with _shown(picture, play, plan):
            where = partial(_where, settings, picture, offsets, redis)
            await _while_running(_all_days(play, plan, picture, watch), running, supervisor, where)
            picture.phase = "waiting until everything is in Redis"
            ended = _ended(settings, plan, play, watch, offsets, redis)
            outcome = await _while_running(ended, running, supervisor, where)
            picture.lag = outcome.lag
            picture.phase = "the last day is closed, and everything is in Redis"
        yield Run(settings, supervisor, picture, outcome)


async def _all_days(play: Play, plan: Plan, picture: Picture, watch: Watch) -> None:
    picture.phase = "starting the processes, and enrolling the students"
    async with asyncio.timeout(_START_PATIENCE):
        await play.enrol()
    for number, day in enumerate(plan.course.days, 1):
        picture.day, picture.phase = number, f"{day:%A}: activities come in, then the day closes"
        async with asyncio.timeout(plan.pace + _DAY_PATIENCE):
            await play.day(day, seconds=plan.pace)
        await watch.catch_up()
        if not err.is_terminal:
            _say(day, picture, play)


async def _ended(settings: Settings, plan: Plan, play: Play, watch: Watch, offsets: Offsets, redis: "Redis") -> Outcome:
    async with asyncio.timeout(_REDIS_PATIENCE):
        return await read_outcome(settings, plan.course, play, watch, offsets, redis)


async def _while_running(
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


async def _where(settings: Settings, picture: Picture, offsets: Offsets, redis: "Redis") -> str:
    """Say what the demo is at, and which role has how much left to do."""
    try:
        async with asyncio.timeout(_ANSWER_PATIENCE):
            lags = await read_lags(settings, offsets, redis)
    except (KafkaError, RedisError, OSError) as error:  # TimeoutError is an OSError
        return f"{picture.phase}; how far the roles are cannot be read ({type(error).__name__})"
    left = [f"{lag.role} {lag.topic}-{lag.partition}: {lag.records}" for lag in lags if lag.records]
    return f"{picture.phase}; left to do: {', '.join(left) or 'nothing'}"


def _last_words(supervisor: Supervisor, lines: int = 15) -> str:
    text = supervisor.log.read_text(errors="replace") if supervisor.log is not None and supervisor.log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


@asynccontextmanager
async def _shown(picture: Picture, play: Play, plan: Plan) -> AsyncIterator[None]:
    """Show the board while it runs, if there is a terminal."""
    if not err.is_terminal:
        yield
        return
    alerts = plan.policies.on(plan.course.days[0]).alerts.no_activity
    board = Board(picture, plan.policies.zone, alerts.days if alerts else ())
    with Live(board, console=err, auto_refresh=False) as live:

        async def refresh() -> None:
            # Drawn in the loop and not by rich's thread, which would see the picture change while it draws.
            while True:
                picture.now, picture.sent = play.now, play.sent
                live.refresh()
                await asyncio.sleep(_REFRESH)

        drawing = asyncio.create_task(refresh())
        try:
            yield
        finally:
            await _cancel([drawing])
            picture.now, picture.sent = play.now, play.sent
            live.refresh()


def _say(day: date, picture: Picture, play: Play) -> None:
    """Say a line about a day that is over, where there is no terminal for the board."""
    bands = picture.bands
    ratings = ", ".join(f"{name.lower()} {bands[band]}" for band, name in BAND_NAMES.items())
    err.print(
        f"{day} closed: {play.sent:,} activities so far; {ratings}; {sum(picture.opened.values())} alerts opened",
        soft_wrap=True,
    )


async def _end(supervisor: Supervisor, running: "asyncio.Task[int]") -> None:
    supervisor.stop()
    await running


async def _cancel(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
