"""The simulated university: its students, who do not exist, the keys they have at its systems, and its teaching."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from leap.demo.sources.days import Days

SITE = "simulated.example"
"""The domain of everything here; nobody can have it."""

NO_STUDENTS = 9_000
"""From this number on a person is none of the students: staff, visitors, guests. Nobody says who they are."""

LATECOMERS = 12
"""The last students, of whom the directory says only in the end which keys they have."""


class Person(NamedTuple):
    """Somebody, by the number that all keys are made of."""

    number: int

    @property
    def student(self) -> str:
        """The id on the roster."""
        return f"sim-{self.number:04}"

    @property
    def account(self) -> str:
        """The name to log in with."""
        return f"sim{self.number:04}"

    @property
    def user(self) -> int:
        """Moodle's user id."""
        return 1_000 + self.number

    @property
    def email(self) -> str:
        """The e-mail address."""
        return f"{self.account}@{SITE}"

    @property
    def registrant(self) -> str:
        """The registration for webinars at Zoom."""
        return f"reg-sim-{self.number:04}"

    @property
    def reader(self) -> str:
        """The library's key, on its card."""
        return f"LBSIM{self.number:04}"

    @property
    def card(self) -> str:
        """The number of the campus card; the zeros in front count."""
        return f"00{470_000 + self.number}"

    @property
    def registered(self) -> str:
        """What the register of attendance calls a student."""
        return f"STUSIM{self.number:04}"

    @property
    def badge(self) -> str:
        """The key at the system that has no adapter."""
        return f"badge-sim-{self.number:04}"


class Identity(NamedTuple):
    """A line of the directory's file; ``first`` and ``last``: ISO dates, or empty."""

    source: str
    key: str
    student: str
    first: str = ""
    last: str = ""


class Teaching(NamedTuple):
    """A timetabled event: ``share`` of its day at which people come, and where they do."""

    event: str
    day: int
    share: float
    readers: tuple[str, ...] = ()
    meeting: int | None = None


@dataclass(frozen=True)
class University:
    """Everything that is known of it before anything happens."""

    students: tuple[Person, ...]
    days: Days

    @property
    def known(self) -> tuple[Person, ...]:
        """The students whose keys are known from the start."""
        return self.students[:-LATECOMERS]

    @property
    def latecomers(self) -> tuple[Person, ...]:
        """The others."""
        return self.students[-LATECOMERS:]

    @property
    def lectures(self) -> tuple[Teaching, ...]:
        """Lectures of today and of yesterday, each in a hall of its own with two doors."""
        return tuple(
            Teaching(f"SIM-L{hall}-{day}", day, 0.1 + 0.2 * hall, (f"Hall {hall}{day} A", f"Hall {hall}{day} B"))
            for day in (0, 1)
            for hall in range(4)
        )

    @property
    def webinars(self) -> tuple[Teaching, ...]:
        """Webinars of today and of yesterday."""
        return tuple(
            Teaching(f"SIM-W{number}-{day}", day, 0.2 + 0.3 * number, (), 91_000_000_000 + 10 * number + day)
            for day in (0, 1)
            for number in range(3)
        )

    def timetable(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield the rows of the timetable's file: from twenty minutes before people come to an hour after."""
        for teaching in (*self.lectures, *self.webinars):
            come = self.days.at(teaching.day, teaching.share)
            venues = [f"reader:{reader}" for reader in teaching.readers]
            venues += [] if teaching.meeting is None else [f"zoom:{teaching.meeting}"]
            start, end = (self.days.local(instant).isoformat() for instant in (come - 1200.0, come + 3600.0))
            yield teaching.event, start, end, ";".join(venues), "yes"


def identities(person: Person) -> Iterator[Identity]:
    """Yield every key of a student but the campus card."""
    for source, key in (
        ("moodle", str(person.user)),
        ("faser", person.account),
        ("faser", str(person.user)),
        ("zoom", person.email),
        ("zoom", f"registrant:{person.registrant}"),
        ("library", person.reader),
        ("tap-ins", person.registered),
        ("pc-labs", person.account),
        ("listen-again", person.account),
        ("reading-lists", person.account),
        ("hub", person.account),
        ("events-by-identity", person.badge),
    ):
        yield Identity(source, key, person.student)


def card(person: Person, *, first: str = "", last: str = "") -> Identity:
    """Return the identity of a campus card."""
    return Identity("tap-ins", person.card, person.student, first, last)
