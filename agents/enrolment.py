"""Roster entries of the log: students who come, change or go."""

from typing import cast

import numpy as np

from agents.draft import Draft
from agents.items import Item
from schemas import log
from schemas.state import blank_rows
from schemas.students import EntryError, Student
from windows import roster


def enrol(draft: Draft, run: slice) -> None:
    """Take roster entries over; runs in which a student stands twice are cut, so that each cut is vectorised."""
    records = cast("list[log.StudentRecord]", draft.records[run])
    already = len(draft.effects.rejected)
    fresh = draft.past_fence(run, [r.position for r in records])
    draft.effects.fenced += len(records) - int(fresh.sum()) - (len(draft.effects.rejected) - already)
    cut: dict[int, tuple[Item, Student | None]] = {}
    run_items = draft.batch.singly(run)
    rows = draft.local[run].tolist()
    for i, (item, local, new) in enumerate(zip(run_items, rows, fresh.tolist(), strict=True), start=run.start):
        if not new:
            continue
        entry = draft.entries[i]
        if isinstance(entry, EntryError):
            draft.reject(item.offset, f"roster entry: {entry}")
            continue
        if local < 0:
            continue
        if draft.rows["version"][local] >= draft.version(item.offset):
            # The row was written by a worker that died before it had written the entry.
            _list(draft, local, item, entry)
            continue
        if local in cut:
            _enrol(draft, cut)
            cut = {}
        cut[local] = (item, entry)
    _enrol(draft, cut)


def _enrol(draft: Draft, entries: dict[int, tuple[Item, Student | None]]) -> None:
    if not entries:
        return
    left: dict[int, Student | None] = {}
    for local, (item, entry) in entries.items():
        if not draft.table["alive"][local]:
            # New, or removed earlier: what was known of a removed student is gone.
            draft.rows[local] = blank_rows(1, draft.window, draft.context.longest, draft.meta.anchor)[0]
            draft.rows["enrolled"][local] = draft.version(item.offset)
        left[local] = draft.students[local]
        _list(draft, local, item, entry)
        draft.rows["removed"][local] = entry is None
    chosen = np.array(list(entries), np.int64)
    rows, table, absences = draft.some(chosen)
    version = np.array([draft.version(item.offset) for item, _ in entries.values()], np.int64)
    at = np.array([item.record.recorded_at for item, _ in entries.values()])
    settled = draft.settle(rows, table, absences, version=version, at=at, official=draft.meta.closed)
    rows["version"] = version
    spells = draft.evaluate(rows, table, absences) if draft.meta.closed else None
    draft.rows[chosen] = rows
    draft.touched[chosen] = True
    moved = [_listed_under(left[i]) != _listed_under(entry) for i, (_, entry) in entries.items()]
    stay = table["alive"]
    told = settled._replace(changed=(settled.changed | np.array(moved)) & stay)
    draft.say_ratings(chosen, rows, table, told, cause="roster", left=left)
    if spells is not None:
        draft.say_alerts(chosen, rows, table, settled.view, spells, ending="superseded")


def _list(draft: Draft, local: int, item: Item, entry: Student | None) -> None:
    draft.table[local], draft.absences[local] = roster.entry(entry)
    draft.students[local] = entry
    draft.rosters[local] = draft.version(item.offset)


def _listed_under(student: Student | None) -> tuple[str | None, str | None]:
    return (None, None) if student is None else (student.department, student.course)
