"""The keys of the read model: their names, fields and lifetimes, declared once.

The sink writes by :class:`Keys`, its scripts get templates from there, and ``docs/read-model.md`` holds
:func:`reference` word for word (a test compares them). Student ids and codes of departments and courses stand in
braces, so that all keys of one student (department, course) share a slot.
"""

from dataclasses import dataclass, field

NOT_RATED = "not_rated"
"""What stands for a band where there is none."""

DAYS_KEPT = 60
"""A student's closed days reach back so many days from the last one with activity."""
ALERT_DAYS = 90
"""Days for which an alert that is no longer open is kept."""
TOMBSTONE_DAYS = 28
"""Days for which a removed student's version is kept, so that a late write cannot bring anything back."""
UNKNOWN_DAYS = 1
"""Days for which a record waits whose student has no view (yet)."""
CHANGES_DAYS = 7
"""Days for which rating changes are kept on their stream."""
COHORT_DAYS = 7
"""Days for which figures stay when no later ones replace them."""
CHANGES_KEPT = 10_000
"""Rating changes of a partition that are kept at most."""

DAY_SECONDS = 24 * 3600

_REMOVED = "until the student is removed"
_WAITING = f"{UNKNOWN_DAYS} day while the student has no view"


@dataclass(frozen=True)
class Family:
    """Keys of one form: the pattern (``<...>`` varies), Redis type, how long one lives, what it is for, its fields."""

    pattern: str
    type: str
    lifetime: str
    purpose: str
    fields: dict[str, str] = field(default_factory=dict)


VIEW = Family(
    "leap:{<student>}:view",
    "hash",
    f"{_REMOVED}, then {TOMBSTONE_DAYS} days with nothing but `version` and `removed`",
    "What is known of a student now: the first key to read. Without `version`, or with `removed`, there is no such "
    "student.",
    {
        "version": "Orders everything about a student: a higher one is newer.",
        "removed": "`1` when the student was removed; nothing else stands then.",
        "rating": "The live rating: `high`, `good`, `partial`, `low`, `very_low` or `not_rated`.",
        "reason": "Why the student is not rated (`no_closed_day`, `not_started`, `withdrawn`, `intermitting`, "
        "`research`, "
        "`year_abroad`, `placement`, `no_countable_day`); empty when rated.",
        "score": "The mean day score behind the rating, 0 to 100; empty when not rated.",
        "since": "When rating and reason took hold (UTC).",
        "closed_day": "The last closed day when this was written (before the first close, the day before it all "
        "began). Days that "
        "the partition has closed since (`leap:closed:<partition>`) changed nothing for this student.",
        "closed_rating": "The official rating, of the last closed day.",
        "partition": "The partition, as in `leap:closed:<partition>` and `leap:changes:<partition>`.",
        "doc": "JSON: `days` (seven days, oldest first, each `day` and `counts` by activity), `closed_score`, "
        "`window_end` (last day "
        "of the window that gives the rating), `last_active` (day), `recorded_at` (when the broker took the last "
        "activity's "
        "source record, UTC: how fresh this is), `open` (alert spells that are open: `kind`, `step`, `opened_for`).",
        "enrolled": "Version since which the student is on the roster.",
        "roster": "Version of the roster entry that department and course are from.",
        "department": "Code of the department; empty if none.",
        "course": "Code of the course; empty if none.",
    },
)
RATING = Family(
    "leap:{<student>}:rating",
    "hash",
    f"{_REMOVED}; {_WAITING}",
    "The last rating change, with everything that explains it.",
    {
        "version": "Version of the change.",
        "doc": "JSON, the record of `leap.ratings`: rating, cause, policy, the window's days with counts and scores, "
        "feeds behind.",
    },
)
DAYS = Family(
    "leap:{<student>}:days",
    "hash",
    f"days that reach {DAYS_KEPT} days back from the last one with activity, {_REMOVED}; {_WAITING}",
    "Closed days with activity; a day that is not there had none (or is older).",
    {
        "<day>": "JSON, the record of `leap.days`: counts by activity, score, policy, feeds behind, and what it was "
        "before a restatement."
    },
)
ALERTS = Family(
    "leap:{<student>}:alerts",
    "hash",
    f"an open alert until it ends; one that ended, {ALERT_DAYS} days (longer only while another is open and none has "
    f"changed); "
    f"{_REMOVED}; {_WAITING}",
    "Alerts: for a person to look at, never a decision. Filter by `state`.",
    {"<alert>": "JSON, the record of `leap.alerts`: kind, state (`opened`, `superseded`, `closed`) and the evidence."},
)
DEPARTMENT_RATING = Family(
    "leap:{department:<department>}:rating:<rating>",
    "set",
    "while it has members",
    "Ids of a department's students by live rating (`not_rated` too). The six sets of a department are disjoint and "
    "hold all "
    "of its students; a student moves between them in the same step as the view changes.",
)
COURSE_RATING = Family(
    "leap:{course:<course>}:rating:<rating>", "set", "while it has members", "The same for a course."
)
DEPARTMENTS = Family("leap:departments", "set", "no end", "Codes of the departments that have students.")
COURSES = Family("leap:courses", "set", "no end", "Codes of the courses that have students.")
CHANGES = Family(
    "leap:changes:<partition>",
    "stream",
    f"{CHANGES_DAYS} days, at most {CHANGES_KEPT} entries",
    "Rating changes as they happen, for live boards. An id is `<epoch>-<offset in leap.ratings + 1>`, so it is no "
    "time, and a change "
    "has the same id however often it is written.",
    {
        "student": "Whose rating changed.",
        "version": "Version of the change.",
        "rating": "The rating now.",
        "previous": "The rating before (the same when only department or course changed).",
        "cause": "`activity`, `late_activity`, `correction` (an activity was taken back), `close` or `roster`.",
        "department": "Code of the department; empty if none.",
        "course": "Code of the course; empty if none.",
        "at": "When it was sent, milliseconds since 1970.",
    },
)
COHORT = Family(
    "leap:cohort:{department:<department>}",
    "hash",
    f"until the next close replaces them, at most {COHORT_DAYS} days",
    "A department's figures at the last close: official ratings counted. Withheld when fewer than 10 students are "
    "rated; a "
    "count of 1 to 4 is `suppressed`, and with it another, where the rest would give it away.",
    {
        "day": "The closed day, once every partition has closed it.",
        "rated": "How many students are rated; `suppressed` when fewer than 10.",
        "high": "How many at High; or `suppressed`. The same for the other bands.",
        "good": "",
        "partial": "",
        "low": "",
        "very_low": "",
    },
)
COHORT_DAY = Family(
    "leap:cohort:day",
    "string",
    "no end",
    "The day of the last published cohort figures. Everybody is counted for them once the last partition has closed "
    "the day, so they come a little later than the ratings themselves.",
)
CLOSED = Family(
    "leap:closed:<partition>",
    "hash",
    "no end",
    "What holds for all students of a partition.",
    {
        "version": "Version of what the partition has dealt with.",
        "day": "The last closed day; empty before the first.",
        "stale": "JSON: feeds that are behind now (name to the day since), which makes ratings provisional.",
    },
)
PROGRESS = Family(
    "leap:progress",
    "hash",
    "no end: kept beside the data, because it must be lost with it",
    "How far the sink is in Kafka: everything before is written. Not for dashboards.",
    {"<topic>-<partition>": "`<epoch>:<offset>` of the next record to write."},
)
ATTEMPTS = Family(
    "leap:progress:attempts",
    "hash",
    "no end",
    "The sink's proof that a batch was written here. Not for dashboards.",
    {"<topic>-<partition>": "Random id of the last batch."},
)

FAMILIES = (
    VIEW,
    RATING,
    DAYS,
    ALERTS,
    DEPARTMENT_RATING,
    COURSE_RATING,
    DEPARTMENTS,
    COURSES,
    CHANGES,
    COHORT,
    COHORT_DAY,
    CLOSED,
    PROGRESS,
    ATTEMPTS,
)
"""Every family of keys there is."""


class Keys:
    """The keys of one installation.

    >>> Keys().view("s1")
    'leap:{s1}:view'
    >>> Keys().department_rating("cs", "high")
    'leap:{department:cs}:rating:high'
    """

    def __init__(self, prefix: str = "leap") -> None:
        """Name the prefix, as in the topics."""
        self.prefix = prefix
        self.departments = f"{prefix}:departments"
        self.courses = f"{prefix}:courses"
        self.progress = f"{prefix}:progress"
        self.attempts = f"{prefix}:progress:attempts"
        self.cohort_day = f"{prefix}:cohort:day"

    def view(self, student: str) -> str:
        """Return the key of :data:`VIEW`."""
        return f"{self.prefix}:{{{student}}}:view"

    def rating(self, student: str) -> str:
        """Return the key of :data:`RATING`."""
        return f"{self.prefix}:{{{student}}}:rating"

    def days(self, student: str) -> str:
        """Return the key of :data:`DAYS`."""
        return f"{self.prefix}:{{{student}}}:days"

    def alerts(self, student: str) -> str:
        """Return the key of :data:`ALERTS`."""
        return f"{self.prefix}:{{{student}}}:alerts"

    def department_rating(self, department: str, rating: str) -> str:
        """Return the key of :data:`DEPARTMENT_RATING`."""
        return f"{self.prefix}:{{department:{department}}}:rating:{rating}"

    def course_rating(self, course: str, rating: str) -> str:
        """Return the key of :data:`COURSE_RATING`."""
        return f"{self.prefix}:{{course:{course}}}:rating:{rating}"

    def changes(self, partition: int) -> str:
        """Return the key of :data:`CHANGES`."""
        return f"{self.prefix}:changes:{partition}"

    def cohort(self, department: str) -> str:
        """Return the key of :data:`COHORT`."""
        return f"{self.prefix}:cohort:{{department:{department}}}"

    def closed(self, partition: int | str) -> str:
        """Return the key of :data:`CLOSED`."""
        return f"{self.prefix}:closed:{partition}"

    def student_of(self, key: str) -> str:
        """Return the student of one of a student's four keys."""
        return key.removeprefix(f"{self.prefix}:{{").rpartition("}:")[0]


def reference() -> str:
    """Return the reference of all keys as Markdown."""
    parts = []
    for family in FAMILIES:
        lines = [f"### `{family.pattern}`", "", f"*{family.type}; lifetime: {family.lifetime}.* {family.purpose}", ""]
        if family.fields:
            lines += ["| field | |", "|---|---|"]
            lines += [f"| `{name}` | {meaning} |" for name, meaning in family.fields.items()]
            lines.append("")
        parts.append("\n".join(lines))
    return "\n".join(parts)
