"""Every setting of every process, from the environment (``LEAP_...``) or a file named by ``LEAP_ENV_FILE``."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import Topics

Role = Literal["roster", "intake", "engagement", "clock", "readmodel"]
_POLICIES = Path(__file__).resolve().parent.parent / "policy"

ROLES: tuple[Role, ...] = ("roster", "intake", "engagement", "clock", "readmodel")


class Settings(BaseSettings):
    """Settings, checked at start. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="LEAP_",
        env_file=os.environ.get("LEAP_ENV_FILE"),
        env_ignore_empty=True,  # or an empty LEAP_HASH_KEY would count as a key
        extra="ignore",
    )

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, comma-separated")
    redis: str = Field("redis://127.0.0.1:6379/0", description="URL of Redis or Valkey")
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
    simulated_clock: bool = Field(default=False, description="time comes from the records' headers (demo, back-test)")

    metrics_host: str = Field("127.0.0.1", description="where /metrics, /live and /ready listen")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(9100, description="their port; 0 takes a free one")

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
    fetch_bytes: int = Field(4 * 1024 * 1024, description="bytes a partition a fetch")

    roster_patience: float = Field(
        30.0, description="how long intake waits for the roster role before it calls a student unknown"
    )
    close_grace: float = Field(300.0, description="a day closes so long after midnight at the earliest")
    close_patience: float = Field(7200.0, description="and so long after it at the latest, naming who is behind")
    close_stagger: float = Field(60.0, description="partitions close spread over so long")
    marker_interval: float = Field(
        12 * 3600.0, description="between markers that let idle compacted partitions compact"
    )

    @property
    def fetch_wait(self) -> float:
        """How long a fetch may wait at the broker; the embedded one does not answer earlier when data comes."""
        return 0.5 if self.profile == "apache" else 0.02

    @property
    def topics(self) -> Topics:
        """The topics of this installation."""
        return Topics(self.prefix, self.sources)

    def group(self, role: Role) -> str:
        """Return the consumer group of a role."""
        return f"{self.prefix}.{role}"

    @property
    def bootstrap(self) -> list[str]:
        """The bootstrap servers."""
        return [server.strip() for server in self.kafka.split(",") if server.strip()]
