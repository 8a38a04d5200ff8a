"""Reaching Kafka and Redis from a command: answer quickly, and name the address that does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from leap.errors import CONFIG, UNREACHABLE, CommandError
from schemas.topics import Topic
from sinks.store import RedisDownError, RedisRefusedError, connect, safe_url, translated
from streams.admin import Offsets, TopicsError, admin, check_topics
from streams.connection import RefusedError, reason
from streams.producer import Producer
from streams.settings import Settings

_PATIENCE = 5.0


async def reach_kafka(settings: Settings, *, topics: bool = True, only: Topic | None = None) -> None:
    """Check that Kafka answers and (unless told not to) that the topics are there, or ``only`` one.

    Raises:
        CommandError: it does not, or they are not.
    """
    try:
        async with asyncio.timeout(_PATIENCE), admin(settings):
            pass
        if topics:
            await check_topics(settings, configs=False, only=None if only is None else [only])
    except RefusedError as error:
        raise CommandError(str(error), CONFIG) from error
    except (KafkaError, OSError, TimeoutError) as error:
        msg = f"no Kafka at {settings.kafka} ({reason(error)}); is it up, and is LEAP_KAFKA or --kafka right?"
        raise CommandError(msg, UNREACHABLE) from error
    except TopicsError as error:
        raise CommandError(str(error), CONFIG) from error


@asynccontextmanager
async def producing(settings: Settings, name: str) -> AsyncIterator[Producer]:
    """Give a started producer, and stop it.

    Raises:
        CommandError: Kafka does not answer (any more).
    """
    producer = Producer(settings, name)
    try:
        await producer.start()
    except KafkaError as error:
        raise CommandError(f"no Kafka at {settings.kafka} ({reason(error)})", UNREACHABLE) from error
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def offsets(settings: Settings) -> AsyncIterator[Offsets]:
    """Give started :class:`Offsets`, and stop them."""
    found = Offsets(settings)
    try:
        await found.start()
        yield found
    finally:
        await found.stop()


@asynccontextmanager
async def redis_client(settings: Settings) -> AsyncIterator["Redis"]:
    """Give a client of the read model's Redis that has answered once.

    Raises:
        CommandError: it does not answer or refuses us, or the URL is none.
    """
    where = safe_url(settings.redis)
    try:
        client = connect(settings, "command", connect_timeout=_PATIENCE, timeout=30.0)
    except ValueError as error:
        raise CommandError(f"LEAP_REDIS or --redis: {where}: {error}", CONFIG) from error
    try:
        try:
            with translated():
                await client.ping()
        except RedisRefusedError as error:
            raise CommandError(f"Redis at {where}: {error}", CONFIG) from error
        except RedisDownError as error:
            msg = f"no Redis at {where} ({error}); is it up, and is LEAP_REDIS or --redis right (rediss:// for TLS)?"
            raise CommandError(msg, UNREACHABLE) from error
        yield client
    finally:
        await client.aclose()


def text(value: bytes | str) -> str:
    """Return what Redis answered as text; its client may give either."""
    return value.decode() if isinstance(value, bytes) else value
