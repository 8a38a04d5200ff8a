"""An installation of its own on this machine: a broker (the embedded one, unless told), Valkey, topics."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.servers import ApacheKafka, EmbeddedBroker, EmbeddedValkey, Server, ServerError, free_port
from leap.errors import UNREACHABLE, CommandError
from leap.options import load_settings
from streams.admin import create_topics
from streams.settings import UNSECURED, Process, Settings


@asynccontextmanager
async def servers(
    directory: Path,
    *,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    broker: Server | None = None,
    **settings: Any,
) -> AsyncIterator[Settings]:
    """Start both servers, make the topics, give the settings that lead there; stop them at the end.

    ``broker``: another one than the embedded broker, not yet started.

    Raises:
        CommandError: a server did not start.
    """
    broker = broker or EmbeddedBroker(directory / "kafka", kafka_port)
    profile = "apache" if isinstance(broker, ApacheKafka) else "embedded"
    valkey = EmbeddedValkey(directory / "redis", redis_port)
    try:
        try:
            # Started from the main thread: a server ends with the thread that started it.
            for server in (broker, valkey):
                server.start()
        except ServerError as error:
            raise CommandError(str(error), UNREACHABLE) from error
        ready = load_settings(kafka=broker.address, redis=f"{valkey.url}/0", profile=profile, **UNSECURED, **settings)
        await create_topics(ready)
        yield ready
    finally:
        await asyncio.gather(asyncio.to_thread(broker.stop), asyncio.to_thread(valkey.stop))


def free_ports(roles: Iterable[Process]) -> dict[Process, int]:
    """Return a free port for the metrics of each role."""
    return {role: free_port() for role in roles}
