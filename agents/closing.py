"""The close of days: everybody's day is said, windows move on, ratings settle, and alerts open and end."""

from typing import Any

import numpy as np

from agents.draft import Draft
from schemas.state import Row
from windows import daily, roster
from windows.sliding import View

MOST_DAYS = 5 * 366
"""Days that may close at once: a partition of 60,000 students takes a minute for them."""
TOO_FAR = f"{{}}: more than {MOST_DAYS} days after the last closed day"


def close_through(
    draft: Draft,
    through: int,
    *,
    cause: str,
    offset: int,
    at: float,
    trigger: int | None = None,
    behind: tuple[str, ...] = (),
) -> None:
    """Close every day up to ``through``, in order, as one step of the log.

    Each student gets at most one rating record for it, and alerts open for the last day only: what one log record
    causes has one version, and a version is said once. The ``trigger``'s rating is left to the activity itself.
    """
    version = draft.version(offset)
    # Rows that a worker wrote before it died on a batch with this very close are beyond it: by their version if it
    # changed them, by their anchor if it merely passed.
    due = (draft.rows["version"] < version) & (draft.rows["anchor"] <= draft.meta.anchor)
    everyone = np.flatnonzero(draft.table["alive"] & due)
    rows, table, absences = draft.some(everyone)
    touched = np.zeros(len(everyone), bool)
    for day in range(draft.meta.anchor + 1, through + 1):
        last = day == through
        anchor = draft.meta.anchor
        policy = draft.rules.policy(day)
        draft.meta.policies[policy.version] = policy.checksum
        active = rows["counts"][:, draft.window].any(axis=1)
        if active.any():
            scores = View(draft.rules, rows[active], table[active], _pick(absences, active), anchor)
            for j, i in enumerate(np.flatnonzero(active).tolist()):
                draft.say_day(
                    int(everyone[i]),
                    day,
                    rows["counts"][i, draft.window],
                    scores.scores[j, day - scores.days.start],
                    version,
                )
        daily.advance(rows, draft.rules, draft.window, anchor, day)
        draft.meta.anchor, draft.meta.closed = day, True
        before = rows.copy()
        settled = draft.settle(rows, table, absences, version=version, at=at, official=True)
        if not last:
            _restore(rows, before, np.ones(len(rows), bool))
        elif trigger is not None:
            _restore(rows, before, everyone == trigger)
        may_open = last and cause == "clock" and not _held(draft, day)
        spells = draft.evaluate(rows, table, absences, may_open=may_open)
        touched |= active | (_bytes(rows) != _bytes(before)).any(axis=1)
        rows["version"] = np.where(touched, version, rows["version"])
        if last:
            if trigger is not None:
                settled.changed[everyone == trigger] = False
            draft.say_ratings(everyone, rows, table, settled, cause="close")
        draft.say_alerts(everyone, rows, table, settled.view, spells, ending="closed")
        draft.effects.closed.append(day)
        draft.effects.days.append(draft.writer.closed(day, policy.version, cause, version, draft.stale, behind))
    draft.rows[everyone] = rows
    draft.touched[everyone] |= touched


def _held(draft: Draft, day: int) -> bool:
    """Say whether a stale feed that blocks alerts holds them at the close of a day (up to the policy's maximum)."""
    policy = draft.rules.policy(day)
    for feed, since in draft.meta.stale.items():
        known = policy.feeds.get(feed)
        if known is not None and known.blocks_alerts and day - since < policy.alerts.max_hold_days:
            return True
    return False


def _restore(rows: Row, before: Row, where: Any) -> None:
    """Take the live rating of some rows back to what it was."""
    for name in ("rating", "reason", "score", "window_end", "since", "since_at"):
        rows[name] = np.where(where, before[name], rows[name])


def _bytes(rows: Row) -> Any:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _pick(absences: roster.Absences, chosen: Any) -> roster.Absences:
    return [absences[i] for i in np.flatnonzero(chosen).tolist()]
