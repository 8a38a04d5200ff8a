"""What vendors send, and what must come of it: every sample of tests/data, and made ones in the forms that have none.

What is expected stands here in full or is worked out plainly from the file (:func:`_loans`, :func:`_accesses`); no
adapter is asked.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from tests.integration.harness import LONDON
from tests.streams.sources import test_caliper, test_faser, test_library, test_moodle, test_pc_labs, test_zoom

DATA = Path(__file__).parents[1] / "data"

Cell = tuple[str, str, str]
"""A person as the source knows them, a day of the sample, an activity."""

COLUMNS = "row: not as many fields as the header has"
VIEWED = "http://id.tincanapi.com/verb/viewed"


@dataclass(frozen=True)
class Sample:
    """A sample and what must come of it.

    ``file``: as its vendor wrote it; of JSON, one object after the other. ``entrance``: where at the gateway it goes.
    ``counted``: what intake makes of its records, by activity; ``dead``: by what the reason has in it. ``answered``: how
    many of those that are ``ignored`` the gateway answers itself. ``shown``: what counts, on its day. ``last``: day of
    the week (0: Monday) that the last day of the sample becomes, or its day ``until``, if there is one.
    """

    source: str
    name: str
    file: bytes
    form: Literal["csv", "json", "tsv", "xml"]
    counted: Mapping[str, int]
    shown: Mapping[Cell, int]
    entrance: Literal["alma", "caliper", "events", "files", "xapi", "zoom"] | None = "files"
    ignored: int = 0
    dead: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    answered: int = 0
    last: int = 6
    until: date | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.name}"

    def days(self, monday: date) -> dict[date, date]:
        """Return which day each day of the sample becomes in a week.

        Samples are of years ago and reach over months, where a view has seven days. So their days become successive
        ones, in their order, but that those after ``until`` go before all others.
        """
        named: set[date] = set()

        def note(day: date) -> date:
            named.add(day)
            return day

        _replaced(self.file, note)
        order = sorted(named, key=lambda day: (self.until is None or day <= self.until, day))
        return {day: monday + timedelta(self.last - back) for back, day in enumerate(reversed(order))}

    def moved(self, monday: date) -> bytes:
        """Return the file with its days moved into a week.

        Whatever else it says stays as its vendor wrote it, times of the day and forms of dates, too. A date that is
        impossible is no day and stays.
        """
        return _replaced(self.file, self.days(monday).__getitem__)


def records(file: bytes, form: str) -> list[bytes]:
    """Return the records of a file: its header line and one row each, or its objects."""
    if form in {"csv", "tsv"}:
        head, *rows = file.splitlines(keepends=True)
        return [head + row for row in rows if row.strip()]
    return list(_objects(file.decode())) if form == "json" else [file]


def _objects(text: str) -> Iterator[bytes]:
    decoder, start = json.JSONDecoder(), 0
    while rest := text[start:].lstrip():
        start = len(text) - len(rest)
        _, end = decoder.raw_decode(text, start)
        yield text[start:end].encode()
        start = end


# -- days -----------------------------------------------------------------------------------------------------------------

_ISO = re.compile(r"(?<![\w-])\d{4}-\d\d-\d\d(?![\d-])")
_AMERICAN = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\d/])")
_SECONDS = re.compile(r'(?<="timecreated": )\d{10}')


def _replaced(file: bytes, new: Callable[[date], date]) -> bytes:
    """Return a file with other days in place of its own."""

    def iso(found: re.Match[str]) -> str:
        try:
            return new(date.fromisoformat(found[0])).isoformat()
        except ValueError:
            return found[0]

    def american(found: re.Match[str]) -> str:
        month, day, year = map(int, found.groups())
        try:
            moved_to = new(date(year if year > 99 else 2000 + year, month, day))
        except ValueError:
            return found[0]
        return f"{moved_to.month}/{moved_to.day}/{moved_to.year if year > 99 else moved_to.year % 100}"

    def seconds(found: re.Match[str]) -> str:
        at = datetime.fromtimestamp(int(found[0]), LONDON)
        return f"{datetime.combine(new(at.date()), at.time(), LONDON).timestamp():.0f}"

    text = _ISO.sub(iso, file.decode())
    return _SECONDS.sub(seconds, _AMERICAN.sub(american, text)).encode()


# -- what is expected of the two long files -------------------------------------------------------------------------------


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((DATA / "jisc" / name).read_text(encoding="utf-8")), delimiter="\t"))


def _loans() -> Counter[Cell]:
    """Every row is a loan, but for those of the 29th of February 2021."""
    return Counter(
        (row["USERNAME"], row["TIMESTAMP"], "library_loan")
        for row in _rows("borrowed.tsv")
        if row["TIMESTAMP"] != "2021-02-29"
    )


def _accesses() -> Counter[Cell]:
    """Rows that are the same are one access: there are 2,451 rows, 431 of them again."""
    once = {tuple(row.items()): row for row in _rows("access.tsv")}
    assert len(once) == 2451 - 431
    return Counter((row["USERNAME"], row["TIMESTAMP"][:10], "tap_in") for row in once.values())


# -- the samples ----------------------------------------------------------------------------------------------------------


def _jisc(source: str, name: str, counted: Mapping[str, int], shown: Mapping[Cell, int], **more: Any) -> Sample:
    return Sample(source, name, (DATA / "jisc" / name).read_bytes(), "tsv", counted, shown, **more)


def _json(
    source: str, name: str, objects: Sequence[Any], counted: Mapping[str, int], shown: Mapping[Cell, int], **more: Any
) -> Sample:
    written = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in objects]
    return Sample(source, name, b"\n".join(written), "json", counted, shown, **more)


def _of(folder: str, *names: str) -> list[bytes]:
    return [(DATA / folder / name).read_bytes() for name in names]


def _attended() -> dict[Cell, int]:
    present = {"2017-10-12": "47", "2017-11-12": "5678", "2017-12-12": "4567"}
    return {(f"STU{n * 5}", day, "tap_in"): 1 for day, numbers in present.items() for n in numbers}


def _report() -> bytes:
    """The report of Moodle as a site with American dates exports it."""
    acts = [
        {},
        {"Event name": "User has logged in", "Description": "The user with id '32' has logged in."},
        {"User full name": "Ann Admin as Jo Doe"},
        {"Description": "Somebody viewed the course with id '7'."},
        {"Time": "13/40/26, 10:15"},
    ]
    out = io.StringIO()
    seen = test_moodle.REPORT | {
        "Time": "10/5/26, 10:15",
        "Description": "The user with id '32' viewed the course with id '7'.",
    }
    writer = csv.DictWriter(out, seen, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(seen | act for act in acts)
    return out.getvalue().encode()


def _swipe(at: str, reader: str = "LTB 06") -> dict[str, str]:
    return {"card": "0004711", "reader": reader, "at": f"2026-10-05T{at}"}


def _said(verb: str, kind: str, thing: str, person: str = "jdoe", **more: Any) -> dict[str, Any]:
    return {
        "actor": {"account": {"name": person, "homePage": "https://www.example.ac.uk"}, "name": "Jo Doe"},
        "verb": {"id": verb},
        "object": {"id": f"https://www.example.ac.uk/{thing}", "definition": {"type": kind, "name": {"en": "Ethics"}}},
        "timestamp": "2026-10-05T12:31:13Z",
    } | more


def _attendance(event: str, **result: Any) -> dict[str, Any]:
    return _said(
        "http://adlnet.gov/expapi/verbs/attended", "http://xapi.jisc.ac.uk/event_timetabled", event, result=result
    )


def _watched(duration: str, session: str) -> dict[str, Any]:
    kind = "https://w3id.org/xapi/video/activity-type/video"
    return _said(VIEWED, kind, session, result={"duration": duration})


def _moodle_user(number: int) -> dict[str, Any]:
    return {"account": {"homePage": "https://moodle.example.ac.uk", "name": str(number)}, "name": "Jo Doe"}


_LOGGED_IN = r"\core\event\user_loggedin"
_AT = "2026-10-05"
_STATEMENTS = ("moodle-login.js", "moodle-moduleview.js", "moodle-assignment_submitted.json")
_IMPOSSIBLE = "START_TIME: a date only if day and month are exchanged"
_CALIPER_USER = "https://moodle.example.ac.uk/user"

TAP_INS = [
    _jisc("tap-ins", "attendance.tsv", {"tap_in": 10}, _attended(), ignored=5, dead={_IMPOSSIBLE: 10}),
    # In its time and at both doors one attendance; outside of it, one an hour.
    _json(
        "tap-ins",
        "swipes",
        [
            _swipe("09:02:11.250+01:00"),
            _swipe("09:40:00+01:00"),
            _swipe("09:41:00+01:00", "LTB 07"),
            _swipe("13:05:00+01:00"),
            _swipe("13:50:00+01:00"),
            _swipe("14:10:00+01:00"),
            _swipe("14:10:00"),
        ],
        {"tap_in": 6},
        {("0004711", _AT, "tap_in"): 3},
        dead={"at: ": 1},
        last=1,
    ),
    _json(
        "tap-ins",
        "statements",
        [_attendance("E1", completion=True), _attendance("E2", completion=False), _attendance("E3")],
        {"tap_in": 1},
        {("jdoe", _AT, "tap_in"): 1},
        ignored=1,
        dead={"result.completion: ": 1},
        entrance="xapi",
    ),
]

HUB = [
    _jisc("hub", "attendance.tsv", {"tap_in": 10}, _attended(), ignored=5, dead={_IMPOSSIBLE: 10}),
    # A hundred of its repeats are of these seven days.
    _jisc("hub", "access.tsv", {"tap_in": 2451}, _accesses(), until=date(2020, 1, 10)),
    _jisc("hub", "borrowed.tsv", {"library_loan": 1090}, _loans(), dead={"TIMESTAMP: not a date": 7}),
    _jisc(
        "hub",
        "logged_in.tsv",
        {"moodle_login": 5},
        {(f"STUDENT{12345 + n}", f"2016-02-{6 + n:02}", "moodle_login"): 1 for n in range(1, 6)},
        dead={COLUMNS: 1},
    ),
    _jisc(
        "hub",
        "viewed.tsv",
        {"moodle_course": 19},
        {(f"STUDENT_{12345 + n}", "2017-08-01", "moodle_course"): 1 for n in range(19)},
    ),
    _jisc(
        "hub",
        "quiz_completed.tsv",
        {"moodle_course": 8},
        {(f"STUDENT_{12345 + n}", "2017-10-24", "moodle_course"): 1 for n in range(8)},
        last=5,
    ),
    _jisc(
        "hub",
        "forum_post.tsv",
        {"moodle_course": 5},
        {(f"STUDENT_{123 + n}", "2017-10-24", "moodle_course"): 1 for n in range(5)},
        dead={COLUMNS: 4},
    ),
    _jisc("hub", "assignment_submitted.tsv", {}, {}, dead={"no time of submission": 8}),
    _jisc("hub", "readinglist-view-reading-list.tsv", {}, {}, ignored=13),
    _jisc(
        "hub",
        "readinglist-viewed-reading-list-item.tsv",
        {"reading_list": 7},
        READ := {
            ("user", "2019-02-17", "reading_list"): 2,
            ("user", "2019-02-20", "reading_list"): 2,
            ("user", "2019-02-25", "reading_list"): 1,
            ("user", "2019-03-03", "reading_list"): 2,
        },
        ignored=3,
    ),
    _jisc("hub", "video.tsv", {"listen_again": 1}, {("username", "2018-11-30", "listen_again"): 1}, ignored=8),
    _json(
        "hub",
        "statements",
        _of("jisc", *_STATEMENTS),
        {"moodle_login": 1, "moodle_course": 1, "faser_upload": 1},
        {
            ("stu1", "2017-11-06", "moodle_login"): 1,
            ("mwebb", "2017-10-31", "moodle_course"): 1,
            ("stu1", "2017-11-17", "faser_upload"): 1,
        },
        entrance="xapi",
    ),
]

MOODLE = [
    _json(
        "moodle",
        "log",
        [
            test_moodle.log_row(_LOGGED_IN, id=1, userid=31),
            test_moodle.log_row(id=2, userid=31),
            test_moodle.log_row(id=3, userid=31, origin="ws"),
            test_moodle.log_row(id=4, userid=31, realuserid=2),
            test_moodle.log_row(id=5, userid=31, courseid=1),
            test_moodle.log_row(r"\mod_assign\event\assessable_submitted", id=6, userid=31),
            test_moodle.log_row(id=7, userid=31, timecreated="soon"),
        ],
        {"moodle_login": 1, "moodle_course": 1, "moodle_mobile": 1},
        {("31", _AT, activity): 1 for activity in ("moodle_login", "moodle_course", "moodle_mobile")},
        ignored=3,
        dead={"timecreated": 1},
    ),
    Sample(
        "moodle",
        "report",
        _report(),
        "csv",
        {"moodle_login": 1, "moodle_course": 1},
        {("32", _AT, "moodle_login"): 1, ("32", _AT, "moodle_course"): 1},
        ignored=1,
        dead={"Description: ": 1, "Time: ": 1},
    ),
    _json(
        "moodle",
        "statements of 2017",
        _of("jisc", *_STATEMENTS),
        {"moodle_login": 1},
        {("stu1", "2017-11-06", "moodle_login"): 1},
        ignored=1,
        waiting=1,  # mwebb is in no directory
        entrance="xapi",
    ),
    _json(
        "moodle",
        "statements of 2026",
        [
            test_moodle.statement(actor=_moodle_user(33)),
            test_moodle.statement(_LOGGED_IN, actor=_moodle_user(33)),
            test_moodle.statement(r"\mod_assign\event\assessable_submitted", actor=_moodle_user(33)),
        ],
        {"moodle_login": 1, "moodle_course": 1},
        {("33", _AT, "moodle_login"): 1, ("33", _AT, "moodle_course"): 1},
        ignored=1,
        entrance="xapi",
    ),
    _json(
        "moodle",
        "Caliper 1.1",
        [
            test_moodle.caliper(actor=f"{_CALIPER_USER}/34"),
            test_moodle.caliper(
                actor=f"{_CALIPER_USER}/34",
                type="SessionEvent",
                action="LoggedIn",
                id="urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f12",
            ),
            test_moodle.caliper(actor="http://purl.imsglobal.org/caliper/Person"),
        ],
        {"moodle_login": 1, "moodle_course": 1},
        {("34", _AT, "moodle_login"): 1, ("34", _AT, "moodle_course"): 1},
        ignored=1,
        entrance="caliper",
    ),
    _json(
        "moodle",
        "Caliper 1.2",
        [
            test_caliper.navigated(
                actor={"id": f"{_CALIPER_USER}/35", "type": "Person", "name": "Jo Doe"},
                id="urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f13",
            ),
            test_caliper.navigated(eventTime="2026-10-05T09:15:00"),
        ],
        {"moodle_course": 1},
        {("35", _AT, "moodle_course"): 1},
        dead={"eventTime: ": 1},
        entrance="caliper",
    ),
]

FASER = [
    _json(
        "faser",
        "events",
        [
            test_faser.ours(),
            test_faser.ours(id="e2", action="uploaded"),
            test_faser.ours(id="e3", on_behalf_of="s1"),
            test_faser.ours(id="e4", action="marked"),
        ],
        {"faser_view": 1, "faser_upload": 1},
        {("jdoe", _AT, "faser_view"): 1, ("jdoe", _AT, "faser_upload"): 1},
        ignored=1,
        dead={"action: ": 1},
    ),
    _json(
        "faser",
        "Moodle's log",
        [
            test_faser.row("assessable_submitted", id=1, userid=36),
            test_faser.row("submission_status_viewed", id=2, userid=36),
            test_faser.row("submission_viewed", id=3, userid=36, relateduserid=23),
        ],
        {"faser_view": 1, "faser_upload": 1},
        {("36", _AT, "faser_view"): 1, ("36", _AT, "faser_upload"): 1},
        ignored=1,
    ),
    _json(
        "faser",
        "statements of 2017",
        _of("jisc", *_STATEMENTS),
        {"faser_upload": 1},
        {("stu1", "2017-11-17", "faser_upload"): 1},
        ignored=2,
        entrance="xapi",
    ),
]

# Both joins are of one meeting: one attendance.
ZOOM = _json(
    "zoom",
    "webhooks",
    [
        *(path.read_bytes() for path in sorted((DATA / "zoom").glob("*.json"))),
        test_zoom.joined({"id": "9876543210"}),  # in no timetable
        test_zoom.joined(email="", registrant_id=None, participant_user_id="a guest"),
    ],
    {"zoom": 2},
    {("jchill@example.com", "2021-07-13", "zoom"): 1},
    ignored=4,
    waiting=1,
    answered=1,
    entrance="zoom",
)

LIBRARY = [
    _json(
        "library",
        "webhooks of Alma",
        [
            *(path.read_bytes() for path in sorted((DATA / "alma").glob("*.json"))),
            test_library.body(loan_id="1", loan_date="23/02/2018"),
        ],
        {"library_loan": 1},
        {("LBAAJH", "2018-02-23", "library_loan"): 1},
        ignored=5,
        dead={"item_loan.loan_date: ": 1},
        answered=1,
        entrance="alma",
    ),
    _jisc("library", "borrowed.tsv", {"library_loan": 1090}, _loans(), dead={"TIMESTAMP: not a date": 7}),
    _json(
        "library",
        "statements",
        [test_library.statement(), test_library.statement(id="6ee080c5-1626-4216-98cf-16611636b68d", verb={"id": VIEWED})],
        {"library_loan": 1},
        {("jsmith20", "2018-11-18", "library_loan"): 1},
        ignored=1,
        entrance="xapi",
    ),
]  # fmt: skip

LISTEN_AGAIN = [
    _jisc("listen-again", "video.tsv", {"listen_again": 1}, {("username", "2018-11-30", "listen_again"): 1}, ignored=8),
    _json(
        "listen-again",
        "statements",
        [_watched("PT1234S", "1"), _watched("PT12S", "2"), _watched("20.5", "3")],
        {"listen_again": 1},
        {("jdoe", _AT, "listen_again"): 1},
        ignored=1,
        dead={"result.duration: ": 1},
        entrance="xapi",
    ),
]

PC_LABS = [
    Sample(
        "pc-labs", "event.xml", test_pc_labs.xml(), "xml", {"pc_login": 1}, {("jsmith20", _AT, "pc_login"): 1},
        entrance=None, last=5,
    ),
    # One logon, as three collectors tell it.
    _json(
        "pc-labs",
        "events of collectors",
        [
            test_pc_labs.winlogbeat(),
            test_pc_labs.before_seven(),
            test_pc_labs.nxlog(),
            test_pc_labs.nxlog(TargetUserName="LAB-07$"),
            test_pc_labs.nxlog(EventID=4634),
            test_pc_labs.nxlog(EventTime="05-10-2026"),
        ],
        {"pc_login": 3},
        {("jsmith20", _AT, "pc_login"): 1},
        ignored=2,
        dead={"EventTime: ": 1},
    ),
]  # fmt: skip

READING_LISTS = [
    _jisc("reading-lists", "readinglist-view-reading-list.tsv", {}, {}, ignored=13),
    _jisc("reading-lists", "readinglist-viewed-reading-list-item.tsv", {"reading_list": 7}, READ, ignored=3),
    _json(
        "reading-lists",
        "statements",
        [
            _said(VIEWED, "http://xapi.jisc.ac.uk/activities/reading-list", "lists/4"),
            _said(VIEWED, "http://xapi.jisc.ac.uk/vle/page", "4"),
        ],
        {"reading_list": 1},
        {("jdoe", _AT, "reading_list"): 1},
        ignored=1,
        entrance="xapi",
    ),
]

_EVENT = {"activity": "moodle_course", "at": "2026-10-05T09:00:00+01:00", "id": "event-1"}
EVENTS = [
    _json(
        "events",
        "events",
        [
            {"student": "28400", **_EVENT, "count": 3},
            {"student": "28400", **_EVENT, "count": 3},
            {"student": "28401", **_EVENT},
        ],
        {"moodle_course": 2},
        {("28400", _AT, "moodle_course"): 3},
        dead={"student: unknown": 1},
        entrance="events",
    ),
    _json(
        "events-by-identity",
        "events",
        [{"person": "04A2B9C1", **_EVENT}, {"person": "04A2B9C2", **_EVENT, "id": "event-2"}],
        {"moodle_course": 1},
        {("04A2B9C1", _AT, "moodle_course"): 1},
        waiting=1,
    ),
]

SAMPLES = [*EVENTS, *FASER, *HUB, *LIBRARY, *LISTEN_AGAIN, *MOODLE, *PC_LABS, *READING_LISTS, *TAP_INS, ZOOM]
SOURCES = tuple(sorted({sample.source for sample in SAMPLES}))
