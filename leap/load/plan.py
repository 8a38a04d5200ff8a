"""What a run does: its scenario and its size."""

from dataclasses import dataclass
from typing import Literal

from leap.load.schedule import Phase, Schedule

Scenario = Literal["steady", "burst", "backlog", "close", "weeks"]

BURST = 20.0
_BURST_SHARE = 1 / 20
MIDNIGHT = 0.4
"""The share of a run of `close` after which it is midnight."""


@dataclass(frozen=True)
class Plan:
    """One run. ``pace``: seconds that a day of `weeks` takes."""

    scenario: Scenario
    rate: float
    students: int
    minutes: float
    backlog: int = 0
    weeks: int = 0
    pace: float = 0.0
    even: bool = False

    @property
    def seconds(self) -> float:
        """How long events are sent."""
        return self.weeks * 7 * self.pace if self.scenario == "weeks" else self.minutes * 60.0

    @property
    def simulated(self) -> bool:
        """Whether the run decides what time it is, because days must close in it."""
        return self.scenario in {"close", "weeks"}

    @property
    def own(self) -> bool:
        """Whether the run must start and stop roles, or be their clock, and so needs an installation of its own."""
        return self.simulated or self.scenario == "backlog"

    @property
    def schedule(self) -> Schedule:
        """When events are sent: at the rate; in `burst` at 20 times the rate for a twentieth of the time, half-way."""
        if self.scenario != "burst":
            return Schedule([Phase(self.seconds, self.rate)], even=self.even)
        burst = self.seconds * _BURST_SHARE
        around = (self.seconds - burst) / 2
        phases = [Phase(around, self.rate), Phase(burst, BURST * self.rate), Phase(around, self.rate)]
        return Schedule(phases, even=self.even)
