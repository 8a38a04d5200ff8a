"""The plan of a day at the simulated university: what every system sends, which way, and what has to become of it.

Planted beside what students do: repeats (webhooks tried again, plugins that send again, the same file twice), late
files (events of days before), broken records, records that are not for us, and records of people whom nobody knows:
some of them for good, and of some the directory says later on who they were. For one student and one teaching event
there are either taps or joins.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from leap.demo.sources.days import Days
from leap.demo.sources.ledger import Ledger
from leap.demo.sources.planting import (
    Planted,
    Planting,
    Shipment,
    Shown,
    broken,
    ignored,
    objects,
    shipments,
    table,
    waiting,
)
from leap.demo.sources.university import Identity, Person, Teaching, University, card, identities
from leap.demo.sources.vendors import alma, coursework, jisc, moodle, ours, panopto, readers, talis, windows, zoom
from schemas.activities import ACTIVITIES, Activity
from schemas.students import Student

STUDENTS = 300
SOURCES = (
    "moodle",
    "faser",
    "zoom",
    "library",
    "tap-ins",
    "pc-labs",
    "listen-again",
    "reading-lists",
    "hub",
    "events",
    "events-by-identity",
)
_TEACHER, _UNENROLLED, _HANDED_OVER = Person(8_001), Person(8_002), Person(8_003)
"""A teacher; a student whose keys are known and who is on no roster; the number of a card that changed hands."""
_LONG_AGO = 31
"""Days: before every window."""
_IN_COURSEWORK: tuple[tuple[str, Activity], ...] = (("viewed", "faser_view"), ("uploaded", "faser_upload"))
_IN_ASSIGNMENTS: tuple[tuple[str, Activity], ...] = (
    (moodle.STATUS_VIEWED, "faser_view"),
    (moodle.SUBMITTED, "faser_upload"),
)
_CUT_OFF = b'{"simulated": "cut'


@dataclass(frozen=True)
class Plan:
    """Everything that is sent, in order within a way in, and what has to become of it."""

    university: University
    shipments: tuple[Shipment, ...]

    @property
    def roster(self) -> list[Student]:
        """The roster's entries."""
        return [
            Student(student=person.student, department="SIM", course=f"SIM-{person.number % 5}")
            for person in self.university.students
        ]

    def timetable(self) -> bytes:
        """Return the timetable's file."""
        return _csv([("event", "start", "end", "venues", "mandatory"), *self.university.timetable()])

    def identities(self) -> bytes:
        """Return the directory's file at the start: who came late is not in it."""
        known = [line for person in (*self.university.known, _UNENROLLED) for line in _keys(person)]
        return _directory([*known, *self._handed_over()])

    def late_identities(self) -> bytes:
        """Return the directory's file in the end."""
        return _directory(line for person in self.university.latecomers for line in _keys(person))

    def ledger(self) -> Ledger:
        """Return what has to become of everything."""
        made = Ledger()
        for shipment in self.shipments:
            made.sent[shipment.source] += len(shipment.records)
            for record in shipment.records:
                made.add(shipment.source, record.fate)
        return made

    def shown(self) -> Counter[Shown]:
        """Return what the read model has to show, by student, day and activity."""
        found: Counter[Shown] = Counter()
        for shipment in self.shipments:
            for record in shipment.records:
                if record.shown is not None:
                    found[record.shown] += record.amount
        return found

    def _handed_over(self) -> list[Identity]:
        """Return the claims on a card that one student had until yesterday, and another has since today."""
        before, now = (self.university.days.date(back).isoformat() for back in (1, 0))
        first, second = (person.student for person in self.university.students[:2])
        return [
            card(_HANDED_OVER, last=before)._replace(student=first),
            card(_HANDED_OVER, first=now)._replace(student=second),
        ]


def make(days: Days, seed: int) -> Plan:
    """Return the plan of a day: the same seed gives the same records, but for their times."""
    university = University(tuple(Person(number) for number in range(1, STUDENTS + 1)), days)
    planting = Planting(university, seed)
    systems = (
        _moodle,
        _coursework,
        _webinars,
        _library,
        _taps,
        _register,
        _labs,
        _recordings,
        _reading_lists,
        _hub,
        _events,
        _badges,
    )
    return Plan(university, tuple(shipment for system in systems for shipment in system(planting)))


def _keys(person: Person) -> Iterator[Identity]:
    yield from identities(person)
    yield card(person)


def _directory(lines: Iterable[Identity]) -> bytes:
    return _csv([("source", "key", "student", "from", "to"), *lines])


def _csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _moodle(m: Planting) -> Iterator[Shipment]:
    """Students by fifths: two of them tell their acts as log rows, the others by both plugins and as Caliper events."""
    fifths: list[list[Planted]] = [[], [], [], [], []]
    for person in m.university.students:
        of = person.number % 5
        acts = [(moodle.LOGGED_IN, 1), *((moodle.VIEWED, 7 + i) for i in range(m.random.randint(1, 3)))]
        for name, course in acts:
            activity: Activity = "moodle_login" if name == moodle.LOGGED_IN else "moodle_course"
            at = m.at()
            if of < 2:
                what = moodle.log_row(m.number(), name, person.user, at, course)
            elif of < 4:
                what = (moodle.plugin if of == 2 else moodle.plugin_of_2017)(name, person.user, at, course)
            else:
                what = moodle.caliper(m.number(), person.user, at, login=name == moodle.LOGGED_IN, course=course)
            fifths[of].append(m.seen(what, person, activity))
        if of < 2:
            by_app = moodle.log_row(m.number(), moodle.PAGE_VIEWED, person.user, m.at(), origin="ws")
            fifths[of].append(m.seen(by_app, person, "moodle_mobile"))
    rows, exported, plugin, plugin_of_2017, sensor = fifths
    yield from shipments("moodle", "kafka", [*rows, *_of_no_use_to_moodle(m), *m.again(rows[-20:])], 50)
    # A longer export that begins with the one before it.
    yield objects("moodle", "ingest", exported[:-40])
    yield objects("moodle", "ingest", [*m.again(exported[:-40]), *exported[-40:]])
    submissions = [
        moodle.plugin(moodle.SUBMITTED, person.user, m.at()) for person in m.some(list(m.university.known), 5)
    ]
    for statements in (
        [*plugin, *ignored(*submissions)],
        [*plugin_of_2017, *ignored(moodle.plugin(moodle.VIEWED, 1, m.at()))],
    ):
        batches = list(shipments("moodle", "xapi", statements, 30))
        # The plugin's cron died before it noted that a batch had arrived.
        yield from [*batches, *shipments("moodle", "xapi", m.again(batches[0].records), 30)]
    without_time = moodle.caliper(m.number(), 1_001, m.at())
    del without_time["eventTime"]
    events = [*sensor, *ignored(moodle.caliper(m.number(), None, m.at())), *broken(without_time)]
    yield from shipments("moodle", "caliper", [*events, *m.again(sensor[:20])], 20)
    yield from _report(m)


def _of_no_use_to_moodle(m: Planting) -> list[Planted]:
    """Return log rows of staff, of programs, of nobody; and some that are none."""

    def row(name: str = moodle.VIEWED, user: int = 1_001, **more: Any) -> dict[str, Any]:
        return moodle.log_row(m.number(), name, user, m.at(), **more)

    without_name = row()
    del without_name["eventname"]
    return [
        *ignored(
            row(r"\core\event\user_loggedout"),
            row(origin="cron"),
            row(realuserid=_TEACHER.user),
            row(anonymous=1),
            row(user=1),
            row(course=1),
            row(r"\core\event\webservice_function_called", origin="ws"),
            row(moodle.GRADED, _TEACHER.user, relateduserid=1_001),
        ),
        *broken(without_name, row(timecreated="soon"), row(userid=None), _CUT_OFF),
        *waiting(row(user=_TEACHER.user), row(user=m.nobody().user)),
        m.seen(row(user=_UNENROLLED.user), _UNENROLLED, "moodle_course"),
    ]


def _report(m: Planting) -> Iterator[Shipment]:
    """The report of yesterday, downloaded twice."""
    rows = []
    for person in m.some([person for person in m.university.known if person.number % 5 == 0], 25):
        local = m.days.local(m.at(1))
        said = f"The user with id '{person.user}' viewed the course with id '7'."
        rows.append(m.seen(moodle.report_row("Course viewed", said, "Sim Student", local), person, "moodle_course", 1))
    local = m.days.local(m.at(1))
    rows += ignored(
        moodle.report_row("Course viewed", "The user with id '1001' viewed the course with id '7'.", "A as B", local),
        moodle.report_row("User logged out", "The user with id '1001' has logged out.", "Sim Student", local),
        moodle.report_row("Course viewed", "The user with id '1001' did it.", "-", local, origin="cli"),
    )
    rows += broken(
        moodle.report_row("Course viewed", "Sim Student viewed the course.", "Sim Student", local),
        b"1/1/26,cut off",
    )
    yield table("moodle", "ingest", rows, "csv")
    yield table("moodle", "ingest", m.again(rows), "csv")


def _coursework(m: Planting) -> Iterator[Shipment]:
    """By thirds: events of the coursework system, log rows of Moodle's assignments, statements of its plugins."""
    events: list[Planted] = []
    rows: list[Planted] = []
    statements: list[Planted] = []
    for person in m.university.students:
        of = person.number % 3
        if of == 0:
            for action, activity in _IN_COURSEWORK:
                what = coursework.event(m.number(), person.account, action, m.at())
                events.append(m.seen(what, person, activity))
        elif of == 1:
            for name, activity in _IN_ASSIGNMENTS:
                own = {"relateduserid": person.user} if name == moodle.STATUS_VIEWED else {}
                what = moodle.log_row(m.number(), name, person.user, m.at(), **own)
                rows.append(m.seen(what, person, activity))
        else:
            plugin = moodle.plugin if person.number % 2 else moodle.plugin_of_2017
            what = plugin(moodle.SUBMITTED, person.user, m.at(), m.number())
            statements.append(m.seen(what, person, "faser_upload"))
    late = [
        m.seen(coursework.event(m.number(), person.account, "viewed", m.at(1)), person, "faser_view", 1)
        for person in m.some(list(m.university.known), 20)
    ]
    file = [
        *events,
        *late,
        *ignored(coursework.event(m.number(), _TEACHER.account, "viewed", m.at(), on_behalf_of="sim0001")),
        *waiting(coursework.event(m.number(), m.nobody().account, "viewed", m.at())),
        *broken(
            coursework.event(m.number(), "sim0001", "graded", m.at()),
            coursework.event(m.number(), "sim0001", "viewed", m.at()) | {"at": "2026-10-05T09:00:00"},
        ),
    ]
    yield objects("faser", "ingest", file)
    yield objects("faser", "ingest", m.again(file))
    marked = moodle.log_row(m.number(), moodle.STATUS_VIEWED, _TEACHER.user, m.at(), relateduserid=1_001)
    graded = moodle.log_row(m.number(), moodle.GRADED, _TEACHER.user, m.at(), relateduserid=1_001)
    yield from shipments(
        "faser", "kafka", [*rows, *m.again(rows[:15]), *ignored(marked, graded), *broken(_CUT_OFF)], 50
    )
    yield from shipments("faser", "xapi", [*statements, *m.again(statements[:10])], 30)


def _webinars(m: Planting) -> Iterator[Shipment]:
    """Joins of webinars; Zoom tries a body again, people lose their connection and join once more."""
    bodies: list[Planted] = []
    for webinar in m.university.webinars:
        meeting = webinar.meeting or 0
        for person in m.some(list(m.university.students), 15 if webinar.day else 70):
            who = {"email": person.email} if m.random.random() < 0.8 else {"registrant_id": person.registrant}
            call, formed = m.number(), bool(m.random.getrandbits(1))
            what = zoom.joined(meeting, _come(m, webinar), call, webinar=formed, **who)
            joined = m.seen(what, person, "zoom", webinar.day)
            bodies.append(joined)
            if m.random.random() < 0.1:
                bodies += m.again([joined])
            if m.random.random() < 0.1:
                bodies += ignored(zoom.left(meeting, _come(m, webinar), call, **who))
                rejoined = zoom.joined(meeting, _come(m, webinar), m.number(), webinar=formed, **who)
                bodies += m.again([m.seen(rejoined, person, "zoom", webinar.day)])
    today = m.university.webinars[0]
    meeting, at = today.meeting or 0, _come(m, today)
    bodies += ignored(
        *(
            zoom.joined(555_000_000, m.at(), m.number(), email=person.email)
            for person in m.some(list(m.university.known), 10)
        ),
        zoom.other("meeting.started", meeting, at),
        zoom.other("recording.completed", meeting, at),
    )
    bodies += waiting(
        zoom.of_2019(meeting, at, m.number()),
        *(zoom.joined(meeting, at, m.number(), email=m.nobody().email) for _ in range(3)),
    )
    without_uuid = zoom.joined(meeting, at, m.number(), email="sim0001@simulated.example")
    del without_uuid["payload"]["object"]["uuid"]
    without_zone = zoom.joined(meeting, at, m.number(), email="sim0001@simulated.example")
    without_zone["payload"]["object"]["participant"]["join_time"] = "2026-10-05T09:00:00"
    bodies += broken(without_uuid, without_zone, _CUT_OFF)
    yield from shipments("zoom", "webhook", bodies)


def _come(m: Planting, teaching: Teaching) -> float:
    """Return when somebody comes to a teaching event."""
    return m.days.at(teaching.day, teaching.share + m.random.uniform(0.0, 0.008))


def _library(m: Planting) -> Iterator[Shipment]:
    """Loans by Alma's webhooks; those of the branch library in a file, a day late and twice; a file of long ago."""
    loans = [
        m.seen(alma.loan(m.number(), person.reader, m.at()), person, "library_loan")
        for person in m.some(list(m.university.students), 90)
    ]
    nobodys = alma.loan(m.number(), "", m.at())
    del nobodys["item_loan"]["user_id"]
    more = [
        *m.again(loans[:12]),
        *ignored(
            alma.loan(m.number(), "LBSIM0001", m.at(), "LOAN_RETURNED"),
            alma.loan(m.number(), "LBSIM0002", m.at(), "LOAN_RENEWED"),
            alma.of_something_else(alma.loan(m.number(), "LBSIM0003", m.at()), "DVD"),
        ),
        *waiting(alma.loan(m.number(), m.nobody().reader, m.at())),
        *broken(nobodys, alma.loan(m.number(), "LBSIM0004", m.at(), item_loan=[])),
    ]
    yield from shipments("library", "webhook", [*loans, *more])
    day, long_ago = m.days.date(1).isoformat(), m.days.date(_LONG_AGO).isoformat()
    rows = [
        m.seen(jisc.borrowed(person.reader, m.number(), day), person, "library_loan", 1)
        for person in m.some(list(m.university.known), 25)
    ]
    # Two rows of one file that are equal are two loans.
    rows += [rows[0], *ignored(jisc.borrowed("LBSIM0001", m.number(), day, "E-book"))]
    rows += broken(b"LBSIM0001\tcut off", jisc.borrowed("LBSIM0001", m.number(), "2021-02-29"))
    yield table("library", "post", rows)
    yield table("library", "post", m.again(rows))
    people = m.some(list(m.university.known), 5)
    old = [m.seen(jisc.borrowed(p.reader, m.number(), long_ago), p, "library_loan", _LONG_AGO) for p in people]
    yield table("library", "ingest", old)


def _taps(m: Planting) -> Iterator[Shipment]:
    """Cards at lecture halls, at either door and sometimes at both; and at a reader where nothing is taught."""
    swipes: list[Planted] = []

    def swipe(number: str, reader: str, at: float) -> dict[str, object]:
        return readers.swipe(m.number(), number, reader, m.days.local(at))

    for lecture in m.university.lectures:
        for person in m.some(list(m.university.students), 15 if lecture.day else 80):
            door = m.random.randrange(2)
            what = swipe(person.card, lecture.readers[door], _come(m, lecture))
            swipes.append(m.seen(what, person, "tap_in", lecture.day))
            if m.random.random() < 0.15:
                other = swipe(person.card, lecture.readers[1 - door], _come(m, lecture))
                swipes += m.again([m.seen(other, person, "tap_in", lecture.day)])
    for number, person in enumerate(m.some(list(m.university.known), 20)):
        at = m.at()
        tap = m.seen(swipe(person.card, "Porter", at), person, "tap_in")
        swipes += [tap, *m.again([tap])] if number < 5 else [tap]
    # A card that was somebody else's yesterday.
    first, second = m.university.students[:2]
    swipes += [
        m.seen(swipe(_HANDED_OVER.card, "Lodge", m.at(1)), first, "tap_in", 1),
        m.seen(swipe(_HANDED_OVER.card, "Lodge", m.at()), second, "tap_in"),
        *waiting(*(swipe(m.nobody().card, "Porter", m.at()) for _ in range(4))),
        *broken(
            swipe("00470001", "Porter", m.at()) | {"at": "2026-10-05T09:00:00"},
            swipe("00470001", "Porter", m.at()) | {"card": 470_001},
            swipe("00470001", "Porter", m.at()) | {"reader": ""},
        ),
    ]
    yield from shipments("tap-ins", "kafka", swipes, 40)


def _register(m: Planting) -> Iterator[Shipment]:
    """The registers of two seminars as files, sent twice, and that of a third as statements."""
    for back, event in ((0, "SIM-S1"), (1, "SIM-S2")):
        start = m.days.local(m.days.at(back, 0.3))
        people = m.some(list(m.university.students), 36)
        rows = [m.seen(readers.register_row(p.registered, event, start, "1"), p, "tap_in", back) for p in people[:30]]
        rows += ignored(*(readers.register_row(p.registered, event, start, "0") for p in people[30:]))
        rows += broken(
            readers.register_row("STUSIM0001", event, start, "yes"),
            dict(readers.register_row("STUSIM0001", event, start, "1")) | {"START_TIME": "2026-13-05T09:00:00"},
        )
        yield table("tap-ins", "ingest", rows)
        yield table("tap-ins", "ingest", m.again(rows))
    people, at = m.some(list(m.university.known), 23), m.days.at(0, 0.6)
    said = [
        m.seen(readers.register_statement(p.registered, "SIM-S3", at, attended=True), p, "tap_in") for p in people[:20]
    ]
    said += ignored(*(readers.register_statement(p.registered, "SIM-S3", at, attended=False) for p in people[20:]))
    yield from shipments("tap-ins", "xapi", said, 30)


def _labs(m: Planting) -> Iterator[Shipment]:
    """Logons at the PCs of the labs, as three collectors ship them; one ships again what it is not sure of."""
    logons: list[Planted] = []
    for back, people in ((0, m.some(list(m.university.students), 90)), (1, m.some(list(m.university.known), 15))):
        for number, person in enumerate(people):
            at, record, pc, name = m.at(back), m.number(), number % 20, person.account.upper()
            what = (
                windows.winlogbeat(record, pc, name, at),
                windows.nxlog(record, pc, name, m.days.local(at)),
                windows.xml(record, pc, name, at),
            )[number % 3]
            logons.append(m.seen(what, person, "pc_login", back))
    at, nameless = m.at(), windows.winlogbeat(m.number(), 1, "", m.at())
    more = [
        *m.again(logons[:12]),
        *ignored(
            windows.winlogbeat(m.number(), 1, "sim0001", at, event="4634"),
            windows.winlogbeat(m.number(), 1, "sim0001", at, kind="3"),
            windows.winlogbeat(m.number(), 1, "sim0001", at, kind="10"),
            windows.nxlog(m.number(), 1, "sim0001", m.days.local(at), kind=7),
            windows.xml(m.number(), 1, "LAB-01$", at),
            windows.xml(m.number(), 1, "DWM-1", at),
        ),
        *broken(nameless, windows.xml(m.number(), 1, "sim0001", at)[:-20], b"<Simulated/>"),
        *waiting(*(windows.winlogbeat(m.number(), 1, m.nobody().account, at) for _ in range(3))),
    ]
    yield from shipments("pc-labs", "kafka", [*logons, *more], 40)


def _recordings(m: Planting) -> Iterator[Shipment]:
    """Panopto's usage as files, of which one came a day late, all of it twice; and statements of a player."""
    for back, number in ((0, 50), (1, 20)):
        rows = []
        for person in m.some(list(m.university.students), number):
            local, minutes = m.days.local(m.at(back)), f"{m.random.uniform(2.0, 50.0):.6f}"
            rows.append(m.seen(panopto.usage(person.account, m.number(), local, minutes), person, "listen_again", back))
        local = m.days.local(m.at(back))
        rows += ignored(panopto.usage("sim0001", m.number(), local, "0.030178967"))
        rows += waiting(panopto.usage(m.nobody().account, m.number(), local, "12.5"))
        rows += broken(
            panopto.usage("sim0001", m.number(), local, "a while"),
            dict(panopto.usage("sim0001", m.number(), local, "12.5")) | {"TIMESTAMP": "2026-10-05 09:00"},
        )
        yield table("listen-again", "ingest", rows)
        yield table("listen-again", "ingest", m.again(rows))
    said = [
        m.seen(panopto.viewed(person.account, m.number(), m.at(), "PT1234S"), person, "listen_again")
        for person in m.some(list(m.university.known), 30)
    ]
    said += m.again(said[:6])
    said += ignored(panopto.viewed("sim0001", m.number(), m.at(), "PT5S"))
    said += broken(panopto.viewed("sim0001", m.number(), m.at(), "21.4"))
    yield from shipments("listen-again", "xapi", said, 20)


def _reading_lists(m: Planting) -> Iterator[Shipment]:
    """Talis's views as files, and statements."""
    rows = []
    for back, number in ((0, 60), (1, 15)):
        for person in m.some(list(m.university.students), number):
            what = talis.view(person.account, m.number(), m.days.local(m.at(back)))
            rows.append(m.seen(what, person, "reading_list", back))
    local = m.days.local(m.at())
    rows += ignored(
        talis.view("sim0001", m.number(), local, "list.edit"),
        talis.view(_TEACHER.account, m.number(), local, role="a librarian"),
    )
    rows += waiting(talis.view(m.nobody().account, m.number(), local))
    rows += broken(dict(talis.view("sim0001", m.number(), local)) | {"TIMESTAMP": ""}, b"cut\toff")
    yield table("reading-lists", "post", rows)
    yield table("reading-lists", "post", m.again(rows))
    said = [
        m.seen(talis.viewed(person.account, m.number(), m.at()), person, "reading_list")
        for person in m.some(list(m.university.known), 30)
    ]
    yield from shipments("reading-lists", "xapi", [*said, *m.again(said[:5])], 20)


def _hub(m: Planting) -> Iterator[Shipment]:
    """A hub that holds what smaller systems do: its files, sent twice, and its statements."""

    def some(number: int) -> list[tuple[Person, int, float]]:
        return [(person, m.number(), m.at()) for person in m.some(list(m.university.students), number)]

    local = m.days.local
    elsewhere = jisc.logged_in("sim0001", m.number(), local(m.at()), "http://example.org/a-print-service")
    logins = [m.seen(jisc.logged_in(p.account, n, local(at)), p, "moodle_login") for p, n, at in some(30)]
    views = [m.seen(jisc.viewed(p.account, n, local(at)), p, "moodle_course") for p, n, at in some(30)]
    entries = [m.seen(jisc.access(p.account, "Gate", local(at)), p, "tap_in") for p, _, at in some(30)]
    entries += ignored(*(jisc.access(p.account, "Gate", local(at), "O") for p, _, at in some(6)))
    works = [m.seen(jisc.submitted(p.account, n, local(at)), p, "faser_upload") for p, n, at in some(10)]
    due = broken(*(jisc.submitted(p.account, n, None) for p, n, _ in some(4)))
    day = m.days.date(1).isoformat()
    loans = [m.seen(jisc.borrowed(p.account, n, day), p, "library_loan", 1) for p, n, _ in some(10)]
    nobodys = waiting(jisc.viewed(m.nobody().account, m.number(), local(m.at())))
    for rows in ([*logins, *ignored(elsewhere)], [*views, *nobodys], entries, works, due, loans):
        yield table("hub", "ingest", rows)
        yield table("hub", "ingest", m.again(rows))
    said = [m.seen(jisc.stored(jisc.login(p.account, at), n), p, "moodle_login") for p, n, at in some(20)]
    said += [m.seen(jisc.quiz(p.account, n, at), p, "moodle_course") for p, n, at in some(20)]
    said += ignored(*(jisc.quiz(p.account, n, at, "answered") for p, n, at in some(5)))
    yield from shipments("hub", "xapi", said, 15)


def _events(m: Planting) -> Iterator[Shipment]:
    """Events of ours: over HTTP as CloudEvents, over Kafka, and from a file."""

    def event(person: Person, back: int = 0, **more: object) -> Planted:
        activity, number = m.random.choice(ACTIVITIES), m.random.choice((1, 1, 1, 3))
        what = ours.event(m.number(), activity, m.at(back), student=person.student)
        return m.seen(what | ({"count": number} if number > 1 else {}) | more, person, activity, back, number)

    taken = [event(person) for person in m.some(list(m.university.students), 100)]
    yield from shipments("events", "events", taken[:20])
    yield from shipments("events", "events", [*taken[20:], *m.again(taken[:20])], 25)
    direct = [event(person, back) for back in (0, 1) for person in m.some(list(m.university.students), 40)]
    future = ours.event(m.number(), "tap_in", m.days.now + 7 * 86_400.0, student="sim-0001")
    stranger = ours.event(m.number(), "tap_in", m.at(), student="sim-9999")
    nameless = ours.event(m.number(), "tap_in", m.at())
    unheard = ours.event(m.number(), "juggling", m.at(), student="sim-0001")
    bad = broken(future, stranger, nameless, unheard, _CUT_OFF)
    yield from shipments("events", "kafka", [*direct, *m.again(direct[:10]), *bad], 40)
    file = [event(person) for person in m.some(list(m.university.students), 30)]
    yield objects("events", "ingest", file)
    yield objects("events", "ingest", m.again(file))


def _badges(m: Planting) -> Iterator[Shipment]:
    """A system that has no adapter and knows badges only."""

    def event(person: Person, back: int = 0) -> Planted:
        activity = m.random.choice(ACTIVITIES)
        return m.seen(ours.event(m.number(), activity, m.at(back), person=person.badge), person, activity, back)

    direct = [event(person, back) for back in (0, 1) for person in m.some(list(m.university.students), 40)]
    nobodys = [event(m.nobody()), event(m.nobody())]
    nameless = ours.event(m.number(), "tap_in", m.at())
    yield from shipments(
        "events-by-identity", "kafka", [*direct, *m.again(direct[:8]), *nobodys, *broken(nameless)], 40
    )
    file = [event(person) for person in m.some(list(m.university.students), 40)]
    yield objects("events-by-identity", "ingest", file, "json")
    yield objects("events-by-identity", "ingest", m.again(file), "json")
