"""A batch of the student log on copies of a partition's columns: what it may change, and how that is put back.

Who works it out (:mod:`agents.decide` and what it calls) reads and writes the copies, and says what is to be sent.
Nothing of the partition changes before :meth:`Draft.commit`.
"""

import math
import re
from itertools import repeat
from typing import Any, cast

import numpy as np

from agents import alerts
from agents.day_records import New
from agents.evidence import Writer, iso_day
from agents.items import Effects, Items, Rejected
from agents.partition import Partition, tombstones
from schemas import log
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
from windows import attendance, rating, roster
from windows.attendance import Attendances
from windows.civil import LAST
from windows.daily import OPEN_DAYS
from windows.once import OnceKeys
from windows.sliding import View

_MOST_SOURCES = 2_048
"""Source partitions whose position a partition remembers, in its one row."""
_PLAUSIBLE = re.compile(r"[a-zA-Z0-9._-]+").fullmatch


class Draft:
    """One batch worked out on copies of the rows it touches (all of them, if it closes a day).

    Rows are numbered within the draft (``local``; -1: nobody's). ``effects`` is what to send, ``touched`` says which
    rows have changed.
    """

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
        oldest = self.oldest_day
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
        self.new_ids = list(fresh)
        if log.DayClosed in kinds or self.at.max() >= limit:
            self.g, self.local = np.arange(n + len(fresh)), row
        else:
            named = row >= 0
            self.local = np.full(len(row), -1)
            self.g, self.local[named] = np.unique(row[named], return_inverse=True)
        old = self.g[: len(self.g) - len(fresh)]
        self.rows, self.table = partition.rows[old], partition.table[old]
        if fresh:
            # Not always: joining arrays of records costs a batch of one event a tenth of all.
            new = blank_rows(len(fresh), self.window, self.context.longest, self.meta.anchor)
            missing = np.zeros(len(fresh), roster.dtype)
            missing[:] = roster.entry(None)[0]
            self.rows, self.table = np.concatenate([self.rows, new]), np.concatenate([self.table, missing])
        listed = old.tolist()
        self.absences: roster.Absences = [partition.absences[i] for i in listed] + [[] for _ in fresh]
        self.students: list[Student | None] = [partition.students[i] for i in listed] + [None] * len(fresh)
        self.ids = [partition.ids[i] for i in listed] + self.new_ids
        self.touched = np.zeros(len(self.g), bool)
        self.once_records, self.evidence_records = partition.once_records.copy(), partition.evidence_records.copy()

    def some(self, local: Any) -> tuple[Row, roster.Table, roster.Absences]:
        """Return copies of some rows, with what the roster says of them."""
        listed = local.tolist()
        return self.rows[local], self.table[local], [self.absences[i] for i in listed]

    @property
    def oldest_day(self) -> int:
        """The first day of the window: what came before it is not remembered one by one."""
        return self.meta.anchor - self.window + 1

    @property
    def stale(self) -> list[str]:
        """The feeds that are stale now, by name."""
        return sorted(self.meta.stale)

    def version(self, offset: int) -> int:
        """Return the version of what a record of the log causes."""
        return make_version(self.meta.epoch, offset)

    def settle(
        self,
        rows: Row,
        table: roster.Table,
        absences: roster.Absences,
        *,
        version: Any,
        at: Any,
        official: bool = False,
    ) -> rating.Settled:
        """Rate some copied rows anew (:func:`windows.rating.settle`), by our rules."""
        closed = self.meta.closed
        return rating.settle(
            rows, table, absences, self.rules, closed=closed, version=version, at=at, official=official
        )

    def evaluate(
        self, rows: Row, table: roster.Table, absences: roster.Absences, *, may_open: bool = False
    ) -> alerts.Spells:
        """Open and end the alerts of some copied rows (:func:`agents.alerts.evaluate`), by our rules."""
        return alerts.evaluate(rows, table, absences, self.rules, self.meta.begun, may_open=may_open)

    def reject(self, offset: int, reason: str) -> None:
        """Say that a record cannot be used."""
        self.effects.rejected.append(Rejected(offset, reason))

    def past_fence(self, run: slice, positions: list[log.Position]) -> Any:
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

    # -- once-keys and evidence -------------------------------------------------------------------------------------

    def remember_keys(self, day: int, first: int, last: int, keys: Any) -> None:
        """Remember once-keys of a day, of records from offset ``first`` to ``last``; ``~key``: taken back."""
        self.once.add(day, keys)
        self.new_once.append(New(day, first, last, np.sort(keys)))

    def was_seen(self, days: Any, keys: Any) -> bool:
        """Say whether the one once-key was counted on the one day."""
        return bool(self.partition.once.seen(days, keys)[0] or self.once.seen(days, keys)[0])

    def evidence_held(self, day: int, keys: Any) -> dict[int, attendance.Pieces]:
        """Return the evidence of a day's attendances by key; the lists are the caller's own."""
        known = self.partition.evidence.pieces(day, keys)
        for key, pieces in self.evidence.pieces(day, keys).items():
            known.setdefault(key, []).extend(pieces)
        return known

    def hold_evidence(self, day: int, pieces: list[tuple[int, int, int]]) -> None:
        """Remember evidence of a day: (attendance, place in the order, piece)."""
        if pieces:
            rows = attendance.rows(pieces)
            self.evidence.add(day, rows)
            offsets = rows[:, 1] >> 8
            self.new_evidence.append(New(day, int(offsets.min()), int(offsets.max()), rows))

    # -- what is said -----------------------------------------------------------------------------------------------

    def say_day(self, local: int, day: int, counts: Any, score: float, version: int, previous: Any = None) -> None:
        """Say a closed day of a student; ``previous`` (counts, score) when it is restated."""
        policy = self.rules.policy(day).version
        self.effects.days.append(
            self.writer.day(self.ids[local], day, counts, score, policy, version, self.stale, previous)
        )

    def say_ratings(
        self,
        local: Any,
        rows: Row,
        table: roster.Table,
        settled: rating.Settled,
        *,
        cause: str,
        left: dict[int, Student | None] | None = None,
    ) -> None:
        """Say the ratings that changed; ``left``: the roster entries before, if a new one is the cause."""
        policy, stale = self.rules.policy(self.meta.anchor).version, self.stale
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

    def say_alerts(
        self, local: Any, rows: Row, table: roster.Table, view: View, spells: alerts.Spells, *, ending: str
    ) -> None:
        """Say the alerts that opened or ended; ``ending``: how."""
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

    def write_changelog(self) -> None:
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
        once, evidence, oldest = self.partition.once, self.partition.evidence, self.oldest_day
        out += self.once_records.write(self.new_once, oldest, self.meta.offset, once, self.once)
        out += self.evidence_records.write(self.new_evidence, oldest, self.meta.offset, evidence, self.evidence)
        out.append((KEY_PARTITION, encode_partition(self.meta), []))
        for local, version in self.rosters.items():
            if self.students[local] is None:
                out.extend(tombstones(self.ids[local], version))


def _entry(key: bytes | None, record: log.StudentRecord) -> Student | EntryError | None:
    raw = bytes(record.record)
    try:
        return read_entry(key, None if raw == b"null" else raw)
    except EntryError as error:
        return error
