from datetime import date
from pathlib import Path

import pytest

from leap.demo.course import read_course
from leap.errors import USAGE, CommandError
from leap.oulad import FOLDER, rows, students
from schemas.students import Student

START = date(2026, 10, 5)
HEADER = "code_module,code_presentation,id_student,id_site,date,sum_click\n"


def write(folder: Path, *lines: str) -> Path:
    (folder / "vle.csv").write_text("id_site,activity_type\n7,homepage\n8,quiz\n")
    file = folder / "studentVle.csv"
    file.write_text(HEADER + "".join(line + "\n" for line in lines))
    return file


def test_a_row_has_its_number_its_date_and_its_site_s_type(tmp_path: Path) -> None:
    file = write(tmp_path, "AAA,2013J,11,7,-10,4", "AAA,2013J,11,8,2,1")

    first, second = rows(file, START)

    assert (first.row, first.day, first.activity_type, first.sum_click) == (1, date(2026, 9, 25), "homepage", 4)
    assert (second.row, second.day, second.activity_type) == (2, date(2026, 10, 7), "quiz")
    assert first.presentation == "AAA-2013J"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AAA,2013J,11,9,0,1", "line 2: id_site 9 is not in vle.csv"),
        ("AAA,2013J,11,7,soon,1", "line 2: 'soon' is not a day relative to the start"),
        ("AAA,2013J,11,7,0,0", "line 2: sum_click"),
        ("AAA,2013J,,7,0,1", "line 2: id_student"),
        ("AAA,2013J,11,7,0", "line 2: not as many columns"),
        ("AAA,2013J,11,7,0,1,2", "line 2: not as many columns"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as failure:
        list(rows(write(tmp_path, line), START))

    assert failure.value.code == USAGE


def test_another_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(CommandError, match="no column code_module"):
        list(rows(file.with_name("vle.csv"), START))
    with pytest.raises(CommandError, match="cannot be read"):
        list(students(tmp_path / "none.csv", START))


def test_a_student_is_enrolled_up_to_the_day_before_leaving(tmp_path: Path) -> None:
    file = tmp_path / "studentRegistration.csv"
    file.write_text(
        "code_module,code_presentation,id_student,date_registration,date_unregistration\n"
        "AAA,2013J,11,-3,12\n"
        "AAA,2013J,12,,\n"
    )

    both = {"department": "AAA", "course": "AAA-2013J"}
    assert list(students(file, START)) == [
        Student(student="11", first=date(2026, 10, 2), last=date(2026, 10, 16), **both),
        Student(student="12", **both),
    ]


def test_the_course_that_comes_with_the_project_is_whole() -> None:
    course = read_course(START)

    assert len(course.students) == 383
    assert sum(map(len, course.rows.values())) == 13_905
    assert len(course.days) == 13
    assert set(course.rows) == set(course.days)
    assert "CC BY 4.0" in (FOLDER / "ATTRIBUTION.md").read_text()
