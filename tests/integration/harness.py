"""An installation for one test: topics of its own, roles as child processes, what is sent to them and read back.

Everything is read back with a plain consumer, so that what a test judges does not pass through the code it judges.
"""

import asyncio
import functools
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import log
from schemas.cloudevents import recorded_at
from schemas.policy import PolicySet, read_policies
from streams import connection
from streams.admin import Offsets, create_topics
from streams.clock import Clock
from streams.intake import partition_of
from streams.producer import Producer
from streams.settings import SECRETS, Process, Settings, variable

ROOT = Path(__file__).resolve().parents[2]
USERS = ROOT / "deploy" / "redis" / "users.acl"
RUNNER = Path(__file__).with_name("faulty_worker.py").relative_to(ROOT)
LONDON = ZoneInfo("Europe/London")

Program = Process | Literal["ingest"]
"""What runs as a process of its own."""
Group = Literal["roster", "intake", "waiting-room", "engagement", "readmodel"]
"""Those that commit what they have read."""

POLICY = """
[policy]
version = "test.1"
owner = "a test"
effective_from = 2020-01-01
zone = "Europe/London"
window_days = 7

[activities.tap_in]
weight = 3.0
target = 2

[activities.moodle_login]
weight = 2.0
target = 2

[activities.moodle_course]
weight = 3.0
target = 10

[activities.reading_list]
target = 1

[bands]
high = 8.0
good = 5.0
partial = 3.0
low = 1.0

[alerts.no_activity]
days = [3, 5]

[alerts.low_engagement]
at_or_below = "low"
"""
"""Always in term, and a full day is seen in the mean of a week, so that bands move within a test."""

FIRST_DAY = date(2026, 10, 5)


class Event(NamedTuple):
    """An event of the generic source."""

    student: str
    activity: str
    at: datetime
    id: str
    taken_back: bool = False

    def value(self, **other: Any) -> bytes:
        """Return the event as its source sends it; ``other`` replaces fields."""
        fields = {"student": self.student, "activity": self.activity, "at": self.at.isoformat(), "id": self.id}
        other = {"taken_back": True} | other if self.taken_back else other
        return json.dumps(fields | other).encode()


class Got(NamedTuple):
    """A record that stands on a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    header_list: list[tuple[str, bytes]]

    @property
    def headers(self) -> dict[str, bytes]:
        """The headers by name."""
        return dict(self.header_list)

    @property
    def json(self) -> dict[str, Any]:
        """The value as JSON."""
        found: dict[str, Any] = json.loads(self.value or b"null")
        return found


def noon(day: date, hour: int = 12, minute: int = 0) -> datetime:
    """Return an instant of a civil day in London."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=LONDON)


def redis_users(directory: Path, prefix: str) -> Path:
    """Write the project's users of Redis for a prefix, each with the password "<user>-secret"; return the file."""
    lines = []
    for line in USERS.read_text(encoding="utf-8").replace("leap:", f"{prefix}:").splitlines():
        name = line.split()[1]
        password = hashlib.sha256(f"{name}-secret".encode()).hexdigest()
        lines.append(line if name == "default" else f"{line} #{password}")
    file = directory / "users.acl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


class Worker:
    """One role as a child process."""

    def __init__(
        self,
        role: Program,
        process: subprocess.Popen[bytes],
        logfile: Path,
        mark: Path,
        environment: dict[str, str | None],
    ) -> None:
        self.role, self.process, self.log, self.mark, self.environment = role, process, logfile, mark, environment
        self.may_end = False
        self.again: Callable[[], Worker] | None = None

    def __str__(self) -> str:
        return self.log.stem

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return f"--- {self} ({self.process.poll()}), the end of its log:\n" + "\n".join(line[:2000] for line in text)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        self.may_end = True
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """SIGTERM; it ends in order."""
        self.may_end = True
        self.process.terminate()

    def stop(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    async def ended(self, timeout: float = 60.0) -> int:  # noqa: ASYNC109 - the caller knows how long it may take
        """Wait until it has ended; returns its exit code (a signal's number, negative, if that ended it)."""
        self.may_end = True
        until = time.monotonic() + timeout
        while (code := self.process.poll()) is None:
            if time.monotonic() > until:
                raise AssertionError(f"{self} did not end within {timeout:g} s\n{self.tail()}")
            await asyncio.sleep(0.05)
        return code

    def arm(self) -> None:
        """Let the passes of a fault that was started with `armed: False` count from now on."""
        self.mark.with_suffix(".armed").touch()

    @property
    def struck(self) -> dict[str, Any] | None:
        """What the fault left when it struck."""
        return json.loads(self.mark.read_text()) if self.mark.exists() else None

    @property
    def port(self) -> int | None:
        """Where its probes listen, once it has said so."""
        return self._said(r"metrics and probes on port (\d+)")

    @property
    def listening(self) -> int | None:
        """Where a gateway takes records, once it has said so."""
        return self._said(r"listening on port (\d+)")

    def _said(self, number: str) -> int | None:
        found = re.search(number, self.log.read_text(errors="replace"))
        return int(found[1]) if found else None

    async def get(self, path: str, timeout: float = 5.0) -> tuple[int, str]:  # noqa: ASYNC109 - as above
        """Ask its probes; status 0 if it does not answer."""

        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except (OSError, http.client.HTTPException):
                # Not listening yet, or ending at this very moment.
                return 0, ""

        return (0, "") if self.port is None else await asyncio.to_thread(ask)

    async def metric(self, name: str, **labels: str) -> float:
        """Return a sample of /metrics (0 if there is none)."""
        _, text = await self.get("/metrics")
        wanted = "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}" if labels else ""
        found = re.search(rf"^{re.escape(name + wanted)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


class Installation:
    """Topics under one prefix on the session's broker, and the processes a test starts over them.

    Time is simulated: it is what the records' headers say.
    """

    def __init__(self, kafka: str, profile: str, prefix: str, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.policies = directory / "policies"
        self.policies.mkdir(exist_ok=True)
        (self.policies / "test.1.toml").write_text(POLICY)
        chosen = {
            "kafka": kafka,
            "profile": profile,
            "prefix": prefix.rstrip("."),
            "partitions": 2,
            "source_partitions": 2,
            "sources": ("events",),
            "policies": self.policies,
            "hash_key": "a secret of the tests",
            "simulated_clock": True,
            "metrics_port": 0,
            "session_timeout": 6.0,  # the least that brokers allow
            "rebalance_timeout": 6.0,
            "heartbeat": 1.0,
            "commit_interval": 0.2,
            "close_stagger": 0.0,
        } | settings
        self.settings = Settings(_env_file=None, **chosen)  # type: ignore[call-arg]
        self._chosen = chosen
        self.topics = self.settings.topics
        self.workers: list[Worker] = []
        self.producer = Producer(self.settings, "test")
        self.offsets = Offsets(self.settings, "test")
        self._sent: defaultdict[str, int] = defaultdict(int)
        self.private: set[str] = {str(chosen[name]) for name in SECRETS if chosen.get(name)}
        """What no process may print: secrets, and every student who was enrolled or did something."""

    async def __aenter__(self) -> Self:
        await create_topics(self.settings)
        await self.producer.start()
        await self.offsets.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.check_privacy()
        finally:
            for worker in self.workers:
                worker.kill()
            await self.producer.stop()
            await self.offsets.stop()

    async def check_privacy(self) -> None:
        """Check that no log of a process and no metric names a student or a secret.

        Raises:
            AssertionError: one does.
        """
        said = {str(worker): worker.log.read_text(errors="replace") for worker in self.workers}
        running = [worker for worker in self.workers if worker.running and worker.port]
        answers = await asyncio.gather(*(worker.get("/metrics", timeout=2.0) for worker in running))
        said |= {f"/metrics of {worker}": text for worker, (_, text) in zip(running, answers, strict=True)}
        for who, text in said.items():
            for name in self.private:
                # As a word of its own, or "s1" would be found in "partitions1".
                if name in text and (found := re.search(rf"^.*(?<!\w){re.escape(name)}(?!\w).*$", text, re.MULTILINE)):
                    raise AssertionError(f"{who} names {name!r}, a student or a secret: {found[0][:2000]}")

    # -- processes ----------------------------------------------------------------------------------------------------

    def start(
        self,
        role: Program,
        *arguments: str,
        fault: dict[str, Any] | None = None,
        root: Path = ROOT,
        **environment: str | None,
    ) -> Worker:
        """Start a role, of this checkout or another (``root``), or a command with its arguments.

        ``environment`` are settings of this process alone (``LEAP_...``; None: not set).
        """
        name = f"{role}-{len(self.workers) + 1}"
        logfile, mark = self.directory / f"{name}.log", self.directory / f"{name}.fault"
        env = {k: v for k, v in os.environ.items() if not k.startswith("LEAP_")}
        self.private |= {environment[name] for name in map(variable, SECRETS) if environment.get(name)}
        for key, value in self._chosen.items():
            env[f"LEAP_{key.upper()}"] = json.dumps(value) if isinstance(value, tuple | bool) else str(value)
        given = {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", **environment}
        env = {name: value for name, value in (env | given).items() if value is not None}
        if fault is not None:
            wait = {} if fault.get("armed", True) else {"wait": str(mark.with_suffix(".armed"))}
            env["FAULT"] = json.dumps({**fault, "mark": str(mark), **wait})
        with logfile.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(root / RUNNER), role, *arguments],
                env=env,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(role, process, logfile, mark, environment)
        worker.may_end = fault is not None
        self.workers.append(worker)
        return worker

    def supervise(self, *workers: Worker) -> None:
        """Start processes again that end themselves (exit 70), while something is waited for."""
        for worker in workers:
            worker.may_end = False
            worker.again = functools.partial(self.start, worker.role, **worker.environment)

    async def until(
        self,
        condition: Callable[[], Awaitable[Any]] | Callable[[], Any],
        what: str,
        timeout: float = 90.0,  # noqa: ASYNC109 - as above
        every: float = 0.1,
    ) -> Any:
        """Wait until a condition holds (and return it), while every process that should be alive is.

        Raises:
            AssertionError: it did not hold in time, or a process ended; with the ends of the logs.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            for worker in self.workers[:]:
                if not worker.running and worker.again is not None and worker.process.returncode == 70:
                    worker.again, worker.may_end, again = None, True, worker.again
                    self.supervise(again())
                if not worker.running and not worker.may_end:
                    raise AssertionError(f"waiting for: {what}; but a process ended\n{worker.tail(40)}")
            if time.monotonic() > deadline:
                logs = "\n".join(worker.tail() for worker in self.workers[-4:])
                raise AssertionError(f"did not happen within {timeout:g} s: {what} (last: {found!r})\n{logs}")
            await asyncio.sleep(every)

    async def struck(self, worker: Worker, timeout: float = 90.0) -> dict[str, Any]:  # noqa: ASYNC109 - as above
        """Wait until a worker's fault has struck."""
        found: dict[str, Any] = await self.until(lambda: worker.struck, f"the fault of {worker} strikes", timeout)
        return found

    # -- what is sent -------------------------------------------------------------------------------------------------

    def at(self, when: datetime) -> list[tuple[str, bytes]]:
        """Return the header by which simulated time is told."""
        return [recorded_at(when.timestamp())]

    async def enrol(self, students: Iterable[str], when: datetime, **fields: Any) -> None:
        """Send roster entries, as the student records system does."""
        by_partition = defaultdict(list)
        for student in students:
            self.private.add(student)
            value = json.dumps({"student": student, **fields}).encode()
            by_partition[self.partition_of(student)].append((student.encode(), value, self.at(when)))
        for number, messages in by_partition.items():
            await self.producer.deliver(self.topics.students.name, number, messages)

    async def send(
        self, events: Iterable[Event], recorded: datetime | Callable[[Event], datetime] | None = None
    ) -> None:
        """Send source events, in turn to each partition of the source; recorded when they happened, if nothing is said."""
        topic = self.topics.source("events").name
        by_partition = defaultdict(list)
        for event in events:
            self.private.add(event.student)
            number = self._sent["events"] % self.settings.source_partitions
            self._sent["events"] += 1
            when = recorded(event) if callable(recorded) else recorded or event.at
            headers = [*self.at(when), ("trace", b"of the source")]
            by_partition[number].append((event.student.encode(), event.value(), headers))
        for number, messages in by_partition.items():
            await self.producer.deliver(topic, number, messages)

    async def send_raw(self, topic: str, partition: int, messages: Sequence[Any]) -> list[int]:
        """Send (key, value, headers); return the offsets."""
        spans = await self.producer.deliver(topic, partition, messages)
        return [offset for start, stop in spans for offset in range(start, stop)]

    async def to_log(self, records: Iterable[tuple[str | None, log.Record]], partition: int | None = None) -> None:
        """Write student-log records as intake, roster and clock would: by student, or to ``partition``."""
        by_partition = defaultdict(list)
        for student, record in records:
            self.private |= {student} - {None}
            number = self.partition_of(student) if partition is None and student is not None else partition
            by_partition[number].append((student.encode() if student else None, log.encode(record), []))
        for number, messages in by_partition.items():
            await self.producer.deliver(self.topics.student_log.name, number or 0, messages)

    def entries(self, students: Iterable[str], when: datetime, **fields: Any) -> list[tuple[str, log.Record]]:
        """Return roster entries as they stand in the log."""
        made: list[tuple[str, log.Record]] = []
        for student in students:
            record = log.msgspec.Raw(json.dumps({"student": student, **fields}).encode())
            made.append((student, log.StudentRecord(record, self._position("students", student), when.timestamp())))
        return made

    def activities(self, events: Iterable[Event]) -> list[tuple[str, log.Record]]:
        """Return events as intake writes them to the log."""
        return [
            (
                event.student,
                log.ActivityRecord(
                    event.activity,  # type: ignore[arg-type]
                    event.at.timestamp(),
                    self._position("events", event.student),
                    event.at.timestamp(),
                    once=int.from_bytes(blake2b(event.id.encode(), digest_size=8).digest(), "big") >> 1,
                ),
            )
            for event in events
        ]

    def removal(self, student: str, when: datetime) -> log.StudentRecord:
        """Return the record that takes a student off the roster."""
        return log.StudentRecord(log.msgspec.Raw(b"null"), self._position("students", student), when.timestamp())

    def _position(self, source: str, student: str) -> log.Position:
        name = f"{source}-{self.partition_of(student)}"
        self._sent[name] += 1
        return log.Position(name, self._sent[name])

    def partition_of(self, student: str) -> int:
        """Return a student's partition."""
        return partition_of(student.encode(), self.settings.partitions)

    def clock(self, now: Callable[[], float]) -> Clock:
        """Return a clock of the product, not yet started, with a time of the test's own."""
        return Clock(self.settings, self.rules, self.producer, self.offsets, now)

    @property
    def rules(self) -> PolicySet:
        """The policies."""
        return read_policies(self.policies)

    @asynccontextmanager
    async def ticking(self, clock: Clock) -> AsyncIterator[None]:
        """Start a clock of the product and let it run."""
        await clock.start()
        running = asyncio.create_task(clock.run())
        try:
            yield
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def close(self, *days: date) -> None:
        """Close days, in order, in every partition, shortly after their midnight."""
        for day in days:
            await self.to_log_everywhere(self.closing(day))

    def closing(self, day: date, recorded: float | None = None, **fields: Any) -> log.DayClosed:
        """Return the record that closes a day."""
        policy = self.rules.on(day)
        midnight = noon(day, 0).timestamp() + 24 * 3600 + 300
        return log.DayClosed(day.isoformat(), policy.version, policy.checksum, recorded or midnight, **fields)

    async def to_log_everywhere(self, record: log.Record) -> None:
        """Write a control record to every partition of the log."""
        for number in range(self.settings.partitions):
            await self.to_log([(None, record)], number)

    # -- what is read -------------------------------------------------------------------------------------------------

    async def read(self, topic: str) -> list[Got]:
        """Return every record of a topic, in order a partition."""
        consumer = AIOKafkaConsumer(
            **connection.kafka(self.settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await consumer.start()
        got: list[Got] = []
        try:
            partitions = await self.offsets.partitions([topic])
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for tp, offset in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(tp, offset)
            left = {tp for tp in partitions if ends[tp]}
            silent_since = time.monotonic()
            while left:
                for tp, records in (await consumer.getmany(*left, timeout_ms=500)).items():
                    silent_since = time.monotonic()
                    got += [Got(tp.partition, r.offset, r.key, r.value, list(r.headers)) for r in records]
                left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
                if time.monotonic() - silent_since > 30:
                    raise AssertionError(f"the broker sends nothing of {left}, up to {ends}")
        finally:
            await consumer.stop()
        return sorted(got, key=lambda record: record[:2])

    async def lag(self, role: Group) -> dict[TopicPartition, int]:
        """Return the records that a role's group has not committed, a partition."""
        names: dict[Group, list[str]] = {
            "roster": [self.topics.students.name],
            "intake": [topic.name for topic in self.topics.sources.values()],
            "waiting-room": [self.topics.identities.name, self.topics.unmatched.name],
            "engagement": [self.topics.student_log.name],
            "readmodel": [
                topic.name
                for topic in (self.topics.engagement, self.topics.days, self.topics.ratings, self.topics.alerts)
            ],
        }
        partitions = await self.offsets.partitions(names[role])
        ends = await self.offsets.ends(partitions)
        done = await self.offsets.committed(self.settings.group(role), partitions)
        return {tp: end - done.get(tp, 0) for tp, end in ends.items()}

    async def behind(self, role: Group) -> int:
        """Return how many records a role has not committed."""
        return sum((await self.lag(role)).values())

    async def caught_up(self, *roles: Group, timeout: float = 90.0) -> None:  # noqa: ASYNC109 - as above
        """Wait until roles have committed all there is (in the order of the data)."""
        for role in roles:

            async def done(role: Group = role) -> bool:
                self._last_lag = await self.lag(role)
                return not any(self._last_lag.values())

            try:
                await self.until(done, f"{role} has committed all of its input", timeout)
            except AssertionError as error:
                raise AssertionError(f"{error}\nlag: {self._last_lag}") from None
