"""The faults: each says what it does to a run. They strike one after the other, while what earlier ones did still heals."""

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.settings import Process, Role
from tests.integration.harness import Worker

Strike = Callable[[Any, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """A fault: its name, what it does to a run, and how often it is drawn compared with others."""

    name: str
    strike: Strike
    weight: float = 2


FAULTS: list[Fault] = []


LONG: list[Fault] = []
"""Those that take minutes: they are part of long runs only, and rare there."""
LONG_RUN = 200
"""A run of so many faults is a long one."""


def fault(name: str, weight: float = 2, among: list[Fault] = FAULTS) -> Callable[[Strike], Strike]:
    """Register a fault under a name."""

    def register(strike: Strike) -> Strike:
        among.append(Fault(name, strike, weight))
        return strike

    return register


def deal(chance: random.Random, among: Sequence[Fault]) -> Iterator[Fault]:
    """Deal faults for ever: first every kind once, in a random order, then by weight."""
    once = list(among)
    chance.shuffle(once)
    yield from once
    while True:
        yield from chance.choices(among, [fault.weight for fault in among])


# -- workers ------------------------------------------------------------------------------------------------------------


def _any(run: Any, role: Process, chance: random.Random) -> Worker:
    found: Worker = chance.choice(run.crew.free(role))
    return found


def _kill(role: Process) -> None:
    @fault(f"{role}: kill -9", weight=3 if role == "engagement" else 2)
    async def strike(run: Any, chance: random.Random) -> None:
        _any(run, role, chance).kill()


def _terminate(role: Process) -> None:
    @fault(f"{role}: TERM")
    async def strike(run: Any, chance: random.Random) -> None:
        _any(run, role, chance).terminate()


def _zombie(role: Role) -> None:
    @fault(f"{role}: STOP past the session timeout, then CONT", weight=3 if role == "engagement" else 1)
    async def strike(run: Any, chance: random.Random) -> None:
        worker = _any(run, role, chance)
        worker.stop()
        await asyncio.sleep(run.system.settings.session_timeout * chance.uniform(1.2, 3.0))
        worker.go_on()


def _asleep(role: Role) -> None:
    @fault(f"{role}: STOP for a minute, then CONT", weight=0.2, among=LONG)
    async def strike(run: Any, chance: random.Random) -> None:
        worker = _any(run, role, chance)
        worker.stop()
        await asyncio.sleep(60.0)
        worker.go_on()


for _role in ("roster", "intake", "engagement", "readmodel"):
    _asleep(_role)
    _kill(_role)
    _terminate(_role)
    _zombie(_role)
_kill("gateway")
_terminate("gateway")

POINTS: dict[Process, tuple[str, ...]] = {
    "engagement": ("before-outputs", "in-outputs", "after-outputs", "in-changelog", "after-changelog", "before-ack"),
    "intake": ("in-send", "after-send"),
    "readmodel": ("before-write", "in-write"),
    "gateway": ("after-put",),
}
PATIENCE = 6.0
"""Seconds within which a worker comes to its point, or the next fault strikes before it does."""
_CLAIMS = 4


def at_point(role: Process, point: str, action: str, **what: Any) -> Fault:
    """Return the fault that kills or stops a worker at a point of its work; ``what`` is drawn where it is not given."""

    async def strike(run: Any, chance: random.Random) -> None:
        worker = _any(run, role, chance)
        asleep = run.system.settings.session_timeout * chance.uniform(1.2, 2.0)
        order = {"nth": chance.choice([1, 1, 2]), "part": chance.random(), "seconds": asleep} | what
        run.crew.order(worker, action=action, point=point, **order)
        if action == "stop":
            run.awake_at = max(run.awake_at, time.monotonic() + PATIENCE + order["seconds"] + 2.0)
        await _passed(run, [worker])

    return Fault(f"{role}: {'kill -9' if action == 'kill' else 'STOP, then CONT'} {point}", strike)


async def _passed(run: Any, workers: Sequence[Worker]) -> None:
    """Wait until one of these workers has come to its point; another fault may be quicker, or it comes later, or never."""
    marks: list[Path] = run.crew.marks[-len(workers) :]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while all(worker.running for worker in workers) and not any(mark.exists() for mark in marks):  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.05)


for _process, _points in POINTS.items():
    for _name in _points:
        FAULTS.append(at_point(_process, _name, "kill"))
        if _process in {"engagement", "readmodel"}:
            FAULTS.append(at_point(_process, _name, "stop"))


@fault("intake: kill -9 in a sweep of the waiting room")
async def _in_sweep(run: Any, chance: random.Random) -> None:
    workers = run.crew.of("intake")
    point = chance.choice(["in-sweep", "after-sweep"])
    for worker in workers:
        run.crew.order(worker, action="kill", point=point)
    await run.claim(_CLAIMS)
    await _passed(run, workers)


@fault("intake: identities come during a rebalance")
async def _claims_in_rebalance(run: Any, chance: random.Random) -> None:
    victim = _any(run, "intake", chance)
    chance.choice([victim.kill, victim.terminate])()
    # Until after it is taken for dead, and another one has begun.
    for _ in range(_CLAIMS):
        await run.claim(1)
        await asyncio.sleep(run.system.settings.session_timeout * chance.uniform(0.1, 0.6))


@fault("ingest: kill -9 in a file, then the file again")
async def _in_file(run: Any, chance: random.Random) -> None:
    await run.load(killed_at=chance.random())


@fault("engagement: kill -9 during recovery")
async def _in_recovery(run: Any, chance: random.Random) -> None:
    victim = _any(run, "engagement", chance)
    for worker in run.crew.of("engagement"):
        if worker is not victim:
            run.crew.order(worker, action="kill", point="in-recovery")
    victim.kill()


@fault("engagement: kill -9 during a rebalance")
async def _in_rebalance(run: Any, chance: random.Random) -> None:
    victim = _any(run, "engagement", chance)
    run.crew.order(victim, action="kill", point="in-rebalance")
    more = await run.crew.one_more("engagement")
    await asyncio.sleep(chance.uniform(2.0, 4.0))
    more.kill()


@fault("engagement: kill -9 in a day close")
async def _in_close(run: Any, chance: random.Random) -> None:
    # It waits for the day's end, which comes with a later share; the worker may be gone by then, and another one closes.
    for worker in run.crew.of("engagement"):
        point = chance.choice(POINTS["engagement"])
        run.crew.order(worker, action="kill", point=point, only="close", part=chance.random())


@fault("two engagement workers taking turns")
async def _turns(run: Any, chance: random.Random) -> None:
    for worker in run.crew.of("engagement"):
        worker.terminate()
        await asyncio.sleep(chance.uniform(0.5, 1.5))


@fault("partitions moved: a third engagement worker comes and goes")
async def _moved(run: Any, chance: random.Random) -> None:
    more = await run.crew.one_more("engagement")
    await asyncio.sleep(chance.uniform(2.0, 4.0))
    more.terminate()


async def _beside(run: Any, chance: random.Random) -> None:
    roles: list[Role] = ["roster", "engagement", "readmodel"]
    if (run.beside / "streams" / "waiting_room.py").exists():  # one from before it refuses sources that need it
        roles.append("intake")
    role = chance.choice(roles)
    other = await run.crew.one_more(role, run.beside)
    await asyncio.sleep(chance.uniform(4.0, 8.0))
    assert other.running or other.process.returncode == 70, f"the other version could not work\n{other.tail()}"
    other.terminate()


BESIDE = Fault("a worker of another version beside these", _beside, weight=3)
"""Only where there is another checkout."""


@fault("a worker's clock an hour wrong")
async def _skewed(run: Any, chance: random.Random) -> None:
    role: Role = chance.choice(["intake", "engagement", "readmodel"])
    await run.crew.replace(_any(run, role, chance), SKEW=str(chance.choice([-3600, 3600])))


# -- the broker -----------------------------------------------------------------------------------------------------------


@fault("broker: kill -9 and restart")
async def _broker_killed(run: Any, chance: random.Random) -> None:
    kafka = run.servers.kafka
    await asyncio.to_thread(kafka.kill)
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    await asyncio.to_thread(kafka.start)


@fault("broker: gone for two minutes", weight=0.2, among=LONG)
async def _broker_gone(run: Any, _: random.Random) -> None:
    kafka = run.servers.kafka
    await asyncio.to_thread(kafka.kill)
    await asyncio.sleep(120.0)
    await asyncio.to_thread(kafka.start)


@fault("broker: restart in order", weight=1)
async def _broker_restarted(run: Any, _: random.Random) -> None:
    await asyncio.to_thread(run.servers.kafka.restart)


@fault("broker: hangs", weight=1)
async def _broker_hangs(run: Any, chance: random.Random) -> None:
    with run.servers.kafka.stopped():
        await asyncio.sleep(chance.uniform(1.0, 8.0))


@fault("topics compacted in between", weight=1)
async def _compacted(run: Any, _: random.Random) -> None:
    """Let the broker compact the state now; workers that start meanwhile refuse topics with such settings."""
    topics = run.system.topics
    names = [topics.engagement.name, topics.alerts.name, topics.students.name]
    now = {"min.compaction.lag.ms": "0", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.001"}
    with run.crew.holding():
        await _alter(run, dict.fromkeys(names, now))
        await asyncio.sleep(3.0)
        await _alter(run, {topic.name: topic.config for topic in topics if topic.name in names})


async def _alter(run: Any, configs: dict[str, dict[str, str]]) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=run.servers.kafka.address)
    await client.start()
    try:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, config) for name, config in configs.items()]
        )
    finally:
        await client.close()


@fault("disk full", weight=1)
async def _disk_full(run: Any, chance: random.Random) -> None:
    """Broker and Redis share the disk: one ends when it cannot write, the other one refuses writes."""
    filler = run.servers.disk / "filler"
    await asyncio.to_thread(_fill, filler)
    await asyncio.sleep(chance.uniform(1.0, 4.0))
    filler.unlink()
    # It may be about to end: taken for a running one it would end afterwards, and nobody would start it again.
    await asyncio.to_thread(run.servers.kafka.kill)
    await asyncio.to_thread(run.servers.kafka.start)
    await asyncio.to_thread(run.servers.redis.start)


def _fill(file: Path) -> None:
    block = bytes(1 << 20)
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while out.write(block):
            pass


# -- Redis ----------------------------------------------------------------------------------------------------------------


def _client(run: Any) -> "redis.Redis":
    return redis.Redis.from_url(run.servers.redis.url, socket_timeout=5.0)


@fault("redis: kill -9 and restart")
async def _redis_killed(run: Any, chance: random.Random) -> None:
    await asyncio.to_thread(run.servers.redis.kill)
    await asyncio.sleep(chance.uniform(0.0, 2.0))
    await asyncio.to_thread(run.servers.redis.start)


@fault("redis: hangs", weight=1)
async def _redis_hangs(run: Any, chance: random.Random) -> None:
    with run.servers.redis.stopped():
        await asyncio.sleep(chance.uniform(1.0, 7.0))


@fault("redis: slow")
async def _redis_slow(run: Any, chance: random.Random) -> None:
    def slow() -> None:
        with _client(run) as client:
            for _ in range(5):
                client.execute_command("CLIENT", "PAUSE", "300", "ALL")  # type: ignore[no-untyped-call]

    await asyncio.to_thread(slow)
    await asyncio.sleep(chance.uniform(0.5, 1.5))


@fault("redis: flushed")
async def _redis_flushed(run: Any, _: random.Random) -> None:
    def flush() -> None:
        with _client(run) as client:
            client.flushall()

    await asyncio.to_thread(flush)


@fault("redis: read-only")
async def _redis_read_only(run: Any, chance: random.Random) -> None:
    def follow(host: str, port: str) -> None:
        with _client(run) as client:
            client.replicaof(host, port)

    await asyncio.to_thread(follow, "127.0.0.1", "1")
    await asyncio.sleep(chance.uniform(0.5, 3.0))
    await asyncio.to_thread(follow, "NO", "ONE")


@fault("redis: memory full", weight=1)
async def _redis_full(run: Any, chance: random.Random) -> None:
    def limit(value: str) -> None:
        with _client(run) as client:
            client.config_set("maxmemory", value)

    await asyncio.to_thread(limit, "1mb")
    await asyncio.sleep(chance.uniform(0.5, 2.0))
    await asyncio.to_thread(limit, "0")


@fault("redis: replaced by an older copy")
async def _redis_older(run: Any, chance: random.Random) -> None:
    """Copy its files, let it go on for a moment, and put the copy back: a failover that lost writes."""
    server = run.servers.redis
    copy = run.directory / "older"
    files = server.directory / "appendonlydir"
    shutil.rmtree(copy, ignore_errors=True)
    # Frozen while it is copied, as a snapshot of a disk is.
    with server.stopped():
        await asyncio.to_thread(shutil.copytree, files, copy)
    await asyncio.sleep(chance.uniform(0.5, 2.0))
    await asyncio.to_thread(server.kill)
    shutil.rmtree(files)
    shutil.copytree(copy, files)
    await asyncio.to_thread(server.start)
