"""Looks at every process once a second: what its /metrics say, and what the system says of broker and Redis."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from leap.measure import Samples, scrape, total

_NAMES = (
    "leap_activities_total",
    "leap_dead_letters_total",
    "leap_lag_records",
    "leap_ready",
    "leap_students",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)
OUTCOMES = ("counted", "repeated", "fenced")


@dataclass
class Look:
    """What was seen at one moment: lag a role; memory and CPU time used so far, a process."""

    lag: dict[str, int] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


class Watch:
    """Every process of an installation, and this one (``generator``).

    ``urls``: the /metrics of the roles. ``broker``: its process, if it is one of this machine that we know.
    """

    def __init__(self, urls: Sequence[str], redis: "Redis", broker: psutil.Process | None = None) -> None:
        """Take what to look at; nothing is asked yet."""
        self._urls = urls
        self._redis = redis
        self._own = {"generator": psutil.Process()} | ({} if broker is None else {"broker": broker})
        self._samples: dict[str, Samples] = {}
        self._roles: dict[str, str] = {}
        self._ended: dict[tuple[str, str], float] = {}
        self.restarts = 0
        """How often a role was found to be another process than before."""

    async def look(self) -> Look:
        """Ask everybody; who does not answer is left out."""
        await asyncio.gather(*(self._scrape(url) for url in self._urls))
        seen = Look()
        for url, role in self._roles.items():
            samples = self._samples[url]
            same = sum(name.partition("-")[0] == role for name in seen.rss_mb)
            name = f"{role}-{same + 1}" if same else role
            seen.rss_mb[name] = total(samples, "process_resident_memory_bytes") / 1e6
            seen.cpu_seconds[name] = total(samples, "process_cpu_seconds_total")
            if any(sample == "leap_lag_records" for sample, _ in samples):
                seen.lag[role] = seen.lag.get(role, 0) + int(total(samples, "leap_lag_records"))
        with contextlib.suppress(RedisError, OSError):
            info = await self._redis.info()
            seen.rss_mb["redis"] = info["used_memory_rss"] / 1e6
            seen.cpu_seconds["redis"] = info["used_cpu_sys"] + info["used_cpu_user"]
        for name, process in self._own.items():
            with contextlib.suppress(psutil.Error):
                seen.rss_mb[name] = process.memory_info().rss / 1e6
                used = process.cpu_times()
                seen.cpu_seconds[name] = used.user + used.system
        return seen

    def roles(self) -> set[str]:
        """Return the roles that have answered."""
        return set(self._roles.values())

    def students(self) -> int:
        """Return how many students engagement knows."""
        return int(sum(total(samples, "leap_students") for samples in self._samples.values()))

    def activities(self) -> dict[str, int]:
        """Return how many activities engagement has dealt with, by outcome."""
        return {outcome: self._sum("leap_activities_total", outcome=outcome) for outcome in OUTCOMES}

    def dead_letters(self) -> int:
        """Return how many records are in the dead letters."""
        return self._sum("leap_dead_letters_total")

    def _sum(self, name: str, **labels: str) -> int:
        """Return a counter over all processes, with what those had that have ended since."""
        return int(
            sum(total(samples, name, **labels) for samples in self._samples.values())
            + self._ended.get((name, labels.get("outcome", "")), 0.0)
        )

    async def _scrape(self, url: str) -> None:
        with contextlib.suppress(OSError):
            samples = await asyncio.to_thread(scrape, url, _NAMES)
            before = self._samples.get(url, {})
            if before and _started(before) != _started(samples):
                self.restarts += 1
                for outcome in OUTCOMES:
                    self._end("leap_activities_total", outcome, total(before, "leap_activities_total", outcome=outcome))
                self._end("leap_dead_letters_total", "", total(before, "leap_dead_letters_total"))
            self._samples[url] = samples
            # A process that has just started does not say yet which role it is.
            if (role := role_of(samples)) is not None:
                self._roles[url] = role

    def _end(self, name: str, outcome: str, value: float) -> None:
        self._ended[name, outcome] = self._ended.get((name, outcome), 0.0) + value


def role_of(samples: Samples) -> str | None:
    """Return the role of a process, as its metrics name it; None if they do not yet."""
    return next((dict(labels)["role"] for name, labels in samples if name == "leap_ready"), None)


def _started(samples: Samples) -> float:
    return total(samples, "process_start_time_seconds")
