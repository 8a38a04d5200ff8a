"""Retractions of the log: an activity that a source has taken back."""

from typing import cast

import numpy as np

from agents import counting
from agents.counting import Activities
from agents.draft import Draft
from schemas import log
from schemas.activities import CODES
from windows import attendance
from windows.daily import OPEN_DAYS


def take_back(draft: Draft, i: int) -> None:
    """Take an activity of the window back, or note that it is taken back before it comes."""
    record, offset, local = cast("log.Retraction", draft.records[i]), int(draft.offsets[i]), int(draft.local[i])
    already = len(draft.effects.rejected)
    if not draft.past_fence(slice(i, i + 1), [record.position])[0]:
        draft.effects.fenced += len(draft.effects.rejected) == already
        return
    version = draft.version(offset)
    if local < 0 or not draft.table["alive"][local] or draft.rows["enrolled"][local] > version:
        draft.reject(offset, "unknown student")
        return
    day = int(draft.context.civil.days_of(np.array([record.at]))[0])
    if not draft.oldest_day <= day <= draft.meta.anchor + OPEN_DAYS:
        draft.reject(offset, "retraction: of a day that is not held")
        return
    activity, count, instead = CODES[record.activity], record.count, None
    if record.attendance is not None:
        # Of what it was taken for when it came: the timetable may have changed since.
        held = (evidence.of_piece(day, record.once) for evidence in (draft.partition.evidence, draft.evidence))
        key = next((found for found in held if found is not None), record.attendance)
        pieces = draft.evidence_held(day, np.array([key])).get(key, [])
        again = any(piece == ~record.once for _, piece in pieces)
        before = attendance.counts_as(pieces)
        if not again:
            piece = (attendance.order(offset, activity), ~record.once)
            draft.hold_evidence(day, [(key, *piece)])
            pieces.append(piece)
        instead = attendance.counts_as(pieces)
        counted = before is not None and instead != before
        activity, count = before or 0, 1
    else:
        days, keys = np.array([day]), np.array([record.once], np.int64)
        again, counted = draft.was_seen(days, ~keys), draft.was_seen(days, keys)
        if not again:
            draft.remember_keys(day, offset, offset, ~keys)
    if draft.rows["version"][local] >= version:
        draft.effects.fenced += 1
    elif again:
        draft.effects.repeated += 1
    else:
        draft.effects.retracted += 1
        if counted:
            taken_at = record.recorded_at if record.taken_at is None else record.taken_at
            one = (offset, local, day, activity, -count, -1, -1, record.recorded_at, taken_at, False)
            counting.count_each(draft, Activities(*(np.array([value]) for value in one)), "correction", instead)
            draft.touched[local] = True
