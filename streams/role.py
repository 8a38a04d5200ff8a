"""One worker process of one role: its Faust app, its health, its end.

Whatever cannot be handled ends the process without acknowledging (``os._exit``): a supervisor starts it again, and it
goes on from what was committed. Faust would acknowledge the failing message, and a restarted agent would skip one.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.dead_letters import DeadLetter
from streams import connection, metrics
from streams.admin import Offsets
from streams.holds import Holds
from streams.lag import Lag
from streams.reader import METADATA_AGE_MS
from streams.record_batches import SCHEME, App
from streams.records import Records, joined
from streams.settings import Role, Settings

logger = logging.getLogger(__name__)

EXIT_SOFTWARE = 70
"""A failure that nobody foresaw, or that only a fresh start mends."""
EXIT_UNAVAILABLE = 69
"""Kafka or Redis did not answer for as long as the settings allow."""
EXIT_STUCK = 75
"""The watchdog ended a process that was behind and did not commit."""
EXIT_CONFIG = 78
"""Topics, policies or settings are not what they should be; starting again does not help."""


class DeadLetterBox(Protocol):
    """Where records go that cannot be used. Called by intake, roster and engagement before they acknowledge."""

    async def put(self, letters: list[DeadLetter]) -> None:
        """Deliver letters; returns when the broker has them, raises DeliveryError when it has not."""


def exit_code(error: BaseException) -> int:
    """Return the code with which a process ends over an error: its own, 69 if Kafka did not answer, 70 else."""
    own = getattr(error, "exit_code", None)
    if own is not None:
        return int(own)
    cause = error.__cause__ or error
    return EXIT_UNAVAILABLE if isinstance(cause, KafkaError) and cause.retriable else EXIT_SOFTWARE


def end_process(code: int, why: str) -> None:
    """End this process now, acknowledging nothing. Never returns."""
    logger.critical("ending the process (exit %d): %s", code, why)
    print(f"leap: {why}", file=sys.stderr, flush=True)  # noqa: T201 - the last words must not wait for a log handler
    logging.shutdown()
    os._exit(code)


class Health:
    """What /live and /ready answer, and what the watchdog judges. Written by the event loop, read by other threads."""

    def __init__(self, role: str, stuck_after: float) -> None:
        """Begin as not ready."""
        self.role = role
        self.stuck_after = stuck_after
        self.ready = False
        self.detail = "starting"
        self._beat = time.monotonic()
        self._progress = time.monotonic()
        self._behind = False

    def set_ready(self, ready: bool, detail: str) -> None:
        """Say whether the process has its partitions and their state."""
        self.ready, self.detail = ready, detail
        metrics.ready.labels(self.role).set(ready)

    def beat(self) -> None:
        """Say that the event loop turns."""
        self._beat = time.monotonic()

    def progress(self) -> None:
        """Say that something was committed, or is on its way in a long but legal step (recovery)."""
        self._progress = time.monotonic()

    def behind(self, *, behind: bool) -> None:
        """Say whether there are records that are not committed."""
        if not behind or not self._behind:
            self._progress = time.monotonic()
        self._behind = behind

    def stuck_for(self) -> float:
        """Return for how long (seconds) the loop has not turned, or records have waited without a commit."""
        now = time.monotonic()
        idle = now - self._progress if self._behind else 0.0
        # A loop that turns every second is not stuck; a batch may hold it for a moment.
        frozen = now - self._beat
        return max(idle, frozen if frozen > 5.0 else 0.0)


class Probes:
    """/metrics, /live and /ready from a thread of their own: a blocked event loop must not hide the diagnosis."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        """Listen at once; OSError if the port is taken."""
        self._server = _Server((host, port), _handler(health))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()
        threading.Thread(target=_watch, args=(health,), name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Answers whoever asks, whatever others do with their connections."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        """Begin without a connection."""
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread; beyond a number of them the oldest ends.

        An answer takes milliseconds, so the oldest is one that does not ask. Without a limit, silent connections use up
        the process's files, and then neither a probe nor Kafka is reached any more.
        """
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= _MOST_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is no news, and its address belongs into no log."""


_MOST_CONNECTIONS = 64
_SILENCE = 5.0
"""Seconds for which a connection to the probes may be silent."""


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                metrics.stuck_seconds.labels(health.role).set(round(health.stuck_for(), 1))
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif path == "/live":
                stuck = health.stuck_for()
                self._json(200 if stuck < health.stuck_after else 503, stuck_seconds=round(stuck, 1))
            elif path == "/ready":
                self._json(200 if health.ready else 503, ready=health.ready, detail=health.detail)
            else:
                self._json(404, paths=["/metrics", "/live", "/ready"])

        def _json(self, code: int, **body: Any) -> None:
            self._answer(code, "application/json", json.dumps({"role": health.role, **body}).encode())

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """A scrape every few seconds is no news."""

    return Handler


def _watch(health: Health) -> None:
    while True:
        time.sleep(1.0)
        stuck = health.stuck_for()
        if stuck > health.stuck_after:
            end_process(EXIT_STUCK, f"{health.role}: behind and not committing for {stuck:.0f} s")


class _Worker(faust.Worker):
    """Faust's worker without its own ideas about logging and the terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Drop the spinner, which writes escape codes into logs."""
        super().__init__(*args, **kwargs)
        self.spinner = None

    async def start(self) -> None:
        """Start; what prevents it ends the process with its own code, where mode exits with 1 and a traceback."""
        try:
            await super().start()
        except KafkaError as error:
            # The broker was asked a moment ago, and has gone since.
            end_process(exit_code(error), f"Kafka: {connection.reason(error)}")

    def _setup_logging(self) -> None:
        """Logging is set up by whoever runs the process."""


_BETWEEN = -2
"""The generation of an app whose partitions are on their way: no message has it, so what is buffered is dropped.

It is read again after the rebalance. Not the generation that was left: a group that is new at the broker counts from
its first number again, and then everything of the next generation would be dropped, too.
"""

_AT_ONCE = 50_000
"""Records that a role deals with at once, however many came in a fetch."""


def _credentials(settings: Settings) -> faust.types.auth.CredentialsT | None:
    """Return what Faust makes its aiokafka clients' security of: the same as that of our own clients."""
    options = connection.security(settings)
    if settings.kafka_security.startswith("sasl"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options.get("ssl_context"),
        )
    if settings.kafka_security == "ssl":
        return faust.SSLCredentials(context=options["ssl_context"])
    return None


_LANE = 2
"""Batches that wait in a partition's lane, if they are not few records.

The next ones wait in Faust's buffer, whose backpressure then pauses the fetch.
"""

_FEW = 1_000
"""Small batches that wait are dealt with as one of up to so many records: most of what few cost is the batch."""


class _Lane:
    """The batches of one partition that wait, in order.

    While its topic is held it takes any number: one agent puts into all lanes, and at a full one it would stop, and
    with it every other topic. They are few, for nothing more is fetched then.
    """

    def __init__(self, few: int) -> None:
        """Begin empty, with room."""
        self._few = few
        self._waiting: deque[Any] = deque()
        self._records = 0
        self._room, self._something = asyncio.Event(), asyncio.Event()
        self.held = False

    @property
    def held(self) -> bool:
        """Whether the topic is held."""
        return self._held

    @held.setter
    def held(self, held: bool) -> None:
        self._held = held
        self._look()

    async def put(self, event: Any) -> None:
        """Put a batch in, when there is room."""
        await self._room.wait()
        self._waiting.append(event)
        self._records += len(event.value)
        self._something.set()
        self._look()

    async def get(self) -> Any:
        """Take the next batch."""
        while not self._waiting:
            self._something.clear()
            await self._something.wait()
        return self._take()

    def more(self, event: Any) -> list[Any]:
        """Take what waits behind a batch that was taken, as long as all of it together are few records."""
        taken, records = [], len(event.value)
        while self._waiting and records + len(self._waiting[0].value) <= self._few:
            taken.append(self._take())
            records += len(taken[-1].value)
        return taken

    def _take(self) -> Any:
        event = self._waiting.popleft()
        self._records -= len(event.value)
        self._look()
        return event

    def _look(self) -> None:
        if self._held or len(self._waiting) < _LANE or self._records < self._few:
            self._room.set()
        else:
            self._room.clear()


class Handler:
    """What a streaming role does with its batches. Made inside the event loop that calls it."""

    async def assigned(self, partitions: set[TopicPartition], generation: int) -> bool:  # noqa: ARG002
        """Partitions came (before any of their batches).

        Must not block long. Returns whether the role is ready at once.
        """
        return True

    async def handle(self, topic: str, partition: int, records: Records) -> None:
        """Deal with one batch, never two of a partition at a time.

        When it returns, the batch is acknowledged; when it raises,
        the process ends (with the error's ``exit_code``, if it has one) and the batch is read again.
        """
        raise NotImplementedError


class Streaming:
    """A role that consumes with Faust: an app with one agent over record batches."""

    def __init__(
        self,
        settings: Settings,
        role: Role,
        topics: list[str],
        health: Health,
        make: Callable[[], Awaitable[Handler]],
        holds: Holds | None = None,
    ) -> None:
        """Build the app; nothing is connected yet.

        ``make`` connects and returns the handler, once the loop runs. ``holds``: topics that it holds meanwhile.
        """
        self._settings = settings
        self._role = role
        self._health = health
        self._make = make
        self._holds = holds or Holds()
        self._made: asyncio.Task[Handler] | None = None
        self._settled = asyncio.Event()
        self._idle = asyncio.Event()
        self._busy = 0
        self._lanes: dict[Any, _Lane] = {}
        self._done: dict[Any, int | None] = {}
        self._lag = Lag(role)
        self.app = App(
            settings.group(role),
            broker=[f"{SCHEME}://{server}" for server in settings.bootstrap],
            broker_credentials=_credentials(settings),
            store="memory://",
            origin="streams",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=False,
            stream_buffer_maxsize=4,
            broker_max_poll_records=settings.poll_records,
            consumer_max_fetch_size=settings.fetch_bytes,
            consumer_metadata_max_age_ms=METADATA_AGE_MS,
            broker_session_timeout=settings.session_timeout,
            broker_rebalance_timeout=settings.rebalance_timeout,
            broker_heartbeat_interval=settings.heartbeat,
            broker_commit_interval=settings.commit_interval,
            table_standby_replicas=0,
        )
        self.app.fetch_wait = settings.fetch_wait
        self.app.drain = self._drain  # type: ignore[method-assign]
        self.app.fetched = self._holds.fetched  # type: ignore[method-assign]
        self.app.on_partitions_assigned.connect(self._on_assigned)  # type: ignore[arg-type]
        source = self.app.topic(*topics, value_type=None, key_type=None, value_serializer="raw", key_serializer="raw")
        self.app.agent(source, name=role)(self._agent)
        self.app.task(self._beat)
        self.app.task(self._watch_lag)

    async def _handler(self) -> Handler:
        """Return the handler; the first call makes it."""
        if self._made is None:
            self._made = asyncio.ensure_future(self._make())
        try:
            return await asyncio.shield(self._made)
        except Exception as error:
            self._fail(error)
            raise

    async def _agent(self, stream: Any) -> None:
        """Hand each batch to its partition's lane, so that one partition decides while another waits for the broker."""
        async for event in stream.noack().events():
            message = event.message
            if self._current(message):
                lane = self._lanes.get(message.tp)
                if lane is None:
                    lane = self._lanes[message.tp] = _Lane(self._settings.poll_records or _FEW)
                    asyncio.ensure_future(self._work(lane, stream)).add_done_callback(self._lane_ended)
                await lane.put(event)

    def _current(self, message: Any) -> bool:
        return bool(message.generation_id == self.app.consumer_generation_id)

    async def _work(self, lane: _Lane, stream: Any) -> None:
        """Deal with the batches of one partition, in order. Nothing may leave this loop: Faust would acknowledge it."""
        while True:
            event = await lane.get()
            # Faust lets the flow go on before it says what was assigned.
            await self._settled.wait()
            # A batch that is held is not in hand: a rebalance does not wait for it, but drops it.
            while self._current(event.message) and not self._holds.passes(event.message.topic):
                lane.held = True
                await self._holds.changed()
            lane.held = False
            if self._current(event.message):
                events = [event]
                # Of a topic that is held one batch was let through. What came later has the same generation.
                if event.message.topic not in self._holds:
                    events += lane.more(event)
                self._busy += 1
                try:
                    await self._handle(events)
                    for event in events:
                        await stream.ack(event)
                except Exception as error:
                    self._fail(error)
                self._busy -= 1
                if not self._busy:
                    self._idle.set()
                del events
            del event

    async def _handle(self, events: list[Any]) -> None:
        """Hand batches over as one, or a large one in parts, so that none holds the event loop for long."""
        handler = await self._handler()
        message, records = events[0].message, joined([event.value for event in events])
        for first in range(0, len(records), _AT_ONCE):
            part = records if len(records) <= _AT_ONCE else records[first : first + _AT_ONCE]
            await handler.handle(message.topic, message.partition, part)

    def _lane_ended(self, lane: "asyncio.Future[None]") -> None:
        error = None if lane.cancelled() else lane.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        logger.critical("a batch failed", exc_info=error)
        end_process(exit_code(error), f"{self._role}: {str(error) or type(error).__name__}")

    async def _drain(self) -> None:
        """Let the batches in hand end, for at most half of what the group allows for a rebalance."""
        self.app.consumer_generation_id = _BETWEEN
        self._settled.clear()
        self._idle.clear()
        self._holds.look_again()
        try:
            if self._busy:
                await asyncio.wait_for(self._idle.wait(), self._settings.rebalance_timeout / 2)
        except TimeoutError:
            logger.warning("%s: batches are still in hand at a rebalance; their late writes are fenced", self._role)

    async def _on_assigned(self, _app: Any, assigned: set[Any], **_: Any) -> None:
        self._health.progress()
        partitions = {TopicPartition(tp.topic, tp.partition) for tp in assigned}
        handler = await self._handler()
        ready = await handler.assigned(partitions, self.app.consumer_generation_id)
        self._settled.set()
        if ready:
            self._health.set_ready(True, f"{len(partitions)} partitions")

    async def _beat(self) -> None:
        while not self.app.should_stop:
            self._health.beat()
            await asyncio.sleep(0.5)

    async def _watch_lag(self) -> None:
        """Watch from outside of Faust's consumer whether this process keeps up.

        A stalled consumer does not see its own lag.
        """
        while not self.app.should_stop:
            offsets = Offsets(self._settings, f"{self._role}-lag")
            try:
                await offsets.start()
                while not self.app.should_stop:
                    await self._measure(offsets)
                    await asyncio.sleep(1.0)
            except Exception as error:
                logger.warning("%s: cannot measure lag: %r", self._role, error)
                await asyncio.sleep(1.0)
            finally:
                await offsets.stop()

    async def _measure(self, offsets: Offsets) -> None:
        consumer: Any = self.app.consumer
        mine = [tp for tp in consumer.assignment() if tp.topic not in self.app.tables.changelog_topics]
        ends = await offsets.ends([TopicPartition(tp.topic, tp.partition) for tp in mine])
        done = {tp: consumer._committed_offset.get(tp) for tp in mine}
        lags = {tp: max(0, end - (done.get(tp) or 0)) for tp, end in ends.items()}
        self._lag.tell(lags)
        if done != self._done:
            self._done = done
            self._health.progress()
        self._health.behind(behind=any(lag for tp, lag in lags.items() if tp.topic not in self._holds))

    def run(self) -> int:
        """Run until a signal; returns the exit code."""
        worker = _Worker(self.app, quiet=True, redirect_stdouts=False)
        try:
            worker.execute_from_commandline()
        except SystemExit as stop:
            return EXIT_SOFTWARE if stop.code else 0
        return 0
