"""The alert rules ``no_activity`` and ``low_engagement``: when a spell opens, ends, or loses its reason.

An alert is something for a person to look at. It opens only at a close, for the closed day::

    no_activity, 7 days        1    2    3    4    5    6    7  | 8    9   10
    activity                   .    .    .    .    .    .    .  | .    x    .
    close of day ------------------------------------------> 7: opened   9: closed     (the day after, once a spell)

* ``no_activity``: so many days without any activity at all, weighted or not, not counting vacation, agreed absence and
  days outside enrolment. Each step (7, 14, ...) is an alert of its own.
* ``low_engagement``: the official rating of the day is at the policy's band or below.
* An alert never rests on days nobody watched: idle days and the window begin with the first observed day.
* A pause (vacation, agreed absence, a close whose alerts are held) opens nothing, and closes nothing that still stands.
* A close that removes the reason closes the alert; corrected data (a late activity, a roster change) supersedes it.
"""

from typing import NamedTuple

import numpy as np

from schemas.outputs import BANDS
from schemas.policy import Policy
from schemas.state import NEVER, SPELLS, Row
from windows.civil import Ints
from windows.roster import Absences, Table, away, idle_days
from windows.scoring import Bools, Rules

STEPS = SPELLS - 1
LOW_ENGAGEMENT = STEPS


class Spells(NamedTuple):
    """What changed, (rows, spells) each: opened now, and ended with the day each ended one had opened for."""

    opened: Bools
    ended: Bools
    opened_for: Ints
    idle: Ints


def evaluate(rows: Row, table: Table, absences: Absences, rules: Rules, begun: int, *, may_open: bool) -> Spells:
    """Judge rows (all of one anchor) by its policy and update their spells in place.

    ``may_open``: a close, not held.
    """
    anchor = int(rows["anchor"][0]) if len(rows) else 0
    policy = rules.policy(anchor)
    rated = rows["closed_rating"] >= 0
    idle = idle_days(rules, table, absences, rows["last_active"], begun, anchor)
    holds = _holds(policy, rated, idle, rows["closed_rating"])
    is_open = rows["spells"] != NEVER
    paused = away(table, absences, anchor)
    if not may_open or not rules.teaching(anchor):
        paused[:] = True
    opened = holds & ~is_open & ~paused[:, None]
    opened[:, LOW_ENGAGEMENT] &= _watched(rules, table, anchor, begun)
    ended = is_open & ~holds
    opened_for = rows["spells"].copy()
    spells = rows["spells"].copy()
    spells[opened] = anchor
    spells[ended] = NEVER
    rows["spells"] = spells
    return Spells(opened, ended, opened_for, idle)


def _holds(policy: Policy, rated: Bools, idle: Ints, closed_rating: Ints) -> Bools:
    holds = np.zeros((len(rated), SPELLS), bool)
    if policy.alerts.no_activity is not None:
        for step, days in enumerate(policy.alerts.no_activity.days):
            holds[:, step] = rated & (idle >= days)
    if policy.alerts.low_engagement is not None:
        worst = BANDS.index(policy.alerts.low_engagement.at_or_below)
        holds[:, LOW_ENGAGEMENT] = rated & (closed_rating <= worst)
    return holds


def _watched(rules: Rules, table: Table, anchor: int, begun: int) -> Bools:
    length = np.where(table["part_time"], rules.policies.longest, rules.policies.window)
    result: Bools = np.maximum(table["first"], anchor - length + 1) > begun
    return result


def name(spell: int, opened_for: str) -> str:
    """Return the alert's id: the rule and the day it opened for (unique for a student)."""
    if spell == LOW_ENGAGEMENT:
        return f"low_engagement.{opened_for}"
    return f"no_activity_{spell + 1}.{opened_for}"
