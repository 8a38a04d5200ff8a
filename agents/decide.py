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
from agents.evidence import Message, Writer, iso_day
from agents.items import Effects, Item, Items, Rejected
from agents.partition import Partition, PolicyMismatchError, tombstones
from schemas import log
from schemas.activities import CODES
from schemas.state import (
    KEY_ONCE,
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
from windows import daily, rating, roster
from windows.civil import FIRST, LAST, number_of
from windows.daily import OPEN_DAYS
from windows.once import OnceKeys, merged
from windows.sliding import View

# A day's once-keys are written a small record a batch. When there are this many of them, or one for 256 keys if that is
# more, they are merged: few batches a second must not leave millions of tiny records to recover from.
_MERGE_AT = 256
_KEYS_A_RECORD = 32_768

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
        self.once = OnceKeys()
        self.new_once: list[tuple[int, int, int, Any]] = []
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
        for day, _, _, keys in self.new_once:
            partition.once.add(day, keys)
        partition.once.forget_before(self.meta.anchor - self.window + 1)
        partition.segments = self.segments

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
        self.segments = {day: list(keys) for day, keys in partition.segments.items()}

    def _some(self, local: Any) -> tuple[Row, roster.Table, roster.Absences]:
        listed = local.tolist()
        return self.rows[local], self.table[local], [self.absences[i] for i in listed]

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
        """Say which activities were counted before, by once-key and day (only days of the window are remembered)."""
        repeated = np.zeros(len(events.g), bool)
        at = np.flatnonzero((events.once >= 0) & (events.day > self.meta.anchor - self.window))
        if not len(at):
            return repeated
        order = at[np.argsort(events.once[at], kind="stable")]
        days, keys = events.day[order], events.once[order]
        again = self.partition.once.seen(days, keys) | self.once.seen(days, keys)
        same = keys[1:] == keys[:-1]
        if same.any():
            again |= _repeated(days, keys)
        repeated[order] = again
        return repeated

    def _remember(self, events: _Activities) -> None:
        at = np.flatnonzero((events.once >= 0) & (events.day > self.meta.anchor - self.window))
        for day in np.unique(events.day[at]).tolist():
            mine = at[events.day[at] == day]
            keys = np.sort(events.once[mine])
            self.once.add(day, keys)
            self.new_once.append((day, int(events.offset[mine[0]]), int(events.offset[mine[-1]]), keys))

    def _count(self, events: _Activities) -> None:
        if not len(events.g):
            return
        # What is already in its row is not counted again, but its key may not have been written, and it stands in the
        # order in which repeats are told.
        repeated = self._repeats(events)
        self._remember(events.only(~repeated))
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
            self._round(chosen.only(on_time), late=False)
            self._round(chosen.only(~on_time), late=True)

    def _round(self, events: _Activities, *, late: bool) -> None:
        if not len(events.g):
            return
        anchor = self.meta.anchor
        rows, table, absences = self._some(events.g)
        slot = events.day - (anchor - self.window + 1)
        inside = slot >= 0
        at, where = np.flatnonzero(inside), slot[inside]
        versions = events.offset | self._version(0)
        old = View(self.rules, rows, table, absences, anchor) if late else None
        old_counts = rows["counts"][at, where].copy()
        daily.add(rows, at, where, events.activity[inside], events.count[inside])
        if late:
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
            self.effects.late += len(events.g)
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
        self._say_ratings(events.g, rows, table, settled, cause="late_activity" if late else "activity")
        if ended is not None:
            self._say_alerts(events.g, rows, table, settled.view, ended, ending="superseded")

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
        self._write_once(out)
        out.append((KEY_PARTITION, encode_partition(self.meta), []))
        for local, version in self.rosters.items():
            if self.students[local] is None:
                out.extend(tombstones(self.ids[local], version))

    def _write_once(self, out: list[Message]) -> None:
        """Write the batch's once-keys, a record a day.

        Merge a day's records when they have become many, drop days that left.
        """
        oldest = self.meta.anchor - self.window + 1
        for day, first, last, keys in self.new_once:
            if day >= oldest:
                for start in range(0, len(keys), _KEYS_A_RECORD):
                    key = _once_key(day, f"{first}-{last}" + (f"/{start}" if start else ""))
                    self.segments.setdefault(day, []).append(key)
                    out.append((key, keys[start : start + _KEYS_A_RECORD].astype("<i8").tobytes(), []))
        for day in [d for d in self.segments if d < oldest]:
            out.extend((key, None, []) for key in self.segments.pop(day))
        for day, segments in self.segments.items():
            # Counted first: to put a million keys in order takes longer than a hundred batches.
            count = self.partition.once.count(day) + self.once.count(day)
            if len(segments) >= max(_MERGE_AT, count // 256):
                held = merged(self.partition.once.of(day), self.once.of(day))
                starts = range(0, len(held), _KEYS_A_RECORD)
                names = [_once_key(day, f"{self.meta.offset}/{start}") for start in starts]
                out.extend(
                    (key, held[start : start + _KEYS_A_RECORD].astype("<i8").tobytes(), [])
                    for key, start in zip(names, starts, strict=True)
                )
                out.extend((key, None, []) for key in segments)
                segments[:] = names


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


def _once_key(day: int, name: str) -> bytes:
    return KEY_ONCE + f"{day}/{name}".encode()


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
