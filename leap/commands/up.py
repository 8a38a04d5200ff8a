"""``leap up``: an installation of its own on this machine."""

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from leap import logs
from leap.commands.worker import ports
from leap.errors import CONFIG, CommandError
from leap.local import free_ports, servers
from leap.options import load_settings
from leap.supervisor import Supervisor, at_signal
from leap.terminal import command, err, out, print_json
from schemas.policy import PolicyError, read_policies
from streams.settings import ROLES


def up(
    *,
    kafka_port: Annotated[int | None, Parameter(help="Port of the broker; without one a free port.")] = None,
    redis_port: Annotated[int | None, Parameter(help="Port of Valkey; without one a free port.")] = None,
    json: Annotated[bool, Parameter(help="Print the addresses as one JSON document.")] = False,
) -> int:
    """Start a broker, Valkey, the topics and every role on this machine, with the real clock, until Ctrl-C.

    For trying things out and for developing a source or a dashboard: everything is in memory and gone afterwards.
    The broker is a small embedded one; in production run Apache Kafka, Redis or Valkey, and
    a `leap worker` for each role.

    Example: `leap up --kafka-port 9092 --redis-port 6379`, and in another terminal `leap status --profile embedded`
    """
    logs.set_up()
    return asyncio.run(_up(kafka_port, redis_port, json=json))


async def _up(kafka_port: int | None, redis_port: int | None, *, json: bool) -> int:
    given = load_settings()
    try:
        read_policies(given.policies)
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error
    own_key: dict[str, Any] = {} if given.hash_key else {"hash_key": secrets.token_hex(32)}
    with tempfile.TemporaryDirectory(prefix="leap-up-") as directory:
        async with servers(Path(directory), kafka_port=kafka_port, redis_port=redis_port, **own_key) as settings:
            chosen = ports(settings) if "metrics_port" in given.model_fields_set else free_ports(ROLES)
            supervisor = Supervisor(settings, chosen)
            at_signal(supervisor.stop)
            addresses = {
                "kafka": settings.kafka,
                "redis": settings.redis,
                "metrics": {role: supervisor.metrics_url(role) for role in chosen},
            }
            if json:
                print_json(addresses)
            else:
                _print(addresses)
            return await supervisor.run()


def _print(addresses: dict) -> None:  # type: ignore[type-arg]
    out.print(f"Kafka    {addresses['kafka']}")
    out.print(f"Redis    {addresses['redis']}")
    for role, url in addresses["metrics"].items():
        out.print(f"{role:<12} {url}")
    where = f"LEAP_KAFKA={addresses['kafka']} LEAP_REDIS={addresses['redis']} LEAP_PROFILE=embedded"
    out.print(f"\nIn another terminal:\n  export {where}\n  {command()} status", soft_wrap=True)
    err.print("Ctrl-C ends it.")
