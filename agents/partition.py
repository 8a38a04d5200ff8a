"""The state of one partition of the student log, in columns, and how it is read back."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np

from agents.day_records import DayRecords
from agents.evidence import Message
from schemas.cloudevents import VERSION
from schemas.state import (
    FIRST_STUDENT_BYTE,
    KEY_EVIDENCE,
    KEY_ONCE,
    KEY_PARTITION,
    KEY_ROSTER,
    CodecError,
    PartitionRow,
    Row,
    blank_rows,
    decode_partition,
    decode_rows,
)
from schemas.students import EntryError, Student, read_entry
from schemas.version import version as make_version
from windows import attendance, daily, roster
from windows.attendance import Attendances
from windows.civil import CivilDays
from windows.once import OnceKeys
from windows.scoring import Rules


class PolicyMismatchError(Exception):
    """This worker's policies are not those that the log or the state was made with; it must not go on."""

    exit_code = 78


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
    """The state of one partition of the student log: a row a student, the once-keys, the evidence and the fences.

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
        self.once, self.evidence = OnceKeys(), Attendances()
        self.once_records, self.evidence_records = DayRecords(KEY_ONCE), DayRecords(KEY_EVIDENCE, (3,))
        self.meta: PartitionRow | None = None

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
                self.once.add(*self.once_records.load(key, value))
            elif key.startswith(KEY_EVIDENCE):
                day, pieces = self.evidence_records.load(key, value)
                if not attendance.plausible(pieces):
                    raise CodecError("evidence: none that is ever written")
                self.evidence.add(day, pieces)
            elif key[0] >= FIRST_STUDENT_BYTE:
                keys.append(key)
                values.append(value)
        rows = decode_rows(values, window, longest)
        if self.meta is None:
            # The partition's row stands last in every write: without it nothing that was written is complete, and the
            # log is read again from its start; a once-key left here would make its activity a repeat of itself.
            # (Its record stays listed, so that it is removed with its day.)
            self.once, self.evidence = OnceKeys(), Attendances()
            return []
        self._check_policies(self.meta)
        gone = (rows["removed"] == 1) & (rows["version"] <= make_version(self.meta.epoch, self.meta.offset))
        due = [message for i in np.flatnonzero(gone).tolist() for message in tombstones(keys[i], rows["version"][i])]
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


def tombstones(student: bytes, version: int) -> list[Message]:
    """Return what removes a student from the state: the roster entry first, then the row."""
    # A tombstone has no value to carry its version: readers find it in a header.
    carried = [(VERSION, b"%d" % version)]
    return [(KEY_ROSTER + student, None, carried), (student, None, carried)]


def _stored(key: bytes, value: bytes) -> Student:
    try:
        entry = read_entry(key[1:], value[8:])
    except EntryError as error:
        raise CodecError(f"a roster entry of the state: {error}") from None
    return cast("Student", entry)
