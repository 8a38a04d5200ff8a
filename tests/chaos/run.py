"""One run of the fault suite: a workload of its own, a crew of workers, faults, and the wait until all is done."""

import asyncio
import contextlib
import random
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from aiokafka.errors import KafkaError

from leap.errors import OK, UNREACHABLE
from schemas import log
from schemas.identities import Claim, Terms, encode
from streams.gateway.events import BATCH
from streams.identities import Hashing
from streams.intake import partition_of
from streams.producer import DeliveryError, Message
from streams.reader import StalledError
from tests.chaos import faults as kinds
from tests.chaos.crew import Crew
from tests.chaos.servers import Servers
from tests.chaos.workload import (
    ANCIENT,
    HEAD,
    SOURCES,
    Day,
    Identity,
    Way,
    Workload,
    cloudevents,
    recorded,
    row,
    statements,
    tomorrow,
)
from tests.integration.faulty_worker import FILE_BATCH
from tests.integration.harness import Event, Installation, noon

GROUP = {"session_timeout": 2.0, "heartbeat": 0.4, "rebalance_timeout": 4.0, "start_timeout": 120.0}
IDENTITIES = {
    "sources": tuple(sorted(set(SOURCES.values()))),
    "identity_key": "another secret of the tests",
    "unmatched_retry": 2.0,
}
TOKENS = {source: f"a-token-of-{source}" for source in ("events", "moodle")}
CREDENTIALS = "".join(
    f'[[credential]]\nsource = "{source}"\nkind = "bearer"\nsecrets = ["{token}"]\n' for source, token in TOKENS.items()
)
_POSTED: dict[Way, tuple[str, dict[str, str], Callable[[Sequence[Event]], bytes]]] = {
    "cloudevents": ("/events", {"Content-Type": BATCH}, cloudevents),
    "xapi": (
        "/xapi/statements",
        {"Content-Type": "application/json", "X-Experience-API-Version": "2.0.0"},
        statements,
    ),
}
ANSWERED_WITHIN = 5.0
"""A vendor takes an answer after so many seconds for a failure."""
STUDENTS, EACH, PARTITIONS = 120, 12, 3
_PAUSE = 0.1
_SHARE = 1.5
"""Seconds over which a share is sent once its fault has struck."""
RECOVERY = 180.0
"""Everything must be done so many seconds after the last fault."""


@dataclass
class Struck:
    """A fault that happened, and after how long engagement had passed all that its log held when the fault was over.

    ``marks``: of a fault at a point, the files of which one is there once a worker has come to it.
    """

    fault: kinds.Fault
    marks: list[Path]
    recovery_seconds: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it did happen. To be asked at the end of the run: a worker may come to its point in a later share."""
        return not self.marks or any(mark.exists() for mark in self.marks)


class Run:
    """One run: topics of its own, a crew, a workload, and faults."""

    def __init__(self, servers: Servers, directory: Path, seed: int, say: Callable[[str], None], **given: Any) -> None:
        self.servers = servers
        self.directory = directory
        self.seed = seed
        self.chance = random.Random(seed)
        self.say = say
        self.struck: list[Struck] = []
        self.problems: list[str] = []
        self.now = 0.0
        self._defect = given.pop("defect", "")
        self.beside: Path | None = given.pop("beside", None)
        self._students = given.pop("students", STUDENTS)
        self._days = given.pop("days", 4)
        self._each = given.pop("each", EACH)
        self._ancient = given.pop("ancient", ANCIENT)
        self._prefix = f"chaos{seed}-{time.time_ns() % 1_000_000}"
        self._given = GROUP | IDENTITIES | {"partitions": PARTITIONS, "redis": f"{servers.redis.url}/0"} | given
        self.work = Workload(seed, self._students, self._days, tomorrow(), each=self._each, ancient=self._ancient)
        self.unsent = self.work.sent
        self.unclosed = len(self.work.days)
        self.unclaimed = {what: None for day in self.work.days for what in day.events if isinstance(what, Identity)}
        """Who is not known yet, in the order in which they will be."""
        self.awaited: set[Identity] = set()
        """Those of whom something was sent, so that it waits if they are unknown."""
        self.watching: list[asyncio.Task[None]] = []
        self.vendors: list[asyncio.Task[None]] = []
        """What the gateway or ingest has still to take of a day."""
        self.export = directory / "export.tsv"
        self.export.write_bytes(HEAD)
        credentials, self._recorded = directory / "gateway.toml", directory / "recorded"
        credentials.write_text(CREDENTIALS)
        self._environment = {
            "LEAP_GATEWAY_PORT": "0",
            "LEAP_GATEWAY_CREDENTIALS": str(credentials),
            "RECORDED": str(self._recorded),
        } | ({"DEFECT": self._defect} if self._defect else {})
        self.awake_at = 0.0
        """When the last of the workers that were told to stop for a while has gone on, and had time to do harm."""

    async def play(self, chosen: Sequence[kinds.Fault | None]) -> None:
        """Play the workload, a share for each of these (None: nothing strikes); returns when all of it is done."""
        async with (
            Installation(self.servers.kafka.address, "apache", self._prefix, self.directory, **self._given) as system,
            httpx.AsyncClient(timeout=ANSWERED_WITHIN, trust_env=False) as self.vendor,
        ):
            self.system = system
            system.private |= {identity.key for identity in [*self.work.known_before, *self.unclaimed]}
            self.now = noon(self.work.first, 1).timestamp()
            self.crew = Crew(system, **self._environment)
            try:
                async with self.crew.working(), self._ticking():
                    await system.enrol(self.work.ids, noon(self.work.first, 1), department="cs")
                    await self._claim(self.work.known_before)
                    await system.caught_up("roster", "engagement", timeout=RECOVERY)
                    await self._strike_while_sending(list(chosen))
                    await self._settled()
                    await self._recovered_once_more()
            finally:
                for task in self.watching + self.vendors:
                    task.cancel()

    @asynccontextmanager
    async def _ticking(self) -> AsyncIterator[None]:
        """Keep a clock running; one that ends because the broker is away is started again, as a supervisor does."""

        async def tick() -> None:
            said = ""
            while True:
                clock = self.system.clock(lambda: self.now)
                try:
                    await clock.start()
                    await clock.run()
                except (KafkaError, DeliveryError, StalledError) as error:
                    if said != (said := type(error).__name__):
                        self.say(f"the clock ended: {error!r}")
                    await asyncio.sleep(_PAUSE)

        ticking = asyncio.create_task(tick())
        try:
            yield
            if ticking.done():
                ticking.result()
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])

    async def _strike_while_sending(self, chosen: list[kinds.Fault | None]) -> None:
        """Send the days in order, cut into as many shares as there are faults; each fault strikes within its share."""
        shares = self._shares(len(chosen))
        for number, (day, events, closes) in enumerate(shares):
            self.now = max(self.now, noon(day.date, 12).timestamp())
            struck = asyncio.Event()
            sending = asyncio.create_task(self._trickle(day, events, struck))
            try:
                if number < len(chosen) and (fault := chosen[number]) is not None:
                    await self._strike(fault)
                struck.set()
                await sending
            finally:
                sending.cancel()  # or it insists for ever, on a producer that has been stopped
            if closes:
                await asyncio.gather(*self.vendors)
                self.vendors.clear()
                await self._close(day)

    def _shares(self, n: int) -> list[tuple[Day, Sequence[Event | Identity], bool]]:
        """Cut the days into `n` shares or a few more, none of which reaches over the end of a day."""
        each = max(1, -(-n // len(self.work.days)))
        found: list[tuple[Day, Sequence[Event | Identity], bool]] = []
        for day in self.work.days:
            size = max(1, -(-len(day.events) // each))
            parts = [day.events[i : i + size] for i in range(0, len(day.events), size)] or [()]
            found += [(day, part, part is parts[-1]) for part in parts]
        return found

    async def _trickle(self, day: Day, events: Sequence[Event | Identity], struck: asyncio.Event) -> None:
        """Send a share in small portions; the day's moves, bad records and file with its first.

        Slowly until the fault has struck: at a point of its work nobody comes by without work.

        A source that is told of a failure sends again: the producer does so by itself for half a minute.
        """
        if events and events[0] is day.events[0]:
            self._date(day)
            self.vendors.append(asyncio.create_task(self._load_rows(day.rows)))
            for student, department in day.moves:
                await self._insist(partial(self.system.enrol, [student], noon(day.date, 2), department=department))
            topic, at = self.system.topics.source("events").name, self.system.at(noon(day.date, 2))
            await self._insist(partial(self.system.send_raw, topic, 0, [(None, value, at) for value in day.bad]))
        portions = [events[i : i + 10] for i in range(0, len(events), 10)]
        for portion in portions:
            await self._send(day, portion)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(struck.wait(), kinds.PATIENCE / len(portions))
                await asyncio.sleep(_SHARE / len(portions))

    def _date(self, day: Day) -> None:
        """Begin a day: its rows are added to the file, and what comes now is recorded in its evening."""
        with self.export.open("ab") as file:
            file.writelines(map(row, day.rows))
        written = self._recorded.with_suffix(".new")
        written.write_text(str(noon(day.date, 23, 59).timestamp()))
        written.rename(self._recorded)

    async def _send(self, day: Day, portion: Sequence[Event | Identity]) -> None:
        """Send a portion, each event by its way; the gateway may take its part later."""
        by_way: defaultdict[Way, list[Event]] = defaultdict(list)
        for what in portion:
            if isinstance(what, Event):
                by_way[self.work.way(what)].append(what)
        direct = by_way["topic"]
        await self._insist(partial(self.system.send, direct, lambda event: recorded(event, day.date)))
        self.unsent -= len(direct)
        await self._claim([what for what in portion if isinstance(what, Identity)])
        for way in _POSTED:
            if by_way[way]:
                self.vendors.append(asyncio.create_task(self._post(way, by_way[way])))

    async def _post(self, way: Way, events: Sequence[Event]) -> None:
        """Send to the gateway as a vendor does: the same bytes again until the answer is success."""
        source, (address, headers, written) = SOURCES[way], _POSTED[way]
        headers, body = headers | {"Authorization": f"Bearer {TOKENS[source]}"}, written(events)
        self.awaited |= {Identity(source, event.student) for event in events}
        while True:
            if (port := self.crew.of("gateway")[0].listening) is not None:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self.vendor.post(f"http://127.0.0.1:{port}{address}", content=body, headers=headers)
                    if answer.is_success:
                        break
                    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, f"{address}: {answer.text}"
            await asyncio.sleep(_PAUSE)
        self.unsent -= len(events)

    async def _load_rows(self, rows: Sequence[Event]) -> None:
        """Load the file, to which these rows were added."""
        self.awaited |= {Identity(SOURCES["file"], event.student) for event in rows}
        await self.load()
        self.unsent -= len(rows)

    async def load(self, killed_at: float | None = None) -> None:
        """Load the file as far as it is written, again until all of it is there; killed at a part of it (0 to 1)."""
        batches = -(-self.export.read_bytes().count(b"\n") // FILE_BATCH)
        fault = None if killed_at is None else {"point": "in-file", "nth": 1 + int(killed_at * batches)}
        while True:
            worker = self.system.start(
                "ingest",
                str(self.export),
                "--source",
                SOURCES["file"],
                fault=fault,
                **self._environment,
            )
            code, fault = await worker.ended(RECOVERY), None
            if code == OK:
                return
            assert code in {UNREACHABLE, -signal.SIGKILL}, f"ingest ended with {code}\n{worker.tail()}"

    async def claim(self, n: int) -> None:
        """Let identities become known before their time, those first that something waits for; if none is left, again."""
        coming = sorted(self.unclaimed, key=lambda identity: identity not in self.awaited)
        await self._claim((coming or self.work.known_before)[:n])

    async def _claim(self, identities: Sequence[Identity]) -> None:
        """Say whose keys these are. Who is known already is told again by the same record."""
        topic, hashing = self.system.topics.identities.name, Hashing(self.system.settings)
        for identity in identities:
            (digest,) = hashing.of(identity.source, identity.key)
            key = Claim(identity.source, digest, None, identity.student).key()
            message: Message = key, encode(Terms(1, claimed=1)), []
            number = partition_of(key, self.system.settings.source_partitions)
            await self._insist(partial(self.system.send_raw, topic, number, [message]))
            self.unclaimed.pop(identity, None)

    async def _insist(self, send: Callable[[], Awaitable[Any]]) -> None:
        """Send until the broker has it; what it had already comes as a repeat."""
        while True:
            try:
                await send()
            except DeliveryError as error:
                self.say(f"the source sends again: {error!r}")
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _strike(self, fault: kinds.Fault) -> None:
        """Let a fault happen, in the middle of work."""
        await asyncio.sleep(self.chance.uniform(0.0, 1.0))
        self.say(f"{fault.name}")
        assert self.unsent > 0 or self.unclosed > 0, f"everything was done before the fault: {fault.name}"
        ordered = len(self.crew.marks)
        await fault.strike(self, self.chance)
        struck = Struck(fault, self.crew.marks[ordered:])
        self.struck.append(struck)
        self.watching.append(asyncio.create_task(self._time_recovery(struck)))

    async def _time_recovery(self, struck: Struck) -> None:
        """Take the time from a fault until engagement has passed all that its log had then."""
        began = time.monotonic()
        partitions = await self.system.offsets.partitions([self.system.topics.student_log.name])
        wanted = await self.system.offsets.ends(partitions)
        while True:
            with contextlib.suppress(Exception):
                done = await self.system.offsets.committed(self.system.settings.group("engagement"), partitions)
                if all(done.get(tp, 0) >= end for tp, end in wanted.items()):
                    break
            await asyncio.sleep(0.2)
        struck.recovery_seconds = time.monotonic() - began

    async def _close(self, day: Day) -> None:
        """Let a day's end come, and wait until the clock has closed it everywhere."""
        self.now = noon(day.date + timedelta(days=1), 0).timestamp() + self.system.settings.close_grace + 1
        iso = day.date.isoformat()

        async def closed() -> bool:
            records = await self.system.read(self.system.topics.student_log.name)
            found = {
                record.partition
                for record in records
                if isinstance(decoded := log.decode(record.value or b""), log.DayClosed) and decoded.day == iso
            }
            return len(found) == self.system.settings.partitions

        await self.system.until(closed, f"the clock closes {iso}", RECOVERY, every=0.5)
        self.unclosed -= 1

    async def _settled(self) -> None:
        """Wait until every role has done everything, and the read model too, and whoever was stopped has gone on."""
        await self.system.caught_up("roster", "intake", "waiting-room", "engagement", timeout=RECOVERY)
        await self._in_redis()
        await asyncio.sleep(max(0.0, self.awake_at - time.monotonic()))
        await asyncio.wait_for(asyncio.gather(*self.watching), RECOVERY)

    async def _recovered_once_more(self) -> None:
        """Let engagement recover once more: what a zombie undid on the changelog is put right by then at the latest."""
        for worker in self.crew.of("engagement"):
            await self.crew.replace(worker)

        async def ready() -> bool:
            return all([(await worker.get("/ready"))[0] == 200 for worker in self.crew.of("engagement")])

        await self.system.until(ready, "engagement has recovered once more", RECOVERY)
        await self._in_redis()

    async def _in_redis(self) -> None:
        """Wait until the read model's progress is at the end of everything."""
        import redis.asyncio as redis  # noqa: PLC0415 - named here as everywhere else in the tests

        topics = self.system.topics
        names = [topic.name for topic in (topics.engagement, topics.days, topics.ratings, topics.alerts)]
        key = f"{self._prefix}:progress"
        client: Any = redis.Redis.from_url(self.system.settings.redis, decode_responses=True)

        async def done() -> bool:
            with contextlib.suppress(redis.RedisError, OSError):
                held = await client.hgetall(key)
                ends = await self.system.offsets.ends(await self.system.offsets.partitions(names))
                return all(
                    held.get(f"{tp.topic}-{tp.partition}", "").endswith(f":{end}") for tp, end in ends.items() if end
                )
            return False

        async with client:
            await self.system.until(done, "the read model has everything", RECOVERY, every=0.3)

    def describe(self) -> dict[str, Any]:
        """Return what the check needs to know of this run."""
        return {
            "kafka": self.servers.kafka.address,
            "prefix": self._prefix,
            "directory": str(self.directory),
            "settings": self._given,
            "seed": self.seed,
            "students": self._students,
            "days": self._days,
            "first": self.work.first.isoformat(),
            "each": self._each,
            "ancient": self._ancient,
        }
