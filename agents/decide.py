"""Engagement's decisions: from the student log's records to days, ratings, alerts and the state's rows.

No I/O, no clock.

A :class:`Partition` is the state of one partition in columns. :meth:`Partition.decide` works a batch out on copies
(:class:`Draft`) and returns :class:`Effects`: what to send, and ``commit()`` that puts the rows back once it is
delivered. Same log and same policies give the same days, ratings, alerts and state, whatever the batch cuts: a batch is
counted at once, and only the rows whose rating changes or whose closed days are restated are worked out again record by
record.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import groupby, repeat
from typing import Any, NamedTuple, cast

import numpy as np

from agents import alerts
from agents.evidence import Message, Writer, iso_day
from schemas import log
from schemas.activities import CODES
from schemas.cloudevents import VERSION
from schemas.state import (
    KEY_ONCE,
    KEY_PARTITION,
    KEY_ROSTER,
    CodecError,
    PartitionRow,
    Row,
    blank_rows,
    decode_partition,
    decode_rows,
    encode_partition,
    encode_rows,
)
from schemas.students import EntryError, Student, read_entry
from schemas.version import version as make_version
from windows import daily, rating, roster
from windows.civil import FIRST, LAST, CivilDays, number_of
from windows.daily import OPEN_DAYS
from windows.once import OnceKeys, merged
from windows.scoring import Rules
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


class PolicyMismatchError(Exception):
    """This worker's policies are not those that the log or the state was made with; it must not go on."""

    exit_code = 78


class Item(NamedTuple):
    """One record of the student log, decoded: ``appended`` is when the broker took it, in seconds.

    Under a simulated clock: what that clock said.
    """

    offset: int
    key: bytes | None
    appended: float
    record: log.Record


class Items:
    """Decoded records of the student log in columns, in log order; what an :class:`Item` is of one.

    ``offsets`` is an int64 and ``appended`` a float64 array.
    """

    def __init__(self, offsets: Any, keys: list[Any], appended: Any, records: list[log.Record]) -> None:
        """Take the columns."""
        self.offsets, self.keys, self.appended, self.records = offsets, keys, appended, records

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Items":
        """Return single records as a batch."""
        offsets, keys, appended, records = zip(*items, strict=True) if items else ((), (), (), ())
        return cls(np.array(offsets, np.int64), list(keys), np.array(appended, np.float64), list(records))

    @cached_property
    def kinds(self) -> set[type]:
        """The types of its records."""
        return set(map(type, self.records))

    def __len__(self) -> int:
        """Return how many records it has."""
        return len(self.records)

    def __getitem__(self, some: slice) -> "Items":
        """Return some of it."""
        return Items(self.offsets[some], self.keys[some], self.appended[some], self.records[some])

    def singly(self, some: slice) -> list[Item]:
        """Return some of its records one by one."""
        columns = (self.offsets[some].tolist(), self.keys[some], self.appended[some].tolist(), self.records[some])
        return [Item(*fields) for fields in zip(*columns, strict=True)]


class Rejected(NamedTuple):
    """A record that cannot be used, by its log offset, and why."""

    offset: int
    reason: str


@dataclass
class Effects:
    """What a batch leads to.

    Deliver ``days``, ``ratings`` and ``alerts``, then ``changelog`` in order, then call ``commit``.
    """

    days: list[Message] = field(default_factory=list)
    ratings: list[Message] = field(default_factory=list)
    alerts: list[Message] = field(default_factory=list)
    changelog: list[Message] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    activities: int = 0
    repeated: int = 0
    fenced: int = 0
    late: int = 0
    late_beyond: int = 0
    closed: list[int] = field(default_factory=list)


class Context(NamedTuple):
    """What every partition of a worker shares."""

    rules: Rules
    civil: CivilDays
    epoch: int = 1

    @property
    def window(self) -> int:
        """Days of the full-time window."""
        return self.rules.policies.window

    @property
    def longest(self) -> int:
        """Days of the longest window."""
        return self.rules.policies.longest


class Partition:
    """The state of one partition of the student log: a row a student, the once-keys and the fences.

    Only :meth:`Draft.commit` and :meth:`load` change it.
    """

    def __init__(self, number: int, context: Context) -> None:
        """Begin without any student."""
        self.number = number
        self.context = context
        self.index: dict[bytes, int] = {}
        self.ids: list[bytes] = []
        self.students: list[Student | None] = []
        self.absences: roster.Absences = []
        self.rows: Row = blank_rows(0, context.window, context.longest, 0)
        self.table: roster.Table = np.zeros(0, roster.dtype)
        self.once = OnceKeys()
        self.segments: dict[int, list[bytes]] = {}
        self.meta: PartitionRow | None = None

    def decide(self, batch: Items) -> "Draft":
        """Work a batch out. Nothing of the partition changes before the draft's ``commit``.

        Raises:
            PolicyMismatchError: a close names a policy that is not ours.
        """
        draft = Draft(self, batch)
        draft.run()
        return draft

    def load(self, records: Iterable[tuple[bytes, bytes]]) -> list[Message]:
        """Fill an empty partition from what stands for each changelog key.

        Returns tombstones that are due: of students whose removal was written when the worker died.

        Raises:
            CodecError: a record of an unknown version or layout, or with something in it that we never write.
            PolicyMismatchError: the state was made with another content of one of our policy versions.
        """
        window, longest = self.context.window, self.context.longest
        keys: list[bytes] = []
        values: list[bytes] = []
        rosters: dict[bytes, Student] = {}
        for key, value in records:
            if key == KEY_PARTITION:
                self.meta = decode_partition(value)
            elif key.startswith(KEY_ROSTER):
                rosters[key[1:]] = _stored(key, value)
            elif key.startswith(KEY_ONCE):
                self._load_once(key, value)
            elif key[0] > KEY_ONCE[0] + 1:
                keys.append(key)
                values.append(value)
        rows = decode_rows(values, window, longest)
        if self.meta is None:
            # The partition's row stands last in every write: without it nothing that was written is complete, and the
            # log is read again from its start; a once-key left here would make its activity a repeat of itself.
            # (Its record stays listed, so that it is removed with its day.)
            self.once = OnceKeys()
            return []
        self._check_policies(self.meta)
        gone = (rows["removed"] == 1) & (rows["version"] <= make_version(self.meta.epoch, self.meta.offset))
        due = [message for i in np.flatnonzero(gone).tolist() for message in _tombstones(keys[i], rows["version"][i])]
        keys = [key for key, is_gone in zip(keys, gone.tolist(), strict=True) if not is_gone]
        rows = rows[~gone]
        for anchor in np.unique(rows["anchor"]):
            behind = rows["anchor"] == anchor
            if anchor < self.meta.anchor:
                moved = rows[behind]
                daily.advance(moved, self.context.rules, window, int(anchor), self.meta.anchor)
                rows[behind] = moved
        self.ids = keys
        self.index = {key: i for i, key in enumerate(keys)}
        self.rows = rows
        self.students = [rosters.get(key) for key in keys]
        entries = [roster.entry(student) for student in self.students]
        self.table = np.array([e for e, _ in entries], roster.dtype)
        self.absences = [a for _, a in entries]
        return due

    def _load_once(self, key: bytes, value: bytes) -> None:
        number = key[1:].partition(b"/")[0]
        if not number.isdigit() or len(number) > 5 or len(value) % 8:
            raise CodecError("once-keys: not in the form in which they are written")
        day = int(number)
        self.once.add(day, np.frombuffer(value, "<i8"))
        self.segments.setdefault(day, []).append(key)

    def _check_policies(self, meta: PartitionRow) -> None:
        for name, checksum in meta.policies.items():
            try:
                ours = self.context.rules.policies[name].checksum
            except KeyError:
                msg = (
                    f"policy {name} was in force when the state was made, and its file is missing: put {name}.toml back"
                )
                raise PolicyMismatchError(msg) from None
            if ours != checksum:
                msg = (
                    f"policy {name} has changed: its file has checksum {ours}, the state was made with {checksum}. "
                    f"Put the old file back, and give the change a new version with a later effective_from"
                )
                raise PolicyMismatchError(msg)


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
                out.extend(_tombstones(self.ids[local], version))

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


def _tombstones(student: bytes, version: int) -> list[Message]:
    # A tombstone has no value to carry its version: readers find it in a header.
    carried = [(VERSION, b"%d" % version)]
    return [(KEY_ROSTER + student, None, carried), (student, None, carried)]


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


def _stored(key: bytes, value: bytes) -> Student:
    try:
        entry = read_entry(key[1:], value[8:])
    except EntryError as error:
        raise CodecError(f"a roster entry of the state: {error}") from None
    return cast("Student", entry)


def _day_number(iso: str) -> int | None:
    """Return a close's day; None if the calendar has no such day, or none that could close."""
    try:
        day = number_of(date.fromisoformat(iso))
    except ValueError:
        return None
    return day if FIRST <= day < LAST - OPEN_DAYS - 1 else None
