"""Activities of the log: counted at once, and record by record where a rating changes or a closed day is restated."""

from typing import Any, NamedTuple, cast

import numpy as np

from agents import closing
from agents.draft import Draft
from schemas import log
from schemas.activities import CODES
from windows import attendance, daily
from windows.daily import OPEN_DAYS
from windows.sliding import View

_AHEAD = 24 * 3600.0
"""Seconds by which an activity may be ahead of the broker's clock (intake allows 300, but brokers' clocks differ)."""


class Activities(NamedTuple):
    """Activities in columns, in log order; ``g`` are rows of the draft."""

    offset: Any
    g: Any
    day: Any
    activity: Any
    count: Any
    once: Any
    attendance: Any
    recorded_at: Any
    taken_at: Any
    behind: Any

    def only(self, chosen: Any) -> "Activities":
        """Return some of them; ``chosen`` says of each whether it is one."""
        if chosen.all():
            return self
        return Activities(*(column[chosen] for column in self))

    def part(self, start: int, stop: int) -> "Activities":
        """Return those from ``start`` to before ``stop``."""
        return Activities(*(column[start:stop] for column in self))


def count(draft: Draft, run: slice) -> None:
    """Take a run of activities: fenced, judged one by one, then counted in the order of the log."""
    records = cast("list[log.ActivityRecord]", draft.records[run])
    n = len(records)
    local, offset = draft.local[run], draft.offsets[run]
    already = len(draft.effects.rejected)
    fresh = draft.past_fence(run, [r.position for r in records])
    draft.effects.fenced += n - int(fresh.sum()) - (len(draft.effects.rejected) - already)
    known = local >= 0
    # A row written by a worker that died may know a student whom the log, up to this record, did not.
    rows = local[known]
    known[known] = draft.table["alive"][rows] & (draft.rows["enrolled"][rows] <= (offset[known] | draft.version(0)))
    for i in np.flatnonzero(fresh & ~known):
        draft.reject(int(offset[i]), "unknown student")
    ahead = draft.at[run] > draft.appended[run] + _AHEAD
    for i in np.flatnonzero(fresh & known & ahead):
        draft.reject(int(offset[i]), "at: in the future")
    known &= ~ahead
    # A row's own fence: its changelog was delivered by a worker that died before the partition's row was.
    behind = np.zeros(n, bool)
    behind[known] = draft.rows["version"][local[known]] >= (offset[known] | draft.version(0))
    events = Activities(
        offset,
        local,
        draft.context.civil.days_of(draft.at[run]),
        np.fromiter([CODES[r.activity] for r in records], np.int64, n),
        np.fromiter([r.count for r in records], np.int64, n),
        np.fromiter([-1 if r.once is None else r.once for r in records], np.int64, n),
        np.fromiter([-1 if r.attendance is None else r.attendance for r in records], np.int64, n),
        recorded_at := np.fromiter([r.recorded_at for r in records], np.float64, n),
        recorded_at
        if records[0].taken_at is None
        else np.array([r.recorded_at if r.taken_at is None else r.taken_at for r in records]),
        behind,
    )
    _in_order(draft, events.only(fresh & known))


def _in_order(draft: Draft, events: Activities) -> None:
    """Count, closing missing days first wherever an activity lies beyond the open days."""
    start, n = 0, len(events.g)
    while start < n:
        beyond = np.flatnonzero(events.day[start:] > draft.meta.anchor + OPEN_DAYS)
        stop = start + int(beyond[0]) if len(beyond) else n
        _count(draft, events.part(start, stop))
        if stop < n and events.day[stop] - OPEN_DAYS - draft.meta.anchor > closing.MOST_DAYS:
            draft.reject(int(events.offset[stop]), closing.TOO_FAR.format("at"))
            start = stop + 1
            continue
        if stop < n:
            closing.close_through(
                draft,
                int(events.day[stop]) - OPEN_DAYS,
                cause="outage",
                offset=int(events.offset[stop]),
                at=float(events.recorded_at[stop]),
                trigger=int(events.g[stop]),
            )
        start = stop
        if stop < n:
            # The activity that made the days close is counted at least on its own, so that this loop ends.
            _count(draft, events.part(stop, stop + 1))
            start = stop + 1


def _repeats(draft: Draft, events: Activities) -> Any:
    """Say which activities count nothing: repeats, what was taken back, and more evidence of an attendance.

    The others are remembered, and all evidence (only days of the window are).
    """
    repeated = np.zeros(len(events.g), bool)
    named = (events.once >= 0) & (events.day >= draft.oldest_day)
    attends = named & (events.attendance >= 0)
    alone = np.flatnonzero(named & ~attends)
    if len(alone):
        repeated[alone] = _seen(draft, events, alone)
        _remember(draft, events, alone[~repeated[alone]])
    for day in np.unique(events.day[attends]).tolist():
        _attend(draft, events, np.flatnonzero(attends & (events.day == day)), day, repeated)
    return repeated


def _seen(draft: Draft, events: Activities, at: Any) -> Any:
    """Say of the activities ``at`` whether they were counted before, or taken back; by once-key and day."""
    order = np.argsort(events.once[at], kind="stable")
    days, keys = events.day[at][order], events.once[at][order]
    again = draft.partition.once.seen(days, keys) | draft.once.seen(days, keys)
    again |= draft.partition.once.taken_back(days, keys) | draft.once.taken_back(days, keys)
    same = keys[1:] == keys[:-1]
    if same.any():
        again |= _repeated(days, keys)
    result = np.zeros(len(at), bool)
    result[order] = again
    return result


def _remember(draft: Draft, events: Activities, at: Any) -> None:
    for day in np.unique(events.day[at]).tolist():
        mine = at[events.day[at] == day]
        draft.remember_keys(day, int(events.offset[mine[0]]), int(events.offset[mine[-1]]), events.once[mine])


def _attend(draft: Draft, events: Activities, at: Any, day: int, repeated: Any) -> None:
    """Take evidence of attendance on one day; what does not begin an attendance is ``repeated``."""
    known = draft.evidence_held(day, events.attendance[at])
    columns = (events.attendance, events.once, events.offset, events.activity)
    new: list[tuple[int, int, int]] = []
    for i, key, piece, offset, activity in zip(at.tolist(), *(c[at].tolist() for c in columns), strict=True):
        place, pieces = attendance.order(offset, activity), known.get(key)
        if pieces is None:
            known[key] = [(place, piece)]
        elif piece in {held for _, held in pieces}:
            repeated[i] = True
            continue
        else:
            before = attendance.counts_as(pieces)
            pieces.append((place, piece))
            repeated[i] = attendance.counts_as(pieces) == before
        new.append((key, place, piece))
    draft.hold_evidence(day, new)


def _count(draft: Draft, events: Activities) -> None:
    if not len(events.g):
        return
    # What is already in its row is not counted again, but its key may not have been written, and it stands in the
    # order in which repeats are told.
    repeated = _repeats(draft, events)
    draft.effects.fenced += int(events.behind.sum())
    draft.effects.repeated += int((repeated & ~events.behind).sum())
    events = events.only(~(repeated | events.behind))
    if not len(events.g):
        return
    draft.effects.activities += len(events.g)
    anchor = draft.meta.anchor
    touched, li = np.unique(events.g, return_inverse=True)
    slot = events.day - (anchor - draft.window + 1)
    open_day = events.day > anchor
    rows, table, absences = draft.some(touched)
    daily.add(rows, li[open_day], slot[open_day], events.activity[open_day], events.count[open_day])
    settled = draft.settle(rows, table, absences, version=0, at=0.0)
    stepwise = settled.changed.copy()
    stepwise[li[~open_day]] = True
    last = np.zeros(len(touched), np.int64)
    last[li] = events.offset
    rows["version"] = last | draft.version(0)
    rows["recorded_at"][li] = events.taken_at
    draft.touched[touched] = True
    quiet = ~stepwise
    draft.rows[touched[quiet]] = rows[quiet]
    if stepwise.any():
        _step(draft, events.only(stepwise[li]))


def _step(draft: Draft, events: Activities) -> None:
    """Work out some rows record by record.

    The k-th record of each row in round k, so that every round is vectorised.
    """
    order = np.argsort(events.g, kind="stable")
    g = events.g[order]
    first = np.flatnonzero(np.concatenate([[True], g[1:] != g[:-1]]))
    rank = np.empty(len(g), np.int64)
    rank[order] = np.arange(len(g)) - np.repeat(first, np.diff(np.append(first, len(g))))
    for k in range(int(rank.max()) + 1):
        chosen = events.only(rank == k)
        on_time = chosen.day > draft.meta.anchor
        count_each(draft, chosen.only(on_time), "activity")
        late = chosen.only(~on_time)
        count_each(draft, late, "late_activity")
        draft.effects.late += len(late.g)


def count_each(draft: Draft, events: Activities, cause: str, instead: int | None = None) -> None:
    """Count an activity each of some rows: on open days all of them, or all on closed ones.

    A ``correction`` has a count below zero; ``instead`` is the activity that the attendance counts as from now on.
    """
    if not len(events.g):
        return
    late = bool(events.day[0] <= draft.meta.anchor)
    anchor = draft.meta.anchor
    rows, table, absences = draft.some(events.g)
    slot = events.day - (anchor - draft.window + 1)
    inside = slot >= 0
    at, where = np.flatnonzero(inside), slot[inside]
    versions = events.offset | draft.version(0)
    old = View(draft.rules, rows, table, absences, anchor) if late else None
    old_counts = rows["counts"][at, where].copy()
    daily.add(rows, at, where, events.activity[inside], events.count[inside])
    if instead is not None:
        daily.add(rows, at, where, instead, 1)
    if late and cause == "correction" and not rows["counts"][at, where].any():
        daily.mark_idle(rows, events.day, anchor)
    elif late:
        daily.mark_active(rows, events.day, anchor)
    official = late and draft.meta.closed
    settled = draft.settle(rows, table, absences, version=versions, at=events.recorded_at, official=official)
    rows["version"] = versions
    rows["recorded_at"] = events.taken_at
    ended = draft.evaluate(rows, table, absences) if official else None
    draft.rows[events.g] = rows
    if old is not None:
        draft.effects.late_beyond += int((~inside).sum())
        for j, (i, s) in enumerate(zip(at.tolist(), where.tolist(), strict=True)):
            day = int(events.day[i])
            column = day - settled.view.days.start
            previous = (old_counts[j], old.scores[i, column])
            draft.say_day(
                int(events.g[i]),
                day,
                rows["counts"][i, s],
                settled.view.scores[i, column],
                int(versions[i]),
                previous,
            )
        for i in np.flatnonzero(~inside).tolist():
            draft.effects.days.append(
                draft.writer.late(
                    draft.ids[events.g[i]],
                    int(events.day[i]),
                    int(events.activity[i]),
                    int(events.count[i]),
                    int(versions[i]),
                )
            )
    draft.say_ratings(events.g, rows, table, settled, cause=cause)
    if ended is not None:
        draft.say_alerts(events.g, rows, table, settled.view, ended, ending="superseded")


def _repeated(days: Any, keys: Any) -> Any:
    """Say which (day, key) stood before; ``keys`` are sorted, and equal ones are in log order."""
    order = np.lexsort((days, keys))
    result = np.zeros(len(keys), bool)
    result[order[1:]] = (days[order[1:]] == days[order[:-1]]) & (keys[order[1:]] == keys[order[:-1]])
    return result
