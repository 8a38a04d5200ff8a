"""The gateway's process: an HTTP server over a producer, until it is told to end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator, Mapping

import uvicorn

from streams import garbage
from streams.gateway.app import build
from streams.gateway.credentials import Credentials
from streams.gateway.entrance import Entrance
from streams.gateway.limits import Rate
from streams.producer import Producer
from streams.role import EXIT_SOFTWARE, Health, end_process
from streams.settings import Settings
from streams.sources import Source

logger = logging.getLogger(__name__)

_MOST_CONNECTIONS = 1000
_FAREWELL = 10
_BETWEEN = 2.0
"""Seconds between two looks at whether Kafka answers."""


class _Server(uvicorn.Server):
    """Leaves signals alone: uvicorn would end the process by the signal, whose exit code is that of a failure."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def listen(settings: Settings) -> socket.socket:
    """Take the port; raises OSError if it is taken, or no address of this machine."""
    family = socket.AF_INET6 if ":" in settings.gateway_host else socket.AF_INET
    return socket.create_server((settings.gateway_host, settings.gateway_port), family=family, backlog=1024)


async def serve(
    settings: Settings,
    credentials: Credentials,
    adapters: Mapping[str, Source],
    listener: socket.socket,
    health: Health,
    version: str,
) -> None:
    """Serve until SIGINT or SIGTERM; requests that have begun are answered first."""
    producer = Producer(settings, "gateway")
    await producer.start()
    entrance = Entrance(
        credentials,
        Rate(settings.gateway_rate),
        producer,
        {source: topic.name for source, topic in settings.topics.sources.items()},
        adapters,
        settings.gateway_body_bytes,
        settings.gateway_file_bytes,
    )
    server = _Server(
        uvicorn.Config(
            build(entrance, version),
            http="httptools",
            access_log=False,  # it has addresses
            log_config=None,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_FAREWELL,
        )
    )

    garbage.seldom()

    def stop() -> None:
        health.set_ready(False, "ending")
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    watching = [asyncio.create_task(_beat(health)), asyncio.create_task(_watch(producer, health))]
    logger.info("gateway: listening on port %d", listener.getsockname()[1])
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in watching:
            task.cancel()
        # What was not delivered was not answered with success; while Kafka is away it would be waited for for ever.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), _FAREWELL)


async def _beat(health: Health) -> None:
    while True:
        health.beat()
        await asyncio.sleep(0.5)


async def _watch(producer: Producer, health: Health) -> None:
    """Say whether Kafka answers; end the process if only a new one can send again."""
    while True:
        if producer.broken:
            end_process(EXIT_SOFTWARE, "gateway: the producer has ended")
        try:
            async with asyncio.timeout(_BETWEEN):
                reachable = await producer.reachable()
        except TimeoutError:
            reachable = False
        health.set_ready(reachable, "taking records" if reachable else "Kafka does not answer")
        await asyncio.sleep(_BETWEEN)
