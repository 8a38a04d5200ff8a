"""What should stand, worked out plainly: counts from the student's id, scores in fractions, one student at a time.

A student's id encodes its own totals: `s0042-c17-t3` views courses 17 times and taps in 3 times, and does nothing else.
"""

import random
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import numpy as np

from schemas import state
from schemas.activities import ACTIVITIES
from schemas.cloudevents import VERSION
from tests.integration.harness import POLICY, Event, Got, Installation, noon

LETTERS = {"c": "moodle_course", "t": "tap_in", "l": "moodle_login", "r": "reading_list"}
EPOCH = date(1970, 1, 1)
_POLICY = tomllib.loads(POLICY)
_WINDOW: int = _POLICY["policy"]["window_days"]
_BANDS = [(name, Fraction(str(_POLICY["bands"][name]))) for name in ("high", "good", "partial", "low")]

Counts = Mapping[date, Counter[str]]


def students(n: int, seed: int = 1, most: int = 20) -> list[str]:
    """Return ids that encode totals; every tenth student never does anything."""
    chance = random.Random(seed)
    made = []
    for i in range(n):
        does = (
            []
            if i % 10 == 9
            else [f"{k}{chance.randint(1, most)}" for k in chance.sample("ctlr", chance.randint(1, 3))]
        )
        made.append("-".join([f"s{i:04}", *does]))
    return made


def totals(student: str) -> Counter[str]:
    """Return the counts that an id encodes."""
    return Counter({LETTERS[k]: int(n) for k, n in re.findall(r"-([ctlr])(\d+)", student)})


def events(ids: Iterable[str], days: list[date], seed: int = 1, disorder: int = 200) -> list[Event]:
    """Return the events that make the ids true, in a disorder that is bounded."""
    chance = random.Random(seed)
    made = []
    for student in ids:
        for activity, n in totals(student).items():
            for i in range(n):
                at = noon(chance.choice(days), chance.randrange(24), chance.randrange(60))
                made.append(Event(student, activity, at, f"{student}/{activity}/{i}"))
    chance.shuffle(made)
    made.sort(key=lambda event: event.at)
    order = sorted(range(len(made)), key=lambda i: i + chance.randrange(disorder))
    return [made[i] for i in order]


def by_day(some: Iterable[Event]) -> dict[str, dict[date, Counter[str]]]:
    """Return student -> day -> counts."""
    found: defaultdict[str, defaultdict[date, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for event in some:
        found[event.student][event.at.date()][event.activity] += 1
    return {student: dict(days) for student, days in found.items()}


# -- what was read ------------------------------------------------------------------------------------------------------


class State:
    """`leap.engagement` folded: of each key the highest version, as every reader of versions would."""

    def __init__(self, records: Iterable[Got]) -> None:
        self.rows: dict[str, np.void] = {}
        self.partitions: dict[int, state.PartitionRow] = {}
        self.out_of_order: list[bytes] = []
        held: dict[tuple[int, bytes], tuple[int, bytes | None]] = {}
        last: dict[tuple[int, bytes], int] = {}
        for record in records:
            if record.key is None:
                continue
            if record.key == state.KEY_PARTITION:
                row = state.decode_partition(record.value or b"")
                version, place = row.epoch << 48 | max(row.offset, 0), (record.partition, record.key)
            elif record.key[0] <= 3:
                continue
            elif record.value is None:
                version, place = int(record.headers[VERSION]), (record.partition, record.key)
            else:
                version, place = (
                    int.from_bytes(record.value[4:12], "little", signed=True),
                    (record.partition, record.key),
                )
            last[place] = version
            if version >= held.get(place, (-1, b""))[0]:
                held[place] = version, record.value
        for (partition, key), (version, value) in held.items():
            if last[partition, key] < version:
                self.out_of_order.append(key)
            if key == state.KEY_PARTITION:
                self.partitions[partition] = state.decode_partition(value or b"")
            elif value is not None:
                self.rows[key.decode()] = state.decode_rows([value], value[2], value[3])[0]

    def oldest(self, student: str) -> date:
        """Return the oldest day of which a row has counts."""
        row = self.rows[student]
        return EPOCH + timedelta(days=int(row["anchor"]) - len(row["counts"]) + 2 + 1)

    def counts(self, student: str) -> dict[date, Counter[str]]:
        """Return a student's counts by day, without zeroes."""
        row, first = self.rows[student], self.oldest(student)
        return {
            first + timedelta(days=slot): Counter({ACTIVITIES[i]: int(n) for i, n in enumerate(counts) if n})
            for slot, counts in enumerate(row["counts"].tolist())
            if any(counts)
        }


async def read_state(installation: Installation) -> State:
    """Read the state back."""
    return State(await installation.read(installation.topics.engagement.name))


def once_each(records: Iterable[Got]) -> list[Got]:
    """Drop what was delivered twice; the same key, version and id must be the same record."""
    seen: dict[Any, Got] = {}
    for record in records:
        what = record.key, record.headers["ce_id"], record.json["version"]
        if what in seen:
            assert (seen[what].value, seen[what].headers) == (record.value, record.headers), (
                f"one id, two contents: {what}"
            )
        else:
            seen[what] = record
    return list(seen.values())


async def assert_counts(
    installation: Installation, ids: Iterable[str], expected: Mapping[str, Counts], *, in_order: bool = False
) -> State:
    """Every student's row holds exactly the expected counts of every day that it reaches back to."""
    held = await read_state(installation)
    wrong = []
    for student in ids:
        if student not in held.rows:
            wrong.append(f"{student}: has no row")
            continue
        found, oldest = held.counts(student), held.oldest(student)
        should = {day: counts for day, counts in expected.get(student, {}).items() if day >= oldest}
        if found != should:
            wrong.append(f"{student}: {found}, should be {should}")
    assert not wrong, f"{len(wrong)} students are wrong:\n" + "\n".join(wrong[:10])
    if in_order:
        assert not held.out_of_order, f"older versions stand behind newer ones: {held.out_of_order[:10]}"
    return held


# -- days, ratings, alerts ----------------------------------------------------------------------------------------------


def score(counts: Mapping[str, int]) -> Fraction:
    """Return a day's score."""
    weights = {name: a for name, a in _POLICY["activities"].items() if "weight" in a}
    whole = sum(Fraction(str(a["weight"])) for a in weights.values())
    part = sum(
        Fraction(str(a["weight"])) * min(Fraction(1), Fraction(counts.get(name, 0), a["target"]))
        for name, a in weights.items()
    )
    return 100 * part / whole


def mean(counts: Counts, end: date) -> Fraction:
    """Return the mean day score of the window that ends on a day (for students enrolled since ever)."""
    return sum((score(counts.get(end - timedelta(days=i), {})) for i in range(_WINDOW)), Fraction(0)) / _WINDOW


def band(value: Fraction) -> str:
    """Return the band of a mean."""
    return next((name for name, lowest in _BANDS if value >= lowest), "very_low")


def live(counts: Counts, closed: date) -> str:
    """Return the live rating: of the window ends from the last closed day to the last active open one, the best."""
    ends = [closed, *(day for day in (closed + timedelta(days=1), closed + timedelta(days=2)) if counts.get(day))]
    through = max(ends)
    return band(max(mean(counts, closed + timedelta(days=i)) for i in range((through - closed).days + 1)))


def alerts(counts: Counts, first: date, closed: date, held: Iterable[date] = ()) -> dict[str, str]:
    """Return the alerts of a student observed since ``first``, after the closes up to ``closed``: id to state.

    ``held``: days at whose close nothing may open.
    """
    found: dict[str, str] = {}
    steps: list[int] = _POLICY["alerts"]["no_activity"]["days"]
    worst = [name for name, _ in _BANDS].index(_POLICY["alerts"]["low_engagement"]["at_or_below"])
    still: dict[str, str] = {}
    active = first - timedelta(days=1)
    for n in range((closed - first).days + 1):
        day = first + timedelta(days=n)
        if counts.get(day):
            active = day
        holds = {f"no_activity_{i + 1}": (day - active).days >= days for i, days in enumerate(steps)}
        names = [name for name, _ in _BANDS]
        rated = band(mean(counts, day))
        holds["low_engagement"] = rated == "very_low" or names.index(rated) >= worst
        for rule, reason in holds.items():
            watched = rule != "low_engagement" or day - timedelta(days=_WINDOW - 1) >= first
            if reason and rule not in still and watched and day not in held:
                still[rule] = f"{rule}.{day}"
                found[still[rule]] = "opened"
            elif not reason and rule in still:
                found[still.pop(rule)] = "closed"
    return found


async def assert_days(installation: Installation, expected: Mapping[str, Counts], first: date, closed: date) -> None:
    """The days' topic says of every closed day of every student what it should, and the closes are whole.

    One close a partition and day, in order; a student's day once, before the close's own record; zero days unsaid.
    """
    records = once_each(await installation.read(installation.topics.days.name))
    days = [first + timedelta(days=n) for n in range((closed - first).days + 1)]
    closes = [r for r in records if r.headers["ce_type"] == b"leap.closed-day.v1"]
    found = {n: [r.json["day"] for r in closes if r.partition == n] for n in range(installation.settings.partitions)}
    assert found == {n: [d.isoformat() for d in days] for n in found}
    said = {}
    for record in (r for r in records if r.headers["ce_type"] == b"leap.day.v1"):
        body = record.json
        what = body["student"], date.fromisoformat(body["day"])
        if not body["restated"]:
            assert what not in said, f"said twice, in two versions: {what}"
            assert record.offset < next(
                c.offset for c in closes if c.partition == record.partition and c.json["day"] == body["day"]
            )
        if what not in said or said[what]["version"] < body["version"]:
            said[what] = body
    should = {
        (student, day): dict(counts[day]) for student, counts in expected.items() for day in days if counts.get(day)
    }
    assert {what: body["counts"] for what, body in said.items()} == should
    for (student, day), body in said.items():
        assert abs(body["score"] - float(score(expected[student][day]))) < 1e-5, (student, day)


async def assert_ratings(
    installation: Installation, ids: Iterable[str], expected: Mapping[str, Counts], closed: date | None
) -> dict[str, list[dict[str, Any]]]:
    """Each student's rating changes are a chain without a link missing or doubled, and it ends where it should."""
    chains: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in once_each(await installation.read(installation.topics.ratings.name)):
        chains[record.json["student"]].append(record.json)
    wrong = []
    for student in ids:
        chain = sorted(chains[student], key=lambda body: body["version"])
        before: tuple[Any, Any] = (None, None)
        for body in chain:
            now = body["rating"], body["reason"]
            if (body["previous"], body["previous_reason"]) != before or now == before:
                wrong.append(f"{student}: {before} then {body}")
            before = now
        should = (None, "no_closed_day") if closed is None else (live(expected.get(student, {}), closed), None)
        if before != should:
            wrong.append(f"{student}: {before}, should be {should}")
        if len({body["version"] for body in chain}) != len(chain):
            wrong.append(f"{student}: two ratings in one version")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:10])
    return chains


async def assert_alerts(
    installation: Installation,
    ids: Iterable[str],
    expected: Mapping[str, Counts],
    first: date,
    closed: date,
    held: Iterable[date] = (),
) -> None:
    """Each alert was opened once, and stands as it should after the last close."""
    opened: Counter[str] = Counter()
    said: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for record in once_each(await installation.read(installation.topics.alerts.name)):
        body = record.json
        assert record.key == f"{body['student']}/{body['alert']}".encode()
        opened[f"{body['student']}/{body['alert']}"] += body["state"] == "opened"
        said[body["student"]][body["alert"]] = max(
            said[body["student"]].get(body["alert"], (-1, "")), (body["version"], body["state"])
        )
    assert not [alert for alert, n in opened.items() if n != 1], "opened in more than one version"
    for student in ids:
        found = {alert: now for alert, (_, now) in said[student].items()}
        assert found == alerts(expected.get(student, {}), first, closed, held), student
