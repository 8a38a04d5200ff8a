"""``leap gateway``: the process that takes records over HTTP."""

import asyncio
import logging
import sys

from aiokafka.errors import KafkaError

from leap import __version__
from leap.worker import ConfigError, UnreachableError, reach
from schemas.policy import PolicyError
from streams import event_loop, metrics
from streams.admin import TopicsError
from streams.connection import RefusedError, reason
from streams.gateway.credentials import CredentialsError, read
from streams.gateway.server import listen, serve
from streams.role import EXIT_CONFIG, EXIT_UNAVAILABLE, Health, Probes
from streams.settings import Settings
from streams.sources.registry import installed

logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Run the gateway until a signal; returns the exit code."""
    event_loop.install()
    metrics.build_info.labels(__version__).set(1)
    health = Health("gateway", settings.stuck_after)
    if settings.gateway_credentials is None:
        return _failed("LEAP_GATEWAY_CREDENTIALS is not set; see docs/gateway.md", EXIT_CONFIG)
    try:
        credentials = read(settings.gateway_credentials, settings.sources)
        adapters = installed(settings)
        probes = Probes(health, settings.metrics_host, settings.metrics_port)
        logger.info("gateway: metrics and probes on port %d", probes.port)
        asyncio.run(reach(settings, "gateway"))
        with listen(settings) as listener:
            asyncio.run(serve(settings, credentials, adapters, listener, health, __version__))
    except (CredentialsError, PolicyError, TopicsError, ConfigError, RefusedError, OSError) as error:
        return _failed(str(error), EXIT_CONFIG)
    except UnreachableError as error:
        return _failed(str(error), EXIT_UNAVAILABLE)
    except KafkaError as error:  # it went away as we started
        return _failed(f"no Kafka at {settings.kafka} ({reason(error)})", EXIT_UNAVAILABLE)
    return 0


def _failed(reason: str, code: int) -> int:
    print(f"leap gateway: {reason}", file=sys.stderr)
    return code
