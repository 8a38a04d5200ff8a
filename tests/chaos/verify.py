"""The check after a run, as a program of its own: reads every topic and Redis, and holds them against plain calculations.

    python -m tests.chaos.verify RUN.json

Three of them, none of which uses what it judges: the totals that stand in the students' ids; the plain oracle
(`tests/oracle.py`), fed with the student log as it stands in Kafka; and what was sent that cannot be used. The last line is
one JSON object; the exit code is 1 if anything is wrong.
"""

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import redis.asyncio as redis

from schemas import log
from schemas.outputs import BANDS, REASONS
from schemas.policy import read_policies
from schemas.redis_keys import NOT_RATED, Keys
from tests.chaos.workload import Workload
from tests.integration import checker
from tests.integration.harness import Got, Installation
from tests.oracle import Oracle

_SHOWN = 20


@dataclass
class Report:
    """What is wrong: events lost or counted twice, versions that went back, dead letters nobody planted, and the rest."""

    events: int = 0
    lost: int = 0
    doubled: int = 0
    undone: int = 0
    unplanned_dead_letters: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.undone or self.unplanned_dead_letters or self.problems)

    def say(self, what: str, wrong: Sequence[Any]) -> None:
        """Note what is wrong, and the first few examples."""
        if wrong:
            self.problems.append(f"{what} ({len(wrong)}): {'; '.join(map(str, wrong[:_SHOWN]))}")

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self)


class Topics:
    """Everything that stands on the topics of a run, and the oracle's answer to its student log."""

    def __init__(self, system: Installation) -> None:
        self._system = system
        self.said: dict[str, list[Got]] = {}

    async def read(self) -> None:
        """Read it all."""
        topics = self._system.topics
        for topic in (topics.days, topics.ratings, topics.alerts, topics.dead_letters, topics.student_log):
            self.said[topic.name] = await self._system.read(topic.name)
        self.state = await checker.read_state(self._system)

    def once(self, topic: str) -> list[Got]:
        """Return what a topic says, without what was delivered twice; one id with two contents is an AssertionError."""
        return checker.once_each(self.said[topic])

    def oracles(self) -> dict[int, Oracle]:
        """Return, a partition each, what the log should lead to."""
        policies = read_policies(self._system.policies)
        found: dict[int, Oracle] = {}
        for record in self.said[self._system.topics.student_log.name]:
            oracle = found.setdefault(record.partition, Oracle(policies, self._system.settings.epoch))
            decoded = log.decode(record.value or b"")
            oracle.feed(record.offset, record.key, decoded.recorded_at, decoded)
        return found


async def verify(run: dict[str, Any]) -> Report:
    """Check one run, described as :meth:`tests.chaos.run.Run.describe` does."""
    work = Workload(
        run["seed"],
        run["students"],
        run["days"],
        date.fromisoformat(run["first"]),
        each=run["each"],
        ancient=run["ancient"],
    )
    report = Report(events=work.sent)
    directory = Path(run["directory"])
    async with Installation(run["kafka"], "apache", run["prefix"], directory, **run["settings"]) as system:
        found = Topics(system)
        await found.read()
        _totals(report, found, system, work)
        _outputs(report, found, system)
        _order(report, found, system)
        _dead_letters(report, found, system, work)
        await _lag(report, system)
        client: redis.Redis = redis.Redis.from_url(system.settings.redis, decode_responses=True)
        async with client:
            await _read_model(report, found, system, client)
    return report


def _totals(report: Report, found: Topics, system: Installation, work: Workload) -> None:
    """Every closed day of every student has exactly the counts that were sent, said by the days and held by the rows."""
    should = {
        (student, day): counts for student, days in checker.by_day(work.events).items() for day, counts in days.items()
    }
    newest: dict[tuple[str, date], tuple[int, Counter[str]]] = {}
    for record in found.said[system.topics.days.name]:
        if record.headers["ce_type"] == b"leap.day.v1":
            body = record.json
            what = body["student"], date.fromisoformat(body["day"])
            newest[what] = max(newest.get(what, (-1, Counter())), (body["version"], Counter(body["counts"])))
    said = {what: counts for what, (_, counts) in newest.items()}
    held = {(student, day): n for student in found.state.rows for day, n in found.state.counts(student).items()}
    oldest = {student: found.state.oldest(student) for student in found.state.rows}
    recent = {what: counts for what, counts in should.items() if what[0] in oldest and what[1] >= oldest[what[0]]}
    for where, wanted, have in (("days", should, said), ("state", recent, held)):
        wrong = []
        for what in sorted(wanted.keys() | have.keys()):
            missing = wanted.get(what, Counter()) - have.get(what, Counter())
            extra = have.get(what, Counter()) - wanted.get(what, Counter())
            report.lost += missing.total()
            report.doubled += extra.total()
            if missing or extra:
                wrong.append(f"{what[0]} {what[1]}: lost {dict(missing)}, too many {dict(extra)}")
        report.say(f"totals in the {where}", wrong)
    report.say("students without a row", sorted(set(work.ids) - found.state.rows.keys()))


def _outputs(report: Report, found: Topics, system: Installation) -> None:
    """Days, ratings and alerts are those of the oracle: none missing, none more, none different."""
    topics = system.topics
    oracles = found.oracles()
    for kind, topic in (("days", topics.days), ("ratings", topics.ratings), ("alerts", topics.alerts)):
        try:
            said = {_identity(r.partition, r.json): r.json for r in found.once(topic.name)}
        except AssertionError as error:
            report.problems.append(f"{topic.name}: {error}")
            continue
        should = {_identity(number, body): body for number, oracle in oracles.items() for body in getattr(oracle, kind)}
        report.say(f"{kind} that are missing", sorted(should.keys() - said.keys()))
        report.say(f"{kind} that should not be", sorted(said.keys() - should.keys()))
        different = [
            f"{what}: {name} is {said[what].get(name)}, should be {value}"
            for what in should.keys() & said.keys()
            for name, value in should[what].items()
            if not _near(said[what].get(name), value)
        ]
        report.say(f"{kind} that differ", different)


def _identity(partition: int, body: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes an output one output: outputs are unique by it."""
    return partition, body["version"], body.get("student", ""), body.get("day") or body.get("alert") or ""


def _near(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float | int):
        return abs(found - wanted) < 2e-6
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_near(found.get(name), value) for name, value in wanted.items())
    return bool(found == wanted)


def _order(report: Report, found: Topics, system: Installation) -> None:
    """Of each key, versions only rise (in the order in which each was first said), and the newest rows stand last."""
    for topic in (system.topics.days, system.topics.ratings, system.topics.alerts):
        reached: dict[Any, int] = {}
        seen: set[Any] = set()
        back = []
        for record in found.said[topic.name]:
            body = record.json
            if (what := _identity(record.partition, body)) in seen:
                continue
            seen.add(what)
            if body["version"] < reached.get((record.partition, record.key), -1):
                back.append(f"{record.key!r} {body['version']} at {record.partition}/{record.offset}")
            reached[record.partition, record.key] = body["version"]
        report.undone += len(back)
        report.say(f"{topic.name}: versions that went back", back)
    report.undone += len(found.state.out_of_order)
    report.say("rows behind which an older version stands", found.state.out_of_order)


def _dead_letters(report: Report, found: Topics, system: Installation, work: Workload) -> None:
    """What cannot be used is there, each record of it; nothing else is."""
    letters: dict[tuple[bytes, bytes, bytes], bytes | None] = {
        (r.headers["dlq.topic"], r.headers["dlq.partition"], r.headers["dlq.offset"]): r.value
        for r in found.said[system.topics.dead_letters.name]
    }
    there, planted = Counter(letters.values()), Counter[bytes | None](work.bad)
    unplanned = there - planted
    report.unplanned_dead_letters += unplanned.total()
    report.say("dead letters that nobody planted", list(unplanned.elements()))
    report.say("bad records that are not in the dead letters", list((planted - there).elements()))


async def _lag(report: Report, system: Installation) -> None:
    behind = {
        f"{role} {tp.topic}-{tp.partition}": n
        for role in ("roster", "intake", "waiting-room", "engagement")
        for tp, n in (await system.lag(role)).items()  # type: ignore[arg-type]
        if n
    }
    report.say("lag", [f"{where}: {n}" for where, n in behind.items()])


async def _read_model(report: Report, found: Topics, system: Installation, client: Any) -> None:
    """Last rating event = state = Redis, a student each; days and alerts are the newest; lists hold who they should."""
    topics, keys = system.topics, Keys(system.settings.prefix)
    ratings = _newest(found.said[topics.ratings.name], lambda body: body["student"])
    closed = [record for record in found.said[topics.days.name] if record.headers["ce_type"] == b"leap.day.v1"]
    days = _newest(closed, lambda body: (body["student"], body["day"]))
    alerts = _newest(found.said[topics.alerts.name], lambda body: (body["student"], body["alert"]))
    held: defaultdict[str, dict[str, dict[str, int]]] = defaultdict(lambda: {"days": {}, "alerts": {}})
    for (student, day), body in days.items():
        held[student]["days"][day] = body["version"]
    for (student, alert), body in alerts.items():
        held[student]["alerts"][alert] = body["version"]
    wrong, older = [], 0
    listed: defaultdict[str, set[str]] = defaultdict(set)
    for student, row in found.state.rows.items():
        told = ratings[student]
        rating = BANDS[row["rating"]] if row["rating"] >= 0 else None
        reason = REASONS[row["reason"]] if row["reason"] >= 0 else None
        if (told["rating"], told["reason"]) != (rating, reason):
            wrong.append(f"{student}: the row says {rating or reason}, the last rating {told['rating']}")
        view = await client.hgetall(keys.view(student))
        if not view:
            wrong.append(f"{student}: no view")
            continue
        if int(view["version"]) != int(row["version"]) or view["rating"] != (rating or NOT_RATED):
            older += int(view["version"]) < int(row["version"])
            wrong.append(f"{student}: view {view['rating']} {view['version']}, row {rating} {row['version']}")
        shown = int(await client.hget(keys.rating(student), "version") or -1)
        if shown != told["version"]:
            older += shown < told["version"]
            wrong.append(f"{student}: rating of version {shown} in Redis, {told['version']} on the topic")
        for kind, key in (("days", keys.days(student)), ("alerts", keys.alerts(student))):
            docs = {name: json.loads(doc)["version"] for name, doc in (await client.hgetall(key)).items()}
            if docs != held[student][kind]:
                older += sum(v < held[student][kind].get(name, v) for name, v in docs.items())
                wrong.append(f"{student}: {kind} {docs}, should be {held[student][kind]}")
        if view.get("department"):
            listed[keys.department_rating(view["department"], view["rating"])].add(student)
    pattern = keys.department_rating("*", "*")
    lists = {key: await client.smembers(key) async for key in client.scan_iter(pattern, count=1000)}
    if lists != dict(listed):
        differ = [key for key in lists.keys() | listed.keys() if lists.get(key) != listed.get(key)]
        wrong.append(f"lists: {differ}")
    report.undone += older
    report.say("read model", wrong)
    progress = await client.hgetall(keys.progress)
    partitions = await system.offsets.partitions(
        [topic.name for topic in (topics.engagement, topics.days, topics.ratings, topics.alerts)]
    )
    ends = await system.offsets.ends(partitions)
    expected = {f"{tp.topic}-{tp.partition}": f"{system.settings.epoch}:{end}" for tp, end in ends.items() if end}
    report.say(
        "progress in Redis", [f"{n}: {progress.get(n)} of {e}" for n, e in expected.items() if progress.get(n) != e]
    )


def _newest(records: Iterable[Got], key: Any) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for record in records:
        if record.value is None:
            continue
        body = record.json
        what = key(body)
        if what not in found or body["version"] >= found[what]["version"]:
            found[what] = body
    return found


def main() -> int:
    """Check the run that a file describes."""
    report = asyncio.run(verify(json.loads(Path(sys.argv[1]).read_text())))
    print(json.dumps(report.as_json(), default=str))
    return 0 if report.right else 1


if __name__ == "__main__":
    sys.exit(main())
