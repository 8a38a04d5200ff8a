"""The Open University Learning Analytics Dataset as a source: clicks of a student on a site on a day.

Licence CC BY 4.0: Kuzilek J., Hlosta M., Zdrahal Z., Open University Learning Analytics dataset, Sci. Data 4:170171
(2017).

A row has a day and no time of day: it counts at noon. The site type ``homepage`` is a Moodle login, every other type
use of the course; ``sum_click`` is the count. (student, site, day) is not unique, so what makes a row one event is its
place in the file.
"""

from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.activities import Activity
from schemas.reasons import why
from schemas.students import StudentId
from streams.sources import Outcome, Seen, Unusable

_ZONE = ZoneInfo("Europe/London")


class Row(BaseModel):
    """A row of studentVle.csv joined with its site's type, as ``leap replay`` sends it.

    ``day`` is the row's day as a date.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    presentation: Annotated[str, Field(min_length=1, max_length=32)]
    row: Annotated[int, Field(ge=1)]
    id_student: StudentId
    id_site: str
    activity_type: str
    day: date
    sum_click: Annotated[int, Field(ge=1, le=65535)]


def read(raw: bytes) -> Outcome:
    """Read one row."""
    try:
        row = Row.model_validate_json(raw)
    except ValidationError as error:
        return Unusable(why(error))
    noon = datetime.combine(row.day, time(12), _ZONE).timestamp()
    activity: Activity = "moodle_login" if row.activity_type == "homepage" else "moodle_course"
    return Seen(row.id_student, activity, noon, f"{row.presentation}/{row.row}", row.sum_click)
