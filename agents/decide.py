"""Engagement's decisions: from the student log's records to days, ratings, alerts and the state's rows.

No I/O, no clock.

:func:`decide` works a batch out on copies of a partition's columns (:class:`Draft`). Its ``effects`` are what to send,
and its ``commit()`` puts the rows back once that is delivered. Same log and same policies give the same days, ratings,
alerts and state, whatever the batch cuts: a batch is counted at once, and only the rows whose rating changes or whose
closed days are restated are worked out again record by record.
"""

import math
import re
from collections.abc import Iterable
from datetime import date
from itertools import groupby, repeat
from typing import Any, NamedTuple, cast

import numpy as np

from agents import alerts
from agents.day_records import New
from agents.evidence import Writer, iso_day
from agents.items import Effects, Item, Items, Rejected
from agents.partition import Partition, PolicyMismatchError, tombstones
from schemas import log
from schemas.activities import CODES
from schemas.state import (
    KEY_PARTITION,
    KEY_ROSTER,
    PartitionRow,
    Row,
    blank_rows,
    decode_partition,
    encode_partition,
    encode_rows,
)
from schemas.students import EntryError, Student, read_entry
from schemas.version import version as make_version
from windows import attendance, daily, rating, roster
from windows.attendance import Attendances
from windows.civil import FIRST, LAST, number_of
from windows.daily import OPEN_DAYS
from windows.once import OnceKeys
from windows.sliding import View

# What one record of the log may lead to is bounded by these, whoever wrote it.
_AHEAD = 24 * 3600.0
"""Seconds by which an activity may be ahead of the broker's clock (intake allows 300, but brokers' clocks differ)."""
_MOST_DAYS = 5 * 366
"""Days that may close at once: a partition of 60,000 students takes a minute for them."""
_MOST_SOURCES = 2_048
"""Source partitions whose position a partition remembers, in its one row."""
_MOST_STALE = 256
"""Feeds that can be stale at the same time, in the same row."""
_TOO_FAR = f"{{}}: more than {_MOST_DAYS} days after the last closed day"
_PLAUSIBLE = re.compile(r"[a-zA-Z0-9._-]+").fullmatch


def decide(partition: Partition, batch: Items) -> "Draft":
    """Work a batch out. Nothing of the partition changes before the draft's ``commit``.

    Raises:
        PolicyMismatchError: a close names a policy that is not ours.
    """
    draft = Draft(partition, batch)
    draft.run()
    return draft


class _Activities(NamedTuple):
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

    def only(self, chosen: Any) -> "_Activities":
        return _Activities(*(column[chosen] for column in self))


class Draft:
    """One batch worked out on copies of the rows it touches (all of them, if it closes a day)."""

    def __init__(self, partition: Partition, batch: Items) -> None:
        """Copy what the batch may touch."""
        self.partition = partition
        self.context = partition.context
        self.rules = partition.context.rules
        self.window = partition.context.window
        self.effects = Effects()
        self.writer = Writer(partition.number)
        reached = -1 if partition.meta is None else partition.meta.offset
        done = int(np.searchsorted(batch.offsets, reached, "right"))
        self.effects.fenced += done
        self.batch = batch[done:] if done else batch
        self.offsets, self.keys = self.batch.offsets, self.batch.keys
        self.appended, self.records = self.batch.appended, self.batch.records
        self.once, self.evidence = OnceKeys(), Attendances()
        self.new_once: list[New] = []
        self.new_evidence: list[New] = []
        self.rosters: dict[int, int] = {}
        if not self.batch:
            return
        self.meta = self._meta(float(self.appended[0]))
        self.meta.offset = int(self.offsets[-1])
        self._gather()

    def run(self) -> None:
        """Work out every run of records of one kind, in order."""
        start = 0
        for kind, n in self._runs():
            stop = start + n
            if kind is log.ActivityRecord:
                self._activities(slice(start, stop))
            elif kind is log.Retraction:
                for i in range(start, stop):
                    self._retraction(i)
            elif kind is log.StudentRecord:
                self._students(slice(start, stop))
            else:
                for item in self.batch.singly(slice(start, stop)):
                    self._control(item)
            start = stop
        self._changelog()

    def _runs(self) -> Iterable[tuple[type, int]]:
        if len(self.batch.kinds) == 1:
            return [(type(self.records[0]), len(self.records))]
        return [(kind, len(list(same))) for kind, same in groupby(map(type, self.records))]

    def commit(self) -> None:
        """Put the rows back. Call it when outputs and changelog are delivered."""
        partition = self.partition
        if not self.batch:
            return
        old = len(partition.ids)
        if self.new_ids:
            for key in self.new_ids:
                partition.index[key] = len(partition.ids)
                partition.ids.append(key)
            n = len(partition.ids)
            partition.rows = np.concatenate([partition.rows, self.rows[self.g >= old]])
            partition.table = np.concatenate([partition.table, self.table[self.g >= old]])
            partition.students.extend([None] * (n - old))
            partition.absences.extend([[] for _ in range(n - old)])
        if len(self.rows) == len(partition.rows):
            partition.rows, partition.table = self.rows, self.table
        else:
            partition.rows[self.g] = self.rows
            partition.table[self.g] = self.table
        for i in self.rosters:
            row = int(self.g[i])
            partition.students[row] = self.students[i]
            partition.absences[row] = self.absences[i]
        partition.meta = self.meta
        oldest = self._oldest_day
        for new in self.new_once:
            partition.once.add(new.day, new.entries)
        for new in self.new_evidence:
            partition.evidence.add(new.day, new.entries)
        partition.once.forget_before(oldest)
        partition.evidence.forget_before(oldest)
        partition.once_records, partition.evidence_records = self.once_records, self.evidence_records

    # -- the copies -------------------------------------------------------------------------------------------------

    def _meta(self, began: float) -> PartitionRow:
        if self.partition.meta is not None:
            return decode_partition(encode_partition(self.partition.meta))
        # When the log began, and not what its first record says of itself: a roster entry may be years old, and alerts
        # must not rest on days that nobody watched.
        anchor = min(self.context.civil.day_of(began), LAST - OPEN_DAYS - 1) - 1
        return PartitionRow(
            offset=-1,
            epoch=self.context.epoch,
            anchor=anchor,
            begun=anchor,
            closed=False,
            sources={},
            policies={},
            stale={},
        )

    def _gather(self) -> None:
        """Copy the rows that the records name; all of them, if a day may close."""
        partition = self.partition
        n = len(partition.ids)
        row = np.fromiter(map(partition.index.get, self.keys, repeat(-1)), np.int64, len(self.keys))
        kinds = self.batch.kinds
        fresh: dict[bytes, int] = {}
        self.entries: dict[int, Student | EntryError | None] = {}
        if log.StudentRecord in kinds:
            for i, record in enumerate(self.records):
                if isinstance(record, log.StudentRecord):
                    self.entries[i] = entry = _entry(self.keys[i], record)
                    # Only an entry makes a row: who is not known need not be removed, and an error is nobody.
                    if row[i] < 0 and isinstance(entry, Student):
                        fresh.setdefault(cast("bytes", self.keys[i]), n + len(fresh))
            row[row < 0] = [fresh.get(self.keys[i], -1) for i in np.flatnonzero(row < 0).tolist()]
        limit = self.context.civil.end_of(self.meta.anchor + OPEN_DAYS)
        if kinds == {log.ActivityRecord}:
            times = [r.at for r in self.records]  # type: ignore[union-attr]
        else:
            # Control records have no time of their own that could close a day: -inf.
            times = [r.at if type(r) is log.ActivityRecord else -math.inf for r in self.records]
        self.at = np.fromiter(times, np.float64, len(times))
        if log.DayClosed in kinds or self.at.max() >= limit:
            named = np.ones(n + len(fresh), bool)
        else:
            named = np.zeros(n + len(fresh), bool)
            named[row[row >= 0]] = True
            named[n:] = True
        self.new_ids = list(fresh)
        self.g = np.flatnonzero(named)
        place = np.cumsum(named) - 1
        self.local = np.where(row >= 0, place[row], -1) if len(place) else row
        old = self.g[: len(self.g) - len(fresh)]
        new = blank_rows(len(fresh), self.window, self.context.longest, self.meta.anchor)
        self.rows = np.concatenate([partition.rows[old], new])
        missing = np.zeros(len(fresh), roster.dtype)
        missing[:] = roster.entry(None)[0]
        self.table = np.concatenate([partition.table[old], missing])
        listed = old.tolist()
        self.absences: roster.Absences = [partition.absences[i] for i in listed] + [[] for _ in fresh]
        self.students: list[Student | None] = [partition.students[i] for i in listed] + [None] * len(fresh)
        self.ids = [partition.ids[i] for i in listed] + self.new_ids
        self.touched = np.zeros(len(self.g), bool)
        self.once_records, self.evidence_records = partition.once_records.copy(), partition.evidence_records.copy()

    def _some(self, local: Any) -> tuple[Row, roster.Table, roster.Absences]:
        listed = local.tolist()
        return self.rows[local], self.table[local], [self.absences[i] for i in listed]

    @property
    def _oldest_day(self) -> int:
        """The first day of the window: what came before it is not remembered one by one."""
        return self.meta.anchor - self.window + 1

    @property
    def _stale(self) -> list[str]:
        return sorted(self.meta.stale)

    def _version(self, offset: int) -> int:
        return make_version(self.meta.epoch, offset)

    # -- activities -------------------------------------------------------------------------------------------------

    def _activities(self, run: slice) -> None:
        records = cast("list[log.ActivityRecord]", self.records[run])
        n = len(records)
        local, offset = self.local[run], self.offsets[run]
        already = len(self.effects.rejected)
        fresh = self._past_fence(run, [r.position for r in records])
        self.effects.fenced += n - int(fresh.sum()) - (len(self.effects.rejected) - already)
        known = local >= 0
        # A row written by a worker that died may know a student whom the log, up to this record, did not.
        rows = local[known]
        known[known] = self.table["alive"][rows] & (self.rows["enrolled"][rows] <= (offset[known] | self._version(0)))
        for i in np.flatnonzero(fresh & ~known):
            self.effects.rejected.append(Rejected(int(offset[i]), "unknown student"))
        ahead = self.at[run] > self.appended[run] + _AHEAD
        for i in np.flatnonzero(fresh & known & ahead):
            self.effects.rejected.append(Rejected(int(offset[i]), "at: in the future"))
        known &= ~ahead
        # A row's own fence: its changelog was delivered by a worker that died before the partition's row was.
        behind = np.zeros(n, bool)
        behind[known] = self.rows["version"][local[known]] >= (offset[known] | self._version(0))
        events = _Activities(
            offset,
            local,
            self.context.civil.days_of(self.at[run]),
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
        self._in_order(events.only(fresh & known))

    def _past_fence(self, run: slice, positions: list[log.Position]) -> Any:
        """Say which records come from beyond the highest position their source partition had reached, and raise it."""
        n = len(positions)
        sources = [p.source for p in positions]
        place = np.fromiter([p.offset << 16 | p.index for p in positions], np.int64, n)
        fresh = np.zeros(n, bool)
        names = dict.fromkeys(sources)
        code = {name: i for i, name in enumerate(names)}
        codes = np.zeros(n, np.int64) if len(names) == 1 else np.fromiter([code[s] for s in sources], np.int64, n)
        for name in names:
            mine = codes == code[name]
            if name not in self.meta.sources and (len(self.meta.sources) >= _MOST_SOURCES or not _PLAUSIBLE(name)):
                self.effects.rejected += [Rejected(o, "position: no source") for o in self.offsets[run][mine].tolist()]
                continue
            reached, index = self.meta.sources.get(name, (-1, 0))
            before = np.maximum.accumulate(np.concatenate([[reached << 16 | index], place[mine]]))
            fresh[mine] = place[mine] > before[:-1]
            self.meta.sources[name] = (int(before[-1]) >> 16, int(before[-1]) & 0xFFFF)
        return fresh

    def _in_order(self, events: _Activities) -> None:
        """Count, closing missing days first wherever an activity lies beyond the open days."""
        start, n = 0, len(events.g)
        while start < n:
            beyond = np.flatnonzero(events.day[start:] > self.meta.anchor + OPEN_DAYS)
            stop = start + int(beyond[0]) if len(beyond) else n
            self._count(events.only(slice(start, stop)))
            if stop < n and events.day[stop] - OPEN_DAYS - self.meta.anchor > _MOST_DAYS:
                self.effects.rejected.append(Rejected(int(events.offset[stop]), _TOO_FAR.format("at")))
                start = stop + 1
                continue
            if stop < n:
                self._close_through(
                    int(events.day[stop]) - OPEN_DAYS,
                    cause="outage",
                    offset=int(events.offset[stop]),
                    at=float(events.recorded_at[stop]),
                    trigger=int(events.g[stop]),
                )
            start = stop
            if stop < n:
                # The activity that made the days close is counted at least on its own, so that this loop ends.
                self._count(events.only(slice(stop, stop + 1)))
                start = stop + 1

    def _repeats(self, events: _Activities) -> Any:
        """Say which activities count nothing: repeats, what was taken back, and more evidence of an attendance.

        The others are remembered, and all evidence (only days of the window are).
        """
        repeated = np.zeros(len(events.g), bool)
        named = (events.once >= 0) & (events.day >= self._oldest_day)
        attends = named & (events.attendance >= 0)
        alone = np.flatnonzero(named & ~attends)
        if len(alone):
            repeated[alone] = self._seen(events, alone)
            self._remember(events, alone[~repeated[alone]])
        for day in np.unique(events.day[attends]).tolist():
            self._attend(events, np.flatnonzero(attends & (events.day == day)), day, repeated)
        return repeated

    def _seen(self, events: _Activities, at: Any) -> Any:
        """Say of the activities ``at`` whether they were counted before, or taken back; by once-key and day."""
        order = np.argsort(events.once[at], kind="stable")
        days, keys = events.day[at][order], events.once[at][order]
        again = self.partition.once.seen(days, keys) | self.once.seen(days, keys)
        again |= self.partition.once.taken_back(days, keys) | self.once.taken_back(days, keys)
        same = keys[1:] == keys[:-1]
        if same.any():
            again |= _repeated(days, keys)
        result = np.zeros(len(at), bool)
        result[order] = again
        return result

    def _remember(self, events: _Activities, at: Any) -> None:
        for day in np.unique(events.day[at]).tolist():
            mine = at[events.day[at] == day]
            self._new_keys(day, int(events.offset[mine[0]]), int(events.offset[mine[-1]]), events.once[mine])

    def _new_keys(self, day: int, first: int, last: int, keys: Any) -> None:
        self.once.add(day, keys)
        self.new_once.append(New(day, first, last, np.sort(keys)))

    def _attend(self, events: _Activities, at: Any, day: int, repeated: Any) -> None:
        """Take evidence of attendance on one day; what does not begin an attendance is ``repeated``."""
        known = self._evidence(day, events.attendance[at])
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
        self._new_evidence(day, new)

    def _evidence(self, day: int, keys: Any) -> dict[int, attendance.Pieces]:
        known = self.partition.evidence.pieces(day, keys)
        for key, pieces in self.evidence.pieces(day, keys).items():
            known.setdefault(key, []).extend(pieces)
        return known

    def _new_evidence(self, day: int, pieces: list[tuple[int, int, int]]) -> None:
        if pieces:
            rows = attendance.rows(pieces)
            self.evidence.add(day, rows)
            offsets = rows[:, 1] >> 8
            self.new_evidence.append(New(day, int(offsets.min()), int(offsets.max()), rows))

    def _count(self, events: _Activities) -> None:
        if not len(events.g):
            return
        # What is already in its row is not counted again, but its key may not have been written, and it stands in the
        # order in which repeats are told.
        repeated = self._repeats(events)
        self.effects.fenced += int(events.behind.sum())
        self.effects.repeated += int((repeated & ~events.behind).sum())
        events = events.only(~(repeated | events.behind))
        if not len(events.g):
            return
        self.effects.activities += len(events.g)
        anchor = self.meta.anchor
        touched, li = _distinct(events.g, len(self.g))
        slot = events.day - (anchor - self.window + 1)
        open_day = events.day > anchor
        rows, table, absences = self._some(touched)
        daily.add(rows, li[open_day], slot[open_day], events.activity[open_day], events.count[open_day])
        settled = rating.settle(rows, table, absences, self.rules, closed=self.meta.closed, version=0, at=0.0)
        stepwise = settled.changed.copy()
        stepwise[li[~open_day]] = True
        last = np.zeros(len(touched), np.int64)
        last[li] = events.offset
        rows["version"] = last | self._version(0)
        rows["recorded_at"][li] = events.taken_at
        self.touched[touched] = True
        quiet = ~stepwise
        self.rows[touched[quiet]] = rows[quiet]
        if stepwise.any():
            self._step(events.only(stepwise[li]))

    def _step(self, events: _Activities) -> None:
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
            on_time = chosen.day > self.meta.anchor
            self._round(chosen.only(on_time), "activity")
            late = chosen.only(~on_time)
            self._round(late, "late_activity")
            self.effects.late += len(late.g)

    def _round(self, events: _Activities, cause: str, instead: int | None = None) -> None:
        """Count an activity each of some rows: on open days all of them, or all on closed ones.

        A ``correction`` has a count below zero; ``instead`` is the activity that the attendance counts as from now on.
        """
        if not len(events.g):
            return
        late = bool(events.day[0] <= self.meta.anchor)
        anchor = self.meta.anchor
        rows, table, absences = self._some(events.g)
        slot = events.day - (anchor - self.window + 1)
        inside = slot >= 0
        at, where = np.flatnonzero(inside), slot[inside]
        versions = events.offset | self._version(0)
        old = View(self.rules, rows, table, absences, anchor) if late else None
        old_counts = rows["counts"][at, where].copy()
        daily.add(rows, at, where, events.activity[inside], events.count[inside])
        if instead is not None:
            daily.add(rows, at, where, instead, 1)
        if late and cause == "correction" and not rows["counts"][at, where].any():
            daily.mark_idle(rows, events.day, anchor)
        elif late:
            daily.mark_active(rows, events.day, anchor)
        settled = rating.settle(
            rows,
            table,
            absences,
            self.rules,
            closed=self.meta.closed,
            version=versions,
            at=events.recorded_at,
            official=late and self.meta.closed,
        )
        rows["version"] = versions
        rows["recorded_at"] = events.taken_at
        ended = (
            alerts.evaluate(rows, table, absences, self.rules, self.meta.begun, may_open=False)
            if late and self.meta.closed
            else None
        )
        self.rows[events.g] = rows
        if old is not None:
            self.effects.late_beyond += int((~inside).sum())
            for j, (i, s) in enumerate(zip(at.tolist(), where.tolist(), strict=True)):
                day = int(events.day[i])
                column = day - settled.view.days.start
                previous = (old_counts[j], old.scores[i, column])
                self._say_day(
                    int(events.g[i]),
                    day,
                    rows["counts"][i, s],
                    settled.view.scores[i, column],
                    int(versions[i]),
                    previous,
                )
            for i in np.flatnonzero(~inside).tolist():
                self.effects.days.append(
                    self.writer.late(
                        self.ids[events.g[i]],
                        int(events.day[i]),
                        int(events.activity[i]),
                        int(events.count[i]),
                        int(versions[i]),
                    )
                )
        self._say_ratings(events.g, rows, table, settled, cause=cause)
        if ended is not None:
            self._say_alerts(events.g, rows, table, settled.view, ended, ending="superseded")

    def _retraction(self, i: int) -> None:
        """Take an activity of the window back, or note that it is taken back before it comes."""
        record, offset, local = cast("log.Retraction", self.records[i]), int(self.offsets[i]), int(self.local[i])
        already = len(self.effects.rejected)
        if not self._past_fence(slice(i, i + 1), [record.position])[0]:
            self.effects.fenced += len(self.effects.rejected) == already
            return
        version = self._version(offset)
        if local < 0 or not self.table["alive"][local] or self.rows["enrolled"][local] > version:
            self.effects.rejected.append(Rejected(offset, "unknown student"))
            return
        day = int(self.context.civil.days_of(np.array([record.at]))[0])
        if not self._oldest_day <= day <= self.meta.anchor + OPEN_DAYS:
            self.effects.rejected.append(Rejected(offset, "retraction: of a day that is not held"))
            return
        activity, count, instead = CODES[record.activity], record.count, None
        if record.attendance is not None:
            # Of what it was taken for when it came: the timetable may have changed since.
            held = (evidence.of_piece(day, record.once) for evidence in (self.partition.evidence, self.evidence))
            key = next((found for found in held if found is not None), record.attendance)
            pieces = self._evidence(day, np.array([key])).get(key, [])
            again = any(piece == ~record.once for _, piece in pieces)
            before = attendance.counts_as(pieces)
            if not again:
                piece = (attendance.order(offset, activity), ~record.once)
                self._new_evidence(day, [(key, *piece)])
                pieces.append(piece)
            instead = attendance.counts_as(pieces)
            counted = before is not None and instead != before
            activity, count = before or 0, 1
        else:
            days, keys = np.array([day]), np.array([record.once], np.int64)
            again, counted = self._was_seen(days, ~keys), self._was_seen(days, keys)
            if not again:
                self._new_keys(day, offset, offset, ~keys)
        if self.rows["version"][local] >= version:
            self.effects.fenced += 1
        elif again:
            self.effects.repeated += 1
        else:
            self.effects.retracted += 1
            if counted:
                taken_at = record.recorded_at if record.taken_at is None else record.taken_at
                one = (offset, local, day, activity, -count, -1, -1, record.recorded_at, taken_at, False)
                self._round(_Activities(*(np.array([value]) for value in one)), "correction", instead)
                self.touched[local] = True

    def _was_seen(self, days: Any, keys: Any) -> bool:
        return bool(self.partition.once.seen(days, keys)[0] or self.once.seen(days, keys)[0])

    # -- control records --------------------------------------------------------------------------------------------

    def _control(self, item: Item) -> None:
        record = item.record
        if isinstance(record, log.FeedState):
            if record.state == "fresh":
                self.meta.stale.pop(record.feed, None)
            elif record.feed in self.meta.stale or len(self.meta.stale) < _MOST_STALE:
                # Not later than the broker's clock: a feed that turns stale in years would hold alerts until then.
                since = min(record.recorded_at, item.appended)
                self.meta.stale.setdefault(record.feed, self.context.civil.day_of(since))
            else:
                self.effects.rejected.append(Rejected(item.offset, f"feed: {_MOST_STALE} are stale already"))
        elif isinstance(record, log.DayClosed):
            day = _day_number(record.day)
            if day is None:
                self.effects.rejected.append(Rejected(item.offset, "day: there is no such day"))
                return
            if day <= self.meta.anchor or item.appended < self.context.civil.end_of(day):
                return
            if day - self.meta.anchor > _MOST_DAYS:
                self.effects.rejected.append(Rejected(item.offset, _TOO_FAR.format("day")))
                return
            ours = self.rules.policy(day)
            if (record.policy, record.checksum) != (ours.version, ours.checksum):
                msg = (
                    f"the close of {record.day} was written under policy {record.policy} ({record.checksum}); "
                    f"this worker would use {ours.version} ({ours.checksum}): give all processes the same policy files"
                )
                raise PolicyMismatchError(msg)
            self._close_through(day, cause="clock", offset=item.offset, at=record.recorded_at, behind=record.behind)

    def _close_through(
        self,
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
        version = self._version(offset)
        # Rows that a worker wrote before it died on a batch with this very close are beyond it: by their version if it
        # changed them, by their anchor if it merely passed.
        due = (self.rows["version"] < version) & (self.rows["anchor"] <= self.meta.anchor)
        everyone = np.flatnonzero(self.table["alive"] & due)
        rows, table, absences = self._some(everyone)
        touched = np.zeros(len(everyone), bool)
        for day in range(self.meta.anchor + 1, through + 1):
            last = day == through
            anchor = self.meta.anchor
            policy = self.rules.policy(day)
            self.meta.policies[policy.version] = policy.checksum
            active = rows["counts"][:, self.window].any(axis=1)
            if active.any():
                scores = View(self.rules, rows[active], table[active], _pick(absences, active), anchor)
                for j, i in enumerate(np.flatnonzero(active).tolist()):
                    self._say_day(
                        int(everyone[i]),
                        day,
                        rows["counts"][i, self.window],
                        scores.scores[j, day - scores.days.start],
                        version,
                    )
            daily.advance(rows, self.rules, self.window, anchor, day)
            self.meta.anchor, self.meta.closed = day, True
            before = rows.copy()
            settled = rating.settle(
                rows, table, absences, self.rules, closed=True, version=version, at=at, official=True
            )
            if not last:
                _restore(rows, before, np.ones(len(rows), bool))
            elif trigger is not None:
                _restore(rows, before, everyone == trigger)
            spells = alerts.evaluate(
                rows,
                table,
                absences,
                self.rules,
                self.meta.begun,
                may_open=last and cause == "clock" and not self._held(day),
            )
            touched |= active | (_bytes(rows) != _bytes(before)).any(axis=1)
            rows["version"] = np.where(touched, version, rows["version"])
            if last:
                if trigger is not None:
                    settled.changed[everyone == trigger] = False
                self._say_ratings(everyone, rows, table, settled, cause="close")
            self._say_alerts(everyone, rows, table, settled.view, spells, ending="closed")
            self.effects.closed.append(day)
            self.effects.days.append(self.writer.closed(day, policy.version, cause, version, self._stale, behind))
        self.rows[everyone] = rows
        self.touched[everyone] |= touched

    def _held(self, day: int) -> bool:
        """Say whether a stale feed that blocks alerts holds them at the close of a day (up to the policy's maximum)."""
        policy = self.rules.policy(day)
        for feed, since in self.meta.stale.items():
            known = policy.feeds.get(feed)
            if known is not None and known.blocks_alerts and day - since < policy.alerts.max_hold_days:
                return True
        return False

    # -- the roster -------------------------------------------------------------------------------------------------

    def _students(self, run: slice) -> None:
        """Take roster entries over; runs in which a student stands twice are cut, so that each cut is vectorised."""
        records = cast("list[log.StudentRecord]", self.records[run])
        already = len(self.effects.rejected)
        fresh = self._past_fence(run, [r.position for r in records])
        self.effects.fenced += len(records) - int(fresh.sum()) - (len(self.effects.rejected) - already)
        cut: dict[int, tuple[Item, Student | None]] = {}
        run_items = self.batch.singly(run)
        rows = self.local[run].tolist()
        for i, (item, local, new) in enumerate(zip(run_items, rows, fresh.tolist(), strict=True), start=run.start):
            if not new:
                continue
            entry = self.entries[i]
            if isinstance(entry, EntryError):
                self.effects.rejected.append(Rejected(item.offset, f"roster entry: {entry}"))
                continue
            if local < 0:
                continue
            if self.rows["version"][local] >= self._version(item.offset):
                # The row was written by a worker that died before it had written the entry.
                self._list(local, item, entry)
                continue
            if local in cut:
                self._enrol(cut)
                cut = {}
            cut[local] = (item, entry)
        self._enrol(cut)

    def _enrol(self, entries: dict[int, tuple[Item, Student | None]]) -> None:
        if not entries:
            return
        left: dict[int, Student | None] = {}
        for local, (item, entry) in entries.items():
            if not self.table["alive"][local]:
                # New, or removed earlier: what was known of a removed student is gone.
                self.rows[local] = blank_rows(1, self.window, self.context.longest, self.meta.anchor)[0]
                self.rows["enrolled"][local] = self._version(item.offset)
            left[local] = self.students[local]
            self._list(local, item, entry)
            self.rows["removed"][local] = entry is None
        chosen = np.array(list(entries), np.int64)
        rows, table, absences = self._some(chosen)
        version = np.array([self._version(item.offset) for item, _ in entries.values()], np.int64)
        at = np.array([item.record.recorded_at for item, _ in entries.values()])
        settled = rating.settle(
            rows,
            table,
            absences,
            self.rules,
            closed=self.meta.closed,
            version=version,
            at=at,
            official=self.meta.closed,
        )
        rows["version"] = version
        spells = (
            alerts.evaluate(rows, table, absences, self.rules, self.meta.begun, may_open=False)
            if self.meta.closed
            else None
        )
        self.rows[chosen] = rows
        self.touched[chosen] = True
        moved = [_listed_under(left[i]) != _listed_under(entry) for i, (_, entry) in entries.items()]
        stay = table["alive"]
        told = settled._replace(changed=(settled.changed | np.array(moved)) & stay)
        self._say_ratings(chosen, rows, table, told, cause="roster", left=left)
        if spells is not None:
            self._say_alerts(chosen, rows, table, settled.view, spells, ending="superseded")

    def _list(self, local: int, item: Item, entry: Student | None) -> None:
        self.table[local], self.absences[local] = roster.entry(entry)
        self.students[local] = entry
        self.rosters[local] = self._version(item.offset)

    # -- what is said -----------------------------------------------------------------------------------------------

    def _say_day(self, local: int, day: int, counts: Any, score: float, version: int, previous: Any = None) -> None:
        policy = self.rules.policy(day).version
        self.effects.days.append(
            self.writer.day(self.ids[local], day, counts, score, policy, version, self._stale, previous)
        )

    def _say_ratings(
        self,
        local: Any,
        rows: Row,
        table: roster.Table,
        settled: rating.Settled,
        *,
        cause: str,
        left: dict[int, Student | None] | None = None,
    ) -> None:
        policy, stale = self.rules.policy(self.meta.anchor).version, self._stale
        for i in np.flatnonzero(settled.changed).tolist():
            row = int(local[i])
            self.effects.ratings.append(
                self.writer.rating(
                    self.ids[row],
                    self.students[row],
                    left[row] if left else None,
                    rows[i],
                    i,
                    settled.view,
                    (settled.rating[i], settled.reason[i]),
                    cause=cause,
                    closed=self.meta.closed,
                    policy=policy,
                    stale=stale,
                    part_time=bool(table["part_time"][i]),
                )
            )

    def _say_alerts(
        self, local: Any, rows: Row, table: roster.Table, view: View, spells: alerts.Spells, *, ending: str
    ) -> None:
        policy = self.rules.policy(self.meta.anchor)
        for i, spell in zip(*np.nonzero(spells.opened | spells.ended), strict=True):
            row, opened = int(local[i]), bool(spells.opened[i, spell])
            since = self.meta.anchor if opened else int(spells.opened_for[i, spell])
            self.effects.alerts.append(
                self.writer.alert(
                    self.ids[row],
                    self.students[row],
                    rows[i],
                    int(i),
                    view,
                    alerts.name(int(spell), iso_day(since)),
                    "opened" if opened else ending,
                    since,
                    int(spells.idle[i]),
                    policy=policy.version,
                    part_time=bool(table["part_time"][i]),
                )
            )

    def _changelog(self) -> None:
        """Write what changed: rows, roster, once-keys, then the partition's row, which says that all is there.

        A worker may die anywhere in between; whoever reads it back works the batch out again. Rows come first: what is
        at or below a row's version is in it, and roster entry and once-keys of such records are taken over again.
        Tombstones come last: up to the partition's row, a removed student must still be there for the records before
        the removal.
        """
        if not self.batch:
            return
        out = self.effects.changelog
        touched = np.flatnonzero(self.touched)
        values = encode_rows(self.rows[touched], self.window, self.context.longest)
        out.extend((self.ids[local], value, []) for local, value in zip(touched.tolist(), values, strict=True))
        for local, version in self.rosters.items():
            student = self.students[local]
            if student is not None:
                entry = student.model_dump_json(exclude_defaults=True).encode()
                out.append((KEY_ROSTER + self.ids[local], version.to_bytes(8, "little") + entry, []))
        once, evidence, oldest = self.partition.once, self.partition.evidence, self._oldest_day
        out += self.once_records.write(self.new_once, oldest, self.meta.offset, once, self.once)
        out += self.evidence_records.write(self.new_evidence, oldest, self.meta.offset, evidence, self.evidence)
        out.append((KEY_PARTITION, encode_partition(self.meta), []))
        for local, version in self.rosters.items():
            if self.students[local] is None:
                out.extend(tombstones(self.ids[local], version))


def _distinct(index: Any, size: int) -> tuple[Any, Any]:
    """Return the distinct values of ``index`` (0 to ``size`` - 1), rising, and each element's place among them."""
    named = np.zeros(size, bool)
    named[index] = True
    return np.flatnonzero(named), (np.cumsum(named) - 1)[index]


def _repeated(days: Any, keys: Any) -> Any:
    """Say which (day, key) stood before; ``keys`` are sorted, and equal ones are in log order."""
    order = np.lexsort((days, keys))
    result = np.zeros(len(keys), bool)
    result[order[1:]] = (days[order[1:]] == days[order[:-1]]) & (keys[order[1:]] == keys[order[:-1]])
    return result


def _restore(rows: Row, before: Row, where: Any) -> None:
    """Take the live rating of some rows back to what it was."""
    for name in ("rating", "reason", "score", "window_end", "since", "since_at"):
        rows[name] = np.where(where, before[name], rows[name])


def _bytes(rows: Row) -> Any:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _pick(absences: roster.Absences, chosen: Any) -> roster.Absences:
    return [absences[i] for i in np.flatnonzero(chosen).tolist()]


def _listed_under(student: Student | None) -> tuple[str | None, str | None]:
    return (None, None) if student is None else (student.department, student.course)


def _entry(key: bytes | None, record: log.StudentRecord) -> Student | EntryError | None:
    raw = bytes(record.record)
    try:
        return read_entry(key, None if raw == b"null" else raw)
    except EntryError as error:
        return error


def _day_number(iso: str) -> int | None:
    """Return a close's day; None if the calendar has no such day, or none that could close."""
    try:
        day = number_of(date.fromisoformat(iso))
    except ValueError:
        return None
    return day if FIRST <= day < LAST - OPEN_DAYS - 1 else None
