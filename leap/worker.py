"""``leap worker ROLE``: one process of one role."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from agents.engagement import Engagement
from agents.partition import Context
from agents.roster import Roster
from leap import __version__
from schemas.policy import PolicyError, PolicySet, read_policies
from sinks.dead_letters import DeadLetters
from sinks.read_model import ReadModel
from sinks.store import RedisDownError, RedisRefusedError, Store, connect, safe_url
from streams import event_loop, garbage, metrics
from streams.admin import Offsets, TopicsError, admin, check_topics
from streams.clock import Clock
from streams.connection import RefusedError, reason
from streams.holds import Holds
from streams.identities import IdentityView
from streams.intake import Intake
from streams.producer import Producer
from streams.rights import lacking
from streams.role import (
    EXIT_CONFIG,
    EXIT_UNAVAILABLE,
    Handler,
    Health,
    Probes,
    Streaming,
    end_process,
    exit_code,
)
from streams.roster_view import RosterView
from streams.settings import Process, Role, Settings
from streams.source_states import SourceStates
from streams.sources import Options
from streams.sources.registry import keyed, options_of
from streams.sources.registry import sources as adapters
from streams.timetable_view import TimetableView
from streams.waiting_room import WaitingRoom
from windows.civil import CivilDays, date_of
from windows.scoring import Rules

logger = logging.getLogger(__name__)


class ConfigError(Exception):
    """The settings do not let this role start; the message says what they should be."""


def run(role: Role, settings: Settings) -> int:
    """Run one role until a signal; returns the exit code."""
    event_loop.install()
    metrics.build_info.labels(__version__).set(1)
    health = Health(role, settings.stuck_after)
    try:
        policies = read_policies(settings.policies)
        _check(role, settings, policies)
        probes = Probes(health, settings.metrics_host, settings.metrics_port)
    except (PolicyError, ConfigError, OSError) as error:
        print(f"leap worker {role}: {error}", file=sys.stderr)
        return EXIT_CONFIG
    logger.info("%s: metrics and probes on port %d", role, probes.port)
    try:
        asyncio.run(reach(settings, role))
    except (TopicsError, ConfigError, RefusedError, RedisRefusedError) as error:
        print(f"leap worker {role}: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except UnreachableError as error:
        print(f"leap worker {role}: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    garbage.seldom()
    if role == "clock":
        return asyncio.run(_until_signal(_clock(settings, policies, health), health))
    if role == "readmodel":
        return asyncio.run(_until_signal(ReadModel(settings, health).run(), health))
    topics = settings.topics
    sources = {
        "roster": [topics.students.name],
        "intake": [topic.name for topic in topics.sources.values()],
        "engagement": [topics.student_log.name],
    }
    holds = Holds()
    make = _maker(role, settings, policies, health, holds)
    return Streaming(settings, role, sources[role], health, make, holds).run()


def _check(role: Role, settings: Settings, policies: PolicySet) -> None:
    if not settings.simulated_clock:
        policies.on(date_of(CivilDays(policies.zone).day_of(time.time())))
    if role == "intake":
        known = adapters(Options())
        unknown = [name for name in settings.sources if name not in known]
        if unknown:
            msg = f"LEAP_SOURCES: no adapter for {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            raise ConfigError(msg)
        nameless = keyed(settings.sources)
        if nameless and settings.identity_key is None:
            msg = f"LEAP_IDENTITY_KEY is not set: intake needs it to find the students of {', '.join(nameless)}"
            raise ConfigError(msg)
        if settings.profile == "apache" and settings.hash_key is None:
            msg = "LEAP_HASH_KEY is not set: intake needs a secret of the institution to tell repeats apart"
            raise ConfigError(msg)


_TOPICS_PATIENCE = 5.0


class UnreachableError(Exception):
    """Kafka or Redis did not answer in time; the message has the address."""


async def reach(settings: Settings, role: Process) -> None:
    """Wait until Kafka answers, then check the topics, and what we may do with them; for the read model Redis, too.

    Raises:
        UnreachableError: it did not answer within ``start_timeout``.
        RefusedError: it does not accept us, or we do not trust it.
        ConfigError: our user lacks rights that the role needs.
        TopicsError: the topics are not as they should be.
    """
    began = time.monotonic()
    while True:
        try:
            async with admin(settings):
                pass
            if role == "gateway":  # it may look at no other topic, nor at any settings
                await check_topics(settings, configs=False, only=settings.topics.sources.values())
            else:
                await check_topics(settings)
            break
        except TopicsError:
            # A broker that has just started does not know all of them at once.
            if time.monotonic() > began + _TOPICS_PATIENCE:
                raise
        except (KafkaError, OSError) as error:
            if time.monotonic() > began + settings.start_timeout:
                msg = f"no Kafka at {settings.kafka} after {settings.start_timeout:.0f} s ({reason(error)})"
                raise UnreachableError(msg) from error
            logger.warning("waiting for Kafka at %s (%s)", settings.kafka, reason(error))
        await asyncio.sleep(1.0)
    if settings.kafka_security != "plaintext" and (problems := await lacking(settings, role)):
        raise ConfigError("\n".join(problems))
    if role == "readmodel":
        await _reach_redis(settings)


def _maker(
    role: Role, settings: Settings, policies: PolicySet, health: Health, holds: Holds
) -> Callable[[], Awaitable[Handler]]:
    async def make() -> Handler:
        producer = Producer(settings, role)
        await producer.start()
        letters = DeadLetters(producer, settings)
        if role == "roster":
            return Roster(settings, producer, letters)
        if role == "intake":
            return await _intake(settings, policies, producer, letters, health, holds)
        context = Context(Rules(policies), CivilDays(policies.zone), settings.epoch)
        engagement = Engagement(settings, context, producer, letters, health)
        _for_ever(_mark(engagement, settings.marker_interval), "engagement: markers")
        return engagement

    return make


async def _intake(
    settings: Settings, policies: PolicySet, producer: Producer, letters: DeadLetters, health: Health, holds: Holds
) -> Intake:
    """Return the handler of intake; with identities, timetable, waiting room where sources have keys of their own."""
    roster = RosterView(settings)
    await roster.start()
    states = SourceStates(settings, producer, holds)
    await states.start()
    _for_ever(states.follow(), "intake: states of sources")
    _for_ever(states.probe(), "intake: paused sources")
    if not keyed(settings.sources):
        return Intake(settings, producer, letters, roster, states=states)
    identities, timetable = IdentityView(settings, CivilDays(policies.zone)), TimetableView(settings)
    await identities.start(health.progress)
    await timetable.start()
    options = options_of(settings, policies.zone)
    intake = Intake(settings, producer, letters, roster, identities, timetable.timetable, options, states)
    _for_ever(identities.follow(), "intake: identities")
    _for_ever(timetable.follow(), "intake: timetable")
    room = WaitingRoom(settings, producer, letters, intake, identities, roster)
    _for_ever(room.run(), "intake: waiting room")
    _for_ever(room.watch(), "intake: waiting room")
    return intake


async def _mark(engagement: Engagement, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await engagement.mark()


def _for_ever(work: Coroutine[Any, Any, None], what: str) -> None:
    """Let work go on beside the batches; if it fails, the process ends."""

    def ended(task: "asyncio.Task[None]") -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            end_process(exit_code(error), f"{what}: {error!r}")

    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(ended)


_running: set["asyncio.Task[None]"] = set()
"""Tasks that go on for ever: the loop itself does not keep them."""


async def _clock(settings: Settings, policies: PolicySet, health: Health) -> None:
    producer, offsets = Producer(settings, "clock"), Offsets(settings, "clock")
    await producer.start()
    await offsets.start()
    clock = Clock(settings, policies, producer, offsets, time.time)
    await clock.start()
    health.set_ready(True, "watching")
    await clock.run()


async def _reach_redis(settings: Settings) -> None:
    """Wait until Redis answers. Later on the read model waits for it as long as it takes; at start it may be misnamed.

    Raises:
        UnreachableError: it did not answer within ``start_timeout``.
        RedisRefusedError: wrong credentials, or a user without the rights.
        ConfigError: the URL is none.
    """
    where = safe_url(settings.redis)
    deadline = time.monotonic() + settings.start_timeout
    try:
        redis = connect(settings, "start")
    except ValueError as error:
        raise ConfigError(f"LEAP_REDIS: {where}: {error}") from error
    try:
        while True:
            try:
                await Store(settings, redis).positions([])
                break
            except RedisDownError as error:
                if time.monotonic() > deadline:
                    msg = f"no Redis at {where} after {settings.start_timeout:.0f} s ({type(error.__cause__).__name__})"
                    raise UnreachableError(msg) from error
                logger.warning("waiting for Redis at %s (%s)", where, type(error.__cause__).__name__)
                await asyncio.sleep(1.0)
    finally:
        await redis.aclose()


async def _until_signal(work: Awaitable[None], health: Health) -> int:
    """Run a role that is a plain coroutine; SIGINT and SIGTERM end it in order."""
    import signal  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, task.cancel)

    async def beat() -> None:
        while True:
            health.beat()
            await asyncio.sleep(0.5)

    beating = asyncio.create_task(beat())
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    except Exception as error:
        code = exit_code(error)
        if code != EXIT_CONFIG:
            logger.critical("%s ended", health.role, exc_info=error)
        print(f"leap worker {health.role}: {error if code == EXIT_CONFIG else repr(error)}", file=sys.stderr)
        return code
    finally:
        beating.cancel()
    return 0
