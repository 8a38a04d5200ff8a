"""The institution's rules: ``policy/<version>.toml``, read and checked at start. All versions stay in the folder.

A policy says what an activity weighs, what fills it on a day, where the bands lie, when teaching takes place and when a
person is asked to look. Each day scores under the policy in force on it, so an old rating can always be worked out
again.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.activities import Activity


class PolicyError(Exception):
    """A policy file cannot be used; the message names the file, the place in it and the reason."""


PolicyDay = Annotated[date, Field(ge=date(1990, 1, 1))]
"""No civil day is laid out before."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Header(_Part):
    """Who answers for the policy, from when it holds, and over how many days a rating looks."""

    version: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    owner: Annotated[str, Field(min_length=1)]
    effective_from: PolicyDay
    zone: str
    window_days: Annotated[int, Field(ge=1, le=28)] = 7
    part_time_window_days: Annotated[int, Field(ge=1, le=56)] | None = None
    statement: str = ""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            msg = f"unknown time zone {value!r}"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _part_time_looks_further(self) -> Self:
        if self.part_time_window_days is not None and self.part_time_window_days < self.window_days:
            msg = (
                f"part_time_window_days ({self.part_time_window_days}) is shorter than window_days ({self.window_days})"
            )
            raise ValueError(msg)
        return self


class Indicator(_Part):
    """One activity: its weight in the rating (none: counted and shown only) and a day's count that fills it."""

    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    target: Annotated[int, Field(ge=1, le=65535)] = 1


class Bands(_Part):
    """The lowest score of each band; below ``low`` is very low."""

    high: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    good: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    partial: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    low: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if not self.high > self.good > self.partial > self.low:
            msg = f"bands must fall: high {self.high} > good {self.good} > partial {self.partial} > low {self.low}"
            raise ValueError(msg)
        return self


class Days(_Part):
    """A range of days, both included."""

    first: PolicyDay
    last: PolicyDay

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first:
            msg = f"ends ({self.last}) before it begins ({self.first})"
            raise ValueError(msg)
        return self


class Term(Days):
    """A teaching term.

    Days outside every term are vacation: still rated, but alerts pause and idle days do not count.
    """

    name: Annotated[str, Field(min_length=1)]


class Off(Days):
    """An activity switched off for some days.

    ``lowers``: everyone's rating is lower; ``leaves``: it leaves the sum of weights.
    """

    activity: Activity
    effect: Literal["lowers", "leaves"]


class NoActivity(_Part):
    """Alert after so many countable, unpaused days without any activity (weighted or not): up to four steps."""

    days: Annotated[tuple[Annotated[int, Field(ge=1, le=365)], ...], Field(min_length=1, max_length=4)]

    @field_validator("days")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            msg = f"steps must rise: {list(value)}"
            raise ValueError(msg)
        return value


class LowEngagement(_Part):
    """Alert at the first close of a spell at this band or below."""

    at_or_below: Literal["very_low", "low", "partial"] = "low"


class Alerts(_Part):
    """The alert rules; one that is left out is not evaluated.

    ``max_hold_days``: how long a stale feed may hold alerts.
    """

    no_activity: NoActivity | None = None
    low_engagement: LowEngagement | None = None
    max_hold_days: Annotated[int, Field(ge=0, le=60)] = 3


class Feed(_Part):
    """A source: how long it may be silent before it counts as stale, and whether that holds alerts."""

    expected_delay_hours: Annotated[float, Field(gt=0, le=24 * 60, allow_inf_nan=False)]
    blocks_alerts: bool = False


class Policy(_Part):
    """One policy file."""

    policy: Header
    activities: dict[Activity, Indicator]
    bands: Bands
    terms: tuple[Term, ...] = ()
    off: tuple[Off, ...] = ()
    alerts: Alerts = Alerts()
    feeds: dict[str, Feed] = {}

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if not any(indicator.weight for indicator in self.activities.values()):
            msg = "no activity has a weight: nothing could be rated"
            raise ValueError(msg)
        return self

    @property
    def version(self) -> str:
        """The policy's version."""
        return self.policy.version

    @property
    def checksum(self) -> str:
        """16 hex digits over all that decides; comments and layout of the file do not matter."""
        canonical = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:16]


class PolicySet:
    """All policies, in the order of the day from which they hold.

    Raises:
        PolicyError: none at all, two of one version or one day, or more than one zone or window.
    """

    def __init__(self, policies: Iterable[Policy], place: str = "policies") -> None:
        """Check that the policies fit together; ``place`` names them in errors."""
        self.policies: Sequence[Policy] = sorted(policies, key=lambda p: p.policy.effective_from)
        if not self.policies:
            msg = f"{place}: no policy found; put a file such as 2026.1.toml there"
            raise PolicyError(msg)
        seen: dict[object, str] = {}
        for policy in self.policies:
            for what in (policy.version, policy.policy.effective_from):
                if what in seen:
                    msg = f"{place}: policies {seen[what]} and {policy.version} share {what}"
                    raise PolicyError(msg)
                seen[what] = policy.version
        for name in ("zone", "window_days", "part_time_window_days"):
            values = {getattr(p.policy, name) for p in self.policies}
            if len(values) > 1:
                msg = f"{place}: all policies must share {name}; found {sorted(values, key=str)}"
                raise PolicyError(msg)

    @property
    def zone(self) -> str:
        """The institution's time zone."""
        return self.policies[0].policy.zone

    @property
    def window(self) -> int:
        """Days of the full-time window."""
        return self.policies[0].policy.window_days

    @property
    def longest(self) -> int:
        """Days of the longest window (part-time students)."""
        return self.policies[0].policy.part_time_window_days or self.window

    def on(self, day: date) -> Policy:
        """Return the policy in force on a day.

        Raises:
            PolicyError: the day is before every policy.
        """
        found = None
        for policy in self.policies:
            if policy.policy.effective_from <= day:
                found = policy
        if found is None:
            first = self.policies[0]
            msg = f"no policy is in force on {day}: the first, {first.version}, begins on {first.policy.effective_from}"
            raise PolicyError(msg)
        return found

    def __getitem__(self, version: str) -> Policy:
        """Return the policy of a version; KeyError when there is none."""
        for policy in self.policies:
            if policy.version == version:
                return policy
        raise KeyError(version)


def read_policy(path: Path) -> Policy:
    """Read one policy file.

    Raises:
        PolicyError: it cannot be read, is not TOML or breaks a rule; all broken rules are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise PolicyError(msg) from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError and not TOMLDecodeError alone: tomllib lets through what int() says of a number too long.
        msg = f"{path}: not TOML: {error}"
        raise PolicyError(msg) from error
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        lines = [f"{path}: {_place(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise PolicyError("\n".join(lines)) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]") or "file"


def read_policies(folder: Path) -> PolicySet:
    """Read a folder of policies, or one file.

    Raises:
        PolicyError: a file cannot be used, or they do not fit together.
    """
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else [folder]
    return PolicySet([read_policy(path) for path in files], str(folder))
