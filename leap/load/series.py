"""What happened second by second, and what it comes to."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from leap.load.watch import Look
from leap.measure import quantile


@dataclass
class Second:
    """One second of a run. Counts are of this second; ``cpu`` is the share of one core, ``lag`` records a role."""

    second: int
    sent: int
    counted: int
    lag: dict[str, int]
    rss_mb: dict[str, float]
    cpu: dict[str, float]
    p50_ms: float | None = None
    p99_ms: float | None = None

    def row(self) -> dict[str, Any]:
        """Return it as flat columns (``lag_intake``, ``rss_mb_redis``, ...)."""
        flat: dict[str, Any] = {"second": self.second, "sent": self.sent, "counted": self.counted}
        flat |= {"p50_ms": _rounded(self.p50_ms), "p99_ms": _rounded(self.p99_ms)}
        flat |= {f"lag_{role}": records for role, records in self.lag.items()}
        flat |= {f"rss_mb_{name}": round(value, 1) for name, value in self.rss_mb.items()}
        return flat | {f"cpu_{name}": round(value, 3) for name, value in self.cpu.items()}


@dataclass
class Series:
    """All seconds of a run, and what happened at some of them (second, what)."""

    seconds: list[Second] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    _last: tuple[float, int, int, Look] | None = None

    def add(self, at: float, sent: int, counted: int, look: Look) -> None:
        """Take what was seen ``at`` seconds after the start; ``sent`` and ``counted`` are totals since then."""
        before, self._last = self._last, (at, sent, counted, look)
        if before is None:
            return
        was_at, was_sent, was_counted, was = before
        self.seconds.append(
            Second(
                second=round(was_at),
                sent=sent - was_sent,
                counted=counted - was_counted,
                lag=look.lag,
                rss_mb=look.rss_mb,
                cpu={
                    name: max(0.0, used - was.cpu_seconds[name]) / (at - was_at)
                    for name, used in look.cpu_seconds.items()
                    if name in was.cpu_seconds
                },
            )
        )

    def place(self, latencies: Mapping[int, Sequence[float]]) -> None:
        """Put latencies (milliseconds) at the seconds in which their events were to be sent."""
        for second in self.seconds:
            values = latencies.get(second.second, ())
            if values:
                second.p50_ms, second.p99_ms = quantile(0.5, values), quantile(0.99, values)

    def write(self, path: Path) -> None:
        """Write CSV, or a JSON document a line if the name ends in .jsonl."""
        rows = [second.row() for second in self.seconds]
        if path.suffix == ".jsonl":
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
            return
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)

    def lag_max(self) -> dict[str, int]:
        """Return the highest lag of each role."""
        roles = dict.fromkeys(role for second in self.seconds for role in second.lag)
        return {role: max(second.lag.get(role, 0) for second in self.seconds) for role in roles}

    def cpu_share(self) -> dict[str, float]:
        """Return the mean share of a core of each process."""
        return {name: round(float(np.mean(values)), 3) for name, (_, values) in self._by_name("cpu").items()}

    def memory(self, *, per: float, skip: float) -> dict[str, dict[str, float]]:
        """Return memory (MB) of each process: first, last, and by how many percent it rises ``per`` seconds.

        ``skip``: the first so many seconds do not count for the slope: caches fill and pools grow.
        """
        return {
            name: {
                "start": round(values[0], 1),
                "end": round(values[-1], 1),
                "slope_percent": round(slope(at, values, per=per, skip=skip), 2),
            }
            for name, (at, values) in self._by_name("rss_mb").items()
        }

    def _by_name(self, what: str) -> dict[str, tuple[list[float], list[float]]]:
        found: dict[str, tuple[list[float], list[float]]] = {}
        for second in self.seconds:
            for name, value in getattr(second, what).items():
                at, values = found.setdefault(name, ([], []))
                at.append(float(second.second))
                values.append(value)
        return found


def slope(at: Sequence[float], values: Sequence[float], *, per: float, skip: float = 0.0) -> float:
    """Return by how many percent of its mean a value rises ``per`` seconds, by least squares, from ``skip`` on.

    >>> round(slope([0.0, 1.0, 2.0], [99.0, 100.0, 101.0], per=10), 6)
    10.0
    """
    later = np.array(at) >= skip
    x, y = np.array(at)[later], np.array(values)[later]
    if len(x) < 2 or not y.any():
        return 0.0
    return float(np.polyfit(x - x[0], y, 1)[0] * per / y.mean() * 100.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
