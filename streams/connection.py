"""How Kafka is reached: what every client of ours passes on to aiokafka, and why a broker does not let us in."""

import asyncio
import os
import socket
import ssl
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.settings import Settings
from streams.tls import client_context

_PATIENCE_MS = 5_000
_FAREWELL = 1.0
_REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


class RefusedError(Exception):
    """A broker does not accept us, or we do not trust it; the message has its address and the reason."""

    exit_code = 78


def security(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments by which an aiokafka client proves who it is and checks whom it talks to."""
    options: dict[str, Any] = {"security_protocol": settings.kafka_security.upper()}
    if settings.kafka_security.endswith("ssl"):
        options["ssl_context"] = client_context(
            "LEAP_KAFKA", settings.kafka_ca_file, settings.kafka_certificate_file, settings.kafka_key_file
        )
    if settings.kafka_security.startswith("sasl") and settings.kafka_password is not None:
        options |= {
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def kafka(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments of every aiokafka client: where the brokers are, and how they are spoken to."""
    return {"bootstrap_servers": settings.bootstrap, **security(settings)}


async def why(settings: Settings) -> str:
    """Return why no bootstrap server can be reached (aiokafka only logs it); empty if one can, after all.

    Raises:
        RefusedError: one answers, but does not accept us, or we do not trust it.
    """
    reasons = []
    for server in settings.bootstrap:
        host, _, port = server.rpartition(":")
        try:
            connection = AIOKafkaConnection(
                host.strip("[]"),
                int(port),
                client_id=f"{settings.prefix}.why",
                request_timeout_ms=_PATIENCE_MS,
                **security(settings),
            )
            await _try(connection)
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"Kafka at {server} is not trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise RefusedError(f"Kafka at {server}: no TLS connection ({error.reason or error})") from error
        except _REFUSALS as error:
            who = f"the user {settings.kafka_user} ({settings.kafka_mechanism})"
            raise RefusedError(f"Kafka at {server} refuses {who}: {error.args[0]}") from error
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            which = f"{server}: " if len(settings.bootstrap) > 1 else ""
            reasons.append(which + _in_short(error, settings))
        else:
            return ""
    return "; ".join(reasons)


async def _try(connection: AIOKafkaConnection) -> None:
    """Ask for something, and wait until the connection has gone.

    Over TLS that takes a round trip: a process that ends at once would leave the socket open.
    """
    opened = True
    try:
        await connection.connect()
        await connection.send(MetadataRequest([]))
    except OSError:
        opened = False
        raise
    finally:
        closed = connection.close()
        if opened:
            await asyncio.wait([closed], timeout=_FAREWELL)


def _in_short(error: Exception, settings: Settings) -> str:
    if isinstance(error, ConnectionResetError) or "closed" in str(error):
        return f"it closes the connection; does it want another LEAP_KAFKA_SECURITY than {settings.kafka_security}?"
    if isinstance(error, OSError) and error.errno is not None:
        return str(error.strerror) if isinstance(error, socket.gaierror) else os.strerror(error.errno)
    return reason(error)


def reason(error: BaseException) -> str:
    """Return what an error says, without the name that aiokafka puts before it; its name if it says nothing."""
    name = type(error).__name__
    return str(error).removeprefix(f"{name}: ").removeprefix(name) or name
