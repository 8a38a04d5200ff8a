"""The student records' side: roster entries as they come in on ``leap.students`` (compacted, keyed by student)."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from schemas.reasons import why

StudentId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f{}]+$")]

Unrated = Literal["research", "year_abroad", "placement"]
"""Why a student has no rating for as long as the record stands (policy, annex: no indicator for these)."""


class Absence(BaseModel):
    """An agreed absence, both days included: dates only, never the reason (it may be special-category data).

    ``intermitting``: out of study, ``not_rated`` on these days. ``exempt``: rated over the other days. Both pause
    alerts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["exempt", "intermitting"] = "exempt"
    first: date
    last: date

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first:
            msg = f"absence ends ({self.last}) before it begins ({self.first})"
            raise ValueError(msg)
        return self


class Student(BaseModel):
    """One roster entry. The key of the Kafka record is the student's opaque, permanent id and must equal ``student``.

    ``first`` and ``last`` are the first and the last day of enrolment; without ``first`` enrolled since ever, without
    ``last`` for ever. ``priority`` says that the policy wants this student reviewed first; which category is never
    carried.
    ``contact_opt_out``: data is gathered and used, but the student asked not to be contacted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    student: StudentId
    first: date | None = None
    last: date | None = None
    unrated: Unrated | None = None
    part_time: bool = False
    department: Code | None = None
    course: Code | None = None
    priority: bool = False
    contact_opt_out: bool = False
    absences: Annotated[tuple[Absence, ...], Field(max_length=64)] = ()


LARGEST_ENTRY_BYTES = 64 * 1024
"""An entry with as many absences as there may be has a tenth of this."""

_STUDENT_ID = TypeAdapter(StudentId)


class EntryError(ValueError):
    """A roster record cannot be used; the message says why, without quoting it."""


def read_entry(key: bytes | None, value: bytes | None) -> Student | None:
    """Return what a roster record says: an entry, or None for a removal (no value).

    Whatever takes a roster record up reads it by this: a removal under a key that is no student would write over what
    else stands in the engagement state.

    Raises:
        EntryError: the key is not a student's id, or the entry breaks a rule or is another student's.
    """
    if key is None:
        raise EntryError("key: missing; the key of a roster record is the student")
    try:
        student_id = _STUDENT_ID.validate_python(key.decode())
    except UnicodeDecodeError:
        raise EntryError("key: not UTF-8; the key of a roster record is the student") from None
    except ValidationError as error:
        raise EntryError(f"key: {why(error)}") from None
    if value is None:
        return None
    if len(value) > LARGEST_ENTRY_BYTES:
        raise EntryError(f"value of {len(value)} bytes: at most {LARGEST_ENTRY_BYTES}")
    try:
        student = Student.model_validate_json(value)
    except ValidationError as error:
        raise EntryError(why(error)) from None
    if student.student != student_id:
        raise EntryError("student: is not the record's key")
    return student
