"""One run of the demo, from cold start to the last day closed and everything in Redis."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from redis.asyncio import Redis
from rich.live import Live

from leap.connect import redis_client
from leap.demo.board import Board
from leap.demo.course import Course, read_course
from leap.demo.latency import Latency
from leap.demo.outcome import Outcome, read_outcome
from leap.demo.picture import Picture
from leap.demo.play import Play
from leap.demo.running import cancelled, left_to_do, supervised, while_running
from leap.demo.watch import Watch
from leap.errors import CONFIG, CommandError
from leap.local import free_ports, servers
from leap.options import load_settings
from leap.supervisor import Supervisor
from leap.terminal import BAND_NAMES, err
from schemas.policy import PolicyError, PolicySet, read_policies
from schemas.redis_keys import Keys
from streams.admin import Offsets
from streams.producer import Producer
from streams.settings import Role, Settings

ROLES: tuple[Role, ...] = ("roster", "intake", "engagement", "readmodel")
"""The roles that run as processes; the clock runs in here, because its time is simulated."""

_START_PATIENCE = 120.0
_DAY_PATIENCE = 60.0
_REDIS_PATIENCE = 60.0
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
        running = await stack.enter_async_context(supervised(supervisor))
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
        stack.push_async_callback(cancelled, tasks)
        async with _shown(picture, play, plan):

            async def where() -> str:
                return await left_to_do(picture.phase, settings, offsets, redis)

            await while_running(_all_days(play, plan, picture, watch), running, supervisor, where)
            picture.phase = "waiting until everything is in Redis"
            ended = _ended(settings, plan, play, watch, offsets, redis)
            outcome = await while_running(ended, running, supervisor, where)
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
            await cancelled([drawing])
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
