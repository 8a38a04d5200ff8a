"""Every setting of every process, from the environment (``LEAP_...``) or a file named by ``LEAP_ENV_FILE``."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import Topics
from streams.tls import client_context

Role = Literal["roster", "intake", "engagement", "clock", "readmodel"]
Process = Role | Literal["gateway"]
"""A role, or the gateway: it has no group and no partitions, and `leap worker all` does not start it."""
_POLICIES = Path(__file__).resolve().parent.parent / "policy"

ROLES: tuple[Role, ...] = ("roster", "intake", "engagement", "clock", "readmodel")

SECRETS = ("kafka_password", "redis_password", "hash_key", "identity_key", "identity_key_before")
"""Settings that are never printed. Each may come from a file instead, which ``<name>_file`` names."""


UNSECURED: dict[str, Any] = {"kafka_security": "plaintext"} | dict.fromkeys(
    (
        "kafka_user",
        "kafka_password",
        "kafka_password_file",
        "kafka_ca_file",
        "kafka_certificate_file",
        "kafka_key_file",
        "redis_user",
        "redis_password",
        "redis_password_file",
        "redis_ca_file",
    )
)
"""Settings of servers of one's own on this machine, which have neither users nor TLS, whatever the environment says."""


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"LEAP_{name.upper()}"


class Settings(BaseSettings):
    """Settings, checked at start. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="LEAP_",
        env_file=os.environ.get("LEAP_ENV_FILE"),
        env_ignore_empty=True,  # or an empty LEAP_HASH_KEY would count as a key
        extra="ignore",
        hide_input_in_errors=True,  # or an error would print the secrets beside it
    )

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, comma-separated")
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="how Kafka is spoken to; ssl: TLS, sasl: user and password"
    )
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = Field(
        "SCRAM-SHA-512", description="how the password is proven (sasl)"
    )
    kafka_user: str | None = Field(None, description="user of Kafka (sasl)")
    kafka_password: SecretStr | None = Field(None, description="that user's password")
    kafka_password_file: Path | None = Field(None, description="or a file that has the password")
    kafka_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that Kafka's certificate may come from; else the system's"
    )
    kafka_certificate_file: Path | None = Field(
        None, description="PEM file of our own certificate, and those it needs, where brokers ask for one (mutual TLS)"
    )
    kafka_key_file: Path | None = Field(None, description="PEM file of its key, if it is not in the same file")

    redis: str = Field("redis://127.0.0.1:6379/0", description="URL of Redis or Valkey; rediss: TLS")
    redis_user: str | None = Field(None, description="user of Redis; without one, its default user")
    redis_password: SecretStr | None = Field(None, description="that user's password")
    redis_password_file: Path | None = Field(None, description="or a file that has the password")
    redis_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that Redis' certificate may come from; else the system's"
    )

    profile: Literal["apache", "embedded"] = Field(
        "apache", description="embedded: a broker without idempotent producers and offsetsForTimes (demo only)"
    )
    prefix: str = Field("leap", pattern=r"^[a-zA-Z0-9_.-]+$", description="begins every topic and consumer group")
    sources: tuple[str, ...] = Field(("oulad", "events"), description="names of the source systems")
    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        4, description="partitions of the student log (at most 60,000 students each); fixed within an epoch"
    )
    source_partitions: Annotated[int, Field(ge=1)] = Field(2, description="partitions of each source topic")
    replication: Annotated[int, Field(ge=1)] = Field(1, description="replication factor of new topics")
    epoch: Annotated[int, Field(ge=0, le=32767)] = Field(1, description="rises when topics are made anew")
    policies: Path = Field(_POLICIES, description="folder of policy files, or one file")
    hash_key: SecretStr | None = Field(None, description="secret key of the hashes that tell repeats")
    hash_key_file: Path | None = Field(None, description="or a file that has the key")
    identity_key: SecretStr | None = Field(
        None, description="secret key of the hashes under which sources' own keys of persons are known"
    )
    identity_key_file: Path | None = Field(None, description="or a file that has the key")
    identity_key_before: SecretStr | None = Field(
        None, description="the key before it, while identities under it still count (docs/identities.md)"
    )
    identity_key_before_file: Path | None = Field(None, description="or a file that has the key")
    simulated_clock: bool = Field(default=False, description="time comes from the records' headers (demo, back-test)")

    metrics_host: str = Field("127.0.0.1", description="where /metrics, /live and /ready listen")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(9100, description="their port; 0 takes a free one")

    gateway_host: str = Field("127.0.0.1", description="where `leap gateway` listens; put a proxy with TLS before it")
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="its port; 0 takes a free one")
    gateway_credentials: Path | None = Field(None, description="TOML file that says who may send to which source")
    gateway_rate: Annotated[float, Field(gt=0)] = Field(
        100.0, description="requests a second that each credential may send on average"
    )
    gateway_body_bytes: Annotated[int, Field(ge=1, le=8 * 1024 * 1024)] = Field(
        4 * 1024 * 1024, description="largest body of a request"
    )
    gateway_file_bytes: Annotated[int, Field(ge=1)] = Field(256 * 1024 * 1024, description="largest file sent to it")

    session_timeout: float = Field(10.0, description="a worker silent for so long is replaced")
    rebalance_timeout: float = Field(6.0, description="how long a worker may take to give partitions back")
    heartbeat: float = Field(2.0, description="heartbeats of the consumer group")
    commit_interval: float = Field(0.5, description="between commits")
    start_timeout: float = Field(60.0, description="how long to wait for Kafka and Redis at start")
    stuck_after: float = Field(
        120.0, description="a process assigned, behind and not committing for so long ends itself"
    )
    poll_records: int | None = Field(
        None, description="cuts batches to so many records (tests); usually fetch_bytes does"
    )
    fetch_bytes: int = Field(8 * 1024 * 1024, description="bytes a partition a fetch")

    roster_patience: float = Field(
        30.0, description="how long intake waits for the roster role before it calls a student unknown"
    )
    unmatched_retry: float = Field(
        60.0, description="records of unknown persons are looked at again so often, and when identities change"
    )
    unmatched_patience: float = Field(
        14 * 86400.0, description="a record whose person is unknown for so long becomes a dead letter"
    )
    breaker_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="a source pauses when more than this share of its last records is unusable; 1: never"
    )
    breaker_records: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100, description="so many last records of a source are judged, and fewer are not (each process has its own)"
    )
    breaker_retry: Annotated[float, Field(gt=0)] = Field(
        900.0, description="a source paused for so long gets a batch through; if that is fine, the source goes on"
    )
    moodle_dates: str = Field(
        "%d/%m/%y, %H:%M", description="form of the dates in Moodle's report export, as for strptime"
    )
    least_watched: float = Field(60.0, description="seconds of a recording that are a viewing")
    remote_labs: bool = Field(default=False, description="whether remote desktop sessions are work in a PC lab")
    close_grace: float = Field(300.0, description="a day closes so long after midnight at the earliest")
    close_patience: float = Field(7200.0, description="and so long after it at the latest, naming who is behind")
    close_stagger: float = Field(60.0, description="partitions close spread over so long")
    marker_interval: float = Field(
        12 * 3600.0, description="between markers that let idle compacted partitions compact"
    )

    @field_validator("moodle_dates")
    @classmethod
    def _is_form(cls, value: str) -> str:
        """Refuse a form that no date has: every row would be unusable, or fail in the adapter."""
        try:
            datetime.strptime(datetime(2000, 1, 2, tzinfo=UTC).strftime(value), value).replace(tzinfo=UTC)
        except (ValueError, re.error) as error:
            raise ValueError("not a form of dates, as for strptime: each of %d, %m, ... once at most") from error
        return value

    @model_validator(mode="after")
    def _read_secrets(self) -> Self:
        """Read the secrets that files have."""
        for name in SECRETS:
            file: Path | None = getattr(self, f"{name}_file")
            if file is None:
                continue
            if getattr(self, name) is not None:
                raise ValueError(f"{variable(name)} and {variable(name)}_FILE: set one of them")
            try:
                secret = file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise ValueError(f"{variable(name)}_FILE: {file} cannot be read: {reason}") from error
            if not secret:
                raise ValueError(f"{variable(name)}_FILE: {file} is empty")
            setattr(self, name, SecretStr(secret))
        return self

    @model_validator(mode="after")
    def _check_identity_keys(self) -> Self:
        """Refuse a key before without a key after it: nothing would be hashed under today's."""
        if self.identity_key_before is not None and self.identity_key is None:
            raise ValueError("LEAP_IDENTITY_KEY_BEFORE is set, but LEAP_IDENTITY_KEY is not")
        return self

    @model_validator(mode="after")
    def _check_kafka(self) -> Self:
        """Refuse what would be left unused: who sets a CA or a password believes that it protects."""
        sasl, tls = self.kafka_security.startswith("sasl"), self.kafka_security.endswith("ssl")
        for name in ("kafka_user", "kafka_password"):
            if sasl and getattr(self, name) is None:
                raise ValueError(f"{variable(name)} is not set, and LEAP_KAFKA_SECURITY={self.kafka_security} needs it")
            if not sasl and getattr(self, name) is not None:
                raise ValueError(f"{variable(name)} is set, but LEAP_KAFKA_SECURITY={self.kafka_security} has no users")
        for name in ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file"):
            if not tls and getattr(self, name) is not None:
                raise ValueError(f"{variable(name)} is set, but LEAP_KAFKA_SECURITY={self.kafka_security} has no TLS")
        if self.kafka_key_file is not None and self.kafka_certificate_file is None:
            raise ValueError("LEAP_KAFKA_KEY_FILE is set, but LEAP_KAFKA_CERTIFICATE_FILE is not")
        if tls:
            client_context("LEAP_KAFKA", self.kafka_ca_file, self.kafka_certificate_file, self.kafka_key_file)
        return self

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        """Take user and password out of the URL, which is printed; refuse a URL that weakens TLS."""
        url = urlsplit(self.redis)
        if url.password is not None or url.username:
            if self.redis_user is not None or self.redis_password is not None:
                raise ValueError("LEAP_REDIS has a user or a password, and so have LEAP_REDIS_USER or _PASSWORD")
            self.redis = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
            self.redis_user = unquote(url.username) if url.username else None
            self.redis_password = SecretStr(unquote(url.password)) if url.password else None
        for name, _ in parse_qsl(url.query, keep_blank_values=True):
            if name.startswith("ssl_") or name in {"username", "password"}:
                raise ValueError(f"LEAP_REDIS: {name} does not belong into the URL; see docs/security.md")
        if self.redis_user is not None and self.redis_password is None:
            raise ValueError("LEAP_REDIS_USER is set, but LEAP_REDIS_PASSWORD is not")
        if url.scheme == "rediss":
            client_context("LEAP_REDIS", self.redis_ca_file)
        elif self.redis_ca_file is not None:
            raise ValueError("LEAP_REDIS_CA_FILE is set, but LEAP_REDIS is no rediss:// URL, so there is no TLS")
        return self

    @property
    def fetch_wait(self) -> float:
        """How long a fetch may wait at the broker; the embedded one does not answer earlier when data comes."""
        return 0.5 if self.profile == "apache" else 0.02

    @property
    def topics(self) -> Topics:
        """The topics of this installation."""
        return Topics(self.prefix, self.sources)

    def group(self, role: Role | Literal["waiting-room"]) -> str:
        """Return the consumer group of a role, or of the waiting room, which is a part of intake."""
        return f"{self.prefix}.{role}"

    @property
    def bootstrap(self) -> list[str]:
        """The bootstrap servers."""
        return [server.strip() for server in self.kafka.split(",") if server.strip()]
