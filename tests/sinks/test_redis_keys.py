"""The keys, their reference for dashboards, and what the scripts take for granted about records."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.outputs import BANDS, Alert, Day, Rating
from schemas.redis_keys import FAMILIES, NOT_RATED, Keys, reference

_PROJECT = Path(__file__).parents[2]


def test_the_reference_for_dashboards_is_made_from_the_keys() -> None:
    assert reference() in (_PROJECT / "docs/read-model.md").read_text(encoding="utf-8")


def test_every_key_has_the_form_of_a_family() -> None:
    keys = Keys()
    made = {
        keys.view("<student>"),
        keys.rating("<student>"),
        keys.days("<student>"),
        keys.alerts("<student>"),
        keys.department_rating("<department>", "<rating>"),
        keys.course_rating("<course>", "<rating>"),
        keys.departments,
        keys.courses,
        keys.closed("<partition>"),
        keys.cohort("<department>"),
        keys.cohort_day,
        keys.progress,
        keys.attempts,
        keys.changes(0).replace("0", "<partition>"),
    }
    assert made == {family.pattern for family in FAMILIES}


def test_a_students_keys_name_the_student_whatever_the_id() -> None:
    keys = Keys("some.prefix")
    for student in ("s1", "a}b", "a}:view", "{x", "department:cs"):
        for key in (keys.view(student), keys.rating(student), keys.days(student), keys.alerts(student)):
            assert keys.student_of(key) == student


def test_every_family_says_how_long_it_lives() -> None:
    assert all(family.lifetime and family.purpose for family in FAMILIES)


def test_the_scripts_know_every_rating() -> None:
    script = (_PROJECT / "sinks/scripts/student.lua").read_text(encoding="utf-8")
    line = next(line for line in script.splitlines() if line.startswith("local RATINGS"))
    assert all(f"'{rating}'" in line for rating in (*BANDS, NOT_RATED))
    assert line.count("'") == 2 * len((*BANDS, NOT_RATED))


def test_a_record_has_one_version_and_one_state() -> None:
    """The scripts find both by the first place they stand in the JSON."""
    for model in (Day, Rating, Alert):
        schema: dict[str, Any] = model.model_json_schema()
        assert "version" in schema["properties"]
        for inner in schema.get("$defs", {}).values():
            assert not {"version", "state", "closed_day"} & inner.get("properties", {}).keys()
    assert issubclass(Day, BaseModel)
