"""Every source, from the bytes of its vendor to the student's view in Redis, by each of its ways in.

One installation for all cases. Identities and timetable are loaded by the commands that load them. Then three weeks are
played, one a way in: the source's topic, the gateway, ``leap ingest``. Nobody does anything in them until each is closed;
then every sample comes (:mod:`tests.integration.samples`), and after it all of it again.

How samples of years ago reach a view of seven days: their days are moved (:class:`tests.integration.samples.Sample`), into
a week that engagement has just closed. So each counts as late activity does, on its own day, and by each way anew, since
what makes an event one holds for its day. Two samples reach over most of a year: all but their last seven days lie before
the window, where an activity is kept as such and not shown.

The time is simulated where records say it (closes, roster, what is put on a topic), and true for what comes through the
gateway and from files: no time of a record depends on when this runs.
"""

import asyncio
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache, cached_property
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from leap.connect import text
from leap.main import run
from leap.options import as_environment
from leap.views import View, read_views
from schemas import dead_letters, log, unmatched
from schemas.cloudevents import TYPE, TYPES
from schemas.redis_keys import Keys
from tests.conftest import new_prefix
from tests.integration.harness import Got, Installation, Worker, noon
from tests.integration.samples import SAMPLES, SOURCES, Cell, Sample, records
from tests.streams.gateway.conftest import LIBRARY, SECRET
from tests.streams.gateway.test_webhooks import alma, zoom
from tests.streams.sources.test_privacy import ADDRESS, HUB, told_by

pytestmark = pytest.mark.timeout(300)

WAYS = ("kafka", "gateway", "ingest")
MONDAYS = dict(zip(WAYS, (date(2025, 9, 8), date(2025, 9, 15), date(2025, 9, 22)), strict=True))
RETRIED = 85 * 60.0
"""Seconds after which Zoom sends for the last time."""

TOKEN = "token-0123456789"
CREDENTIALS = "".join(
    f'[[credential]]\nsource = "{source}"\nkind = "{kind}"\nsecrets = ["{secret}"]\n'
    for source, kind, secret in (
        ("zoom", "hmac", SECRET),
        ("library", "hmac", LIBRARY),
        *((source, "bearer", f"{TOKEN}-{source}") for source in SOURCES),
    )
)
MEDIA = {"csv": "text/csv", "json": "application/json", "tsv": "text/tab-separated-values"}
CASES = [
    (sample, way)
    for way in WAYS
    for sample in SAMPLES
    if way == "kafka" or (sample.entrance if way == "gateway" else sample.form != "xml")
]
PEOPLE = {
    (source, person): person if source == "events" else f"s-{n:03}"
    for n, (source, person) in enumerate(
        sorted({(sample.source, person) for sample in SAMPLES for person, _, _ in sample.shown})
    )
}
"""The student of every person who counts."""

Place = tuple[str, int]
"""A source partition, as positions name it, and an offset."""


@dataclass
class Outcome:
    """What became of a sample's records; ``reported``: how many its sender was told to be of no use."""

    counted: Counter[str]
    dead: Counter[str]
    waiting: int
    ignored: int
    reported: int | None


@dataclass
class Week:
    """A week that was played: what was sent (where it stood), and what Redis had then, and after all of it came again."""

    sent: dict[str, tuple[set[Place], int | None]] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    closed: Counter[Cell] = field(default_factory=Counter)
    again: set[Place] = field(default_factory=set)
    views_again: dict[str, View] = field(default_factory=dict)


@dataclass
class Played:
    """All of it: weeks by way in, every topic at the end, and all that Redis had then."""

    weeks: dict[str, Week] = field(default_factory=dict)
    topics: dict[str, list[Got]] = field(default_factory=dict)
    redis: list[bytes] = field(default_factory=list)

    @cached_property
    def activities(self) -> Mapping[Place, list[tuple[bytes, log.ActivityRecord]]]:
        """The activities of the student log and whose they are, by where their records stood."""
        found = defaultdict(list)
        for record in self.topics["student_log"]:
            activity = log.decode(record.value)
            if isinstance(activity, log.ActivityRecord):
                found[activity.position.source, activity.position.offset].append((record.key, activity))
        return found

    @cached_property
    def letters(self) -> Mapping[Place, list[str]]:
        """The reasons of the dead letters."""
        found = defaultdict(list)
        for letter in self.topics["dead_letters"]:
            topic, number, offset, reason = (
                letter.headers[name].decode()
                for name in (dead_letters.TOPIC, dead_letters.PARTITION, dead_letters.OFFSET, dead_letters.REASON)
            )
            found[f"{topic}-{number}", int(offset)].append(reason)
        return found

    @cached_property
    def waiting(self) -> Counter[Place]:
        """The records that wait."""
        held = [unmatched.read(_Record(record)) for record in self.topics["unmatched"]]
        return Counter((f"{one.topic}-{one.partition}", one.offset) for one in held)

    def outcome(self, sample: Sample, way: str) -> Outcome:
        """What became of the records of a sample that came by a way."""
        sent, reported = self.weeks[way].sent[str(sample)]
        counted = Counter(activity.activity for place in sent for _, activity in self.activities.get(place, ()))
        dead = Counter(reason for place in sent for reason in self.letters.get(place, ()))
        waiting = sum(self.waiting[place] for place in sent)
        return Outcome(counted, dead, waiting, len(sent) - counted.total() - dead.total() - waiting, reported)


class _Record:
    def __init__(self, got: Got) -> None:
        self.key, self.value, self.headers = got.key, got.value, got.header_list


# -- sending --------------------------------------------------------------------------------------------------------------


class Campus:
    """The installation, and who sends to it."""

    def __init__(self, system: Installation) -> None:
        self.system = system
        self.environment = as_environment(system.settings)

    async def leap(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run a command; return its exit code, and what it printed."""
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = await asyncio.to_thread(run, [*words, "--json"])
        assert said.getvalue(), f"leap {' '.join(words)} ended with {code}"
        return code, json.loads(said.getvalue().splitlines()[-1])

    def gateway(self, ahead: float = 0.0) -> Worker:
        """Start `leap gateway`, its clock so many seconds ahead."""
        system = self.system
        name = f"gateway-{len(system.workers) + 1}"
        logfile, credentials = system.directory / f"{name}.log", system.directory / "gateway.toml"
        credentials.write_text(CREDENTIALS)
        system.private |= {SECRET, LIBRARY, TOKEN}
        skewed = f"import time; true = time.time; time.time = lambda: true() + {ahead}"
        command = [sys.executable, "-c", f"{skewed}; from leap.main import main; main()", "gateway"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LEAP_")}
        environment |= self.environment | {"LEAP_GATEWAY_PORT": "0", "LEAP_GATEWAY_CREDENTIALS": str(credentials)}
        with logfile.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        worker = Worker("gateway", process, logfile, logfile.with_suffix(".mark"), {})
        system.workers.append(worker)
        return worker

    async def send(self, sample: Sample, way: str, again: bool, gateways: Mapping[bool, Worker]) -> int | None:
        """Send a sample; return how many of its records the sender was told to be of no use, if it was told."""
        file = sample.moved(MONDAYS[way])
        if way == "kafka":
            await self._by_kafka(sample, file, again)
            return None
        if way == "gateway":
            address = f"http://127.0.0.1:{gateways[again].listening}"
            async with httpx.AsyncClient(base_url=address, timeout=30.0, trust_env=False) as client:
                return await self._by_gateway(client, sample, file, time.time() + (RETRIED if again else 0.0))
        return await self._by_ingest(sample, file)

    async def _by_kafka(self, sample: Sample, file: bytes, again: bool) -> None:
        topic = self.system.topics.source(sample.source).name
        monday = noon(MONDAYS["kafka"] + timedelta(7))
        headers = self.system.at(monday + timedelta(seconds=RETRIED if again else 0.0))
        found = [(None, record, headers) for record in records(file, sample.form)]
        for number in range(self.system.settings.source_partitions):
            await self.system.send_raw(topic, number, found[number :: self.system.settings.source_partitions])

    async def _by_gateway(self, client: httpx.AsyncClient, sample: Sample, file: bytes, now: float) -> int | None:
        found = records(file, sample.form)
        headers = {"Authorization": f"Bearer {TOKEN}-{sample.source}", "Content-Type": "application/json"}
        match sample.entrance:
            case "zoom":
                for body in found:
                    answer = await client.post("/webhooks/zoom", content=body, headers=zoom(body, at=now))
                    assert answer.status_code == (200 if b"url_validation" in body else 204), answer.text
            case "alma":
                for body in map(_said_by_alma, found):
                    if isinstance(body, str):
                        answer = await client.get("/webhooks/alma", params={"challenge": body})
                        assert (answer.status_code, answer.json()) == (200, {"challenge": body})
                    else:
                        answer = await client.post("/webhooks/alma", content=body, headers=alma(body))
                        assert answer.status_code == 200, answer.text
            case "xapi":
                version = {"X-Experience-API-Version": "1.0.3"}
                body = b"[" + b",".join(found) + b"]"
                answer = await client.post("/xapi/statements", content=body, headers=headers | version)
                assert (answer.status_code, len(answer.json())) == (200, len(found)), answer.text
            case "caliper":
                version = json.loads(found[0])["@context"]
                envelope: dict[str, Any] = {"sensor": "https://example.edu/s", "sendTime": "2025-09-29T09:00:00.000Z"}
                envelope |= {"dataVersion": version, "data": [json.loads(event) for event in found]}
                answer = await client.post("/caliper", json=envelope, headers=headers)
                assert answer.status_code == 204, answer.text
            case "events":
                about = {"specversion": "1.0", "source": "/readers/7", "type": TYPES["source"]}
                batch = [about | {"id": str(n), "data": json.loads(event)} for n, event in enumerate(found)]
                kind = {"Content-Type": "application/cloudevents-batch+json"}
                answer = await client.post("/events", content=json.dumps(batch), headers=headers | kind)
                assert answer.status_code == 204, answer.text
            case "files":
                kind = {"Content-Type": MEDIA[sample.form]}
                answer = await client.post(f"/files/{sample.source}", content=file, headers=headers | kind)
                assert answer.status_code == 200, answer.text
                report = answer.json()
                assert report["accepted"] + report["rejected"] == len(found)
                return int(report["rejected"])
        return None

    async def _by_ingest(self, sample: Sample, file: bytes) -> int:
        path = self.system.directory / "export"
        path.write_bytes(file)
        code, report = await self.leap("ingest", str(path), "--source", sample.source, "--form", sample.form)
        unusable = sum(found["rows"] for found in report["unusable"].values())
        assert code == (1 if unusable else 0)
        assert report["sent"] == len(records(file, sample.form))
        return unusable


def _said_by_alma(call: bytes) -> bytes | str:
    """Return the body that Alma posted, or its challenge; samples hold what another gateway made of them."""
    held = json.loads(call)
    if "queryStringParameters" in held and "body" not in held:
        return str(held["queryStringParameters"]["challenge"])
    return held["body"].encode() if "body" in held else call


# -- playing --------------------------------------------------------------------------------------------------------------


def timetable() -> str:
    """Return the file of the timetabling system: in each week a lecture on Tuesday and a webinar on Sunday."""
    lines = ["event,start,end,venues,mandatory"]
    for monday in MONDAYS.values():
        tuesday, sunday = monday + timedelta(1), monday + timedelta(6)
        lines += [
            f"CS101-{monday},{tuesday}T09:00+01:00,{tuesday}T10:00+01:00,reader:LTB 06;reader:LTB 07,yes",
            f"CS102-{monday},{sunday}T22:30+01:00,{sunday}T23:30+01:00,zoom:1234567890,no",
        ]
    return "\n".join([*lines, ""])


def directory() -> str:
    """Return the file of the directory."""
    lines = [f"{source},{person},{student},," for (source, person), student in PEOPLE.items() if source != "events"]
    return "\n".join(["source,key,student,from,to", *lines, ""])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    kafka: str, kafka_profile: str, redis_db_of_module: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Played]:
    """Three weeks, and all that is left of them."""
    folder = tmp_path_factory.mktemp("sources")
    settings = {
        "sources": SOURCES,
        "redis": redis_db_of_module,
        "identity_key": "another secret of the tests",
        "moodle_dates": "%m/%d/%y, %H:%M",
    }
    async with Installation(kafka, kafka_profile, new_prefix(), folder, **settings) as system:
        campus, found = Campus(system), Played()
        gateways = {False: campus.gateway(), True: campus.gateway(ahead=RETRIED)}
        for name, lines in (("timetable", timetable()), ("identities", directory())):
            (folder / f"{name}.csv").write_text(lines)
            code, report = await campus.leap(name, "load", str(folder / f"{name}.csv"))
            assert (code, report["written"]) == (0, lines.count("\n") - 1), report
        eve = MONDAYS["kafka"] - timedelta(1)
        await system.enrol(sorted(set(PEOPLE.values())), noon(eve), department="cs", course="cs-bsc")
        for role in ("roster", "intake", "engagement", "readmodel"):
            system.start(role)
        await system.caught_up("roster", "engagement")
        await system.until(lambda: all(gateway.listening for gateway in gateways.values()), "both gateways listen")
        await system.close(eve)
        system.private |= NAMES | NUMBERS | TITLES
        async with Redis.from_url(redis_db_of_module) as redis:
            for way in WAYS:
                found.weeks[way] = await play(campus, redis, way, gateways)
            for name in ("student_log", "dead_letters", "unmatched", "days", "ratings", "alerts", "engagement"):
                found.topics[name] = await system.read(getattr(system.topics, name).name)
            found.redis = await everything(redis, system.settings.prefix)
        yield found


async def play(campus: Campus, redis: "Redis", way: str, gateways: Mapping[bool, Worker]) -> Week:
    """Close a week, then send all that comes by a way, twice."""
    system, week = campus.system, Week()
    await system.close(*(MONDAYS[way] + timedelta(n) for n in range(7)))
    cases = [sample for sample, by in CASES if by == way]
    before = await ends(system)
    for sample in cases:
        reported = await campus.send(sample, way, False, gateways)
        after = await ends(system)
        week.sent[str(sample)] = between(before, after), reported
        before = after
    await system.caught_up("intake", "engagement", "readmodel")
    week.views, week.closed = await shown(redis, system.settings.prefix)
    for sample in cases:
        await campus.send(sample, way, True, gateways)
    await system.caught_up("intake", "engagement", "readmodel")
    week.again = between(before, await ends(system))
    week.views_again, _ = await shown(redis, system.settings.prefix)
    return week


async def ends(system: Installation) -> dict[str, int]:
    """Return where every source partition ends, by the names that positions have."""
    topics = [topic.name for topic in system.topics.sources.values()]
    found = await system.offsets.ends(await system.offsets.partitions(topics))
    return {f"{tp.topic}-{tp.partition}": stop for tp, stop in found.items()}


def between(before: Mapping[str, int], after: Mapping[str, int]) -> set[Place]:
    """Return the places that were taken between two looks."""
    return {(name, offset) for name, stop in after.items() for offset in range(before[name], stop)}


async def shown(redis: "Redis", prefix: str) -> tuple[dict[str, View], Counter[Cell]]:
    """Return every student's view, and what their closed days say."""
    keys, students = Keys(prefix), sorted(set(PEOPLE.values()))
    closed: Counter[Cell] = Counter()
    for student in students:
        for day, document in (await redis.hgetall(keys.days(student))).items():
            for activity, n in json.loads(document)["counts"].items():
                closed[student, text(day), activity] = n
    return await read_views(redis, keys, students), closed


async def everything(redis: "Redis", prefix: str) -> list[bytes]:
    """Return every key of an installation, and what is in it."""
    found: list[Any] = []
    async for key in redis.scan_iter(f"{prefix}:*"):
        match await redis.type(key):
            case b"string":
                held = await redis.get(key)
            case b"hash":
                held = await redis.hgetall(key)
            case b"set":
                held = await redis.smembers(key)
            case b"stream":
                held = await redis.xrange(key)
            case other:
                raise AssertionError(f"a key of type {text(other)} is read by nobody here")
        found += [key, repr(held).encode()]
    return found


# -- what must hold -------------------------------------------------------------------------------------------------------


def expected(sample: Sample, way: str) -> Counter[Cell]:
    """Return what is to be shown of a sample that came by a way: student, day, activity."""
    day = {old.isoformat(): new.isoformat() for old, new in sample.days(MONDAYS[way]).items()}
    return Counter(
        {(PEOPLE[sample.source, person], day[old], activity): n for (person, old, activity), n in sample.shown.items()}
    )


def in_the_week(cells: Mapping[Cell, int], way: str) -> Counter[Cell]:
    """Return those that a view has once the week is closed."""
    return Counter({cell: n for cell, n in cells.items() if cell[1] >= MONDAYS[way].isoformat()})


def cells_of(views: Mapping[str, View]) -> Counter[Cell]:
    """Return what views show."""
    return Counter(
        {
            (student, day.day, activity): n
            for student, view in views.items()
            for day in view.days
            for activity, n in day.counts.items()
        }
    )


@pytest.mark.parametrize(("sample", "way"), CASES, ids=[f"{way}-{sample}" for sample, way in CASES])
def test_a_sample_comes_to_what_it_should_and_is_shown(played: Played, sample: Sample, way: str) -> None:
    """What intake made of each of its records, and what the student's view and closed day have of it."""
    outcome, week = played.outcome(sample, way), played.weeks[way]

    answered = sample.answered if way == "gateway" else 0
    assert outcome.counted == sample.counted
    assert (outcome.waiting, outcome.ignored) == (sample.waiting, sample.ignored - answered)
    assert outcome.dead.total() == sum(sample.dead.values())
    for part, n in sample.dead.items():
        assert sum(found for reason, found in outcome.dead.items() if part in reason) == n, outcome.dead
    if outcome.reported is not None:
        assert outcome.reported == sum(n for part, n in sample.dead.items() if not part.startswith("student"))
    wanted = in_the_week(expected(sample, way), way)
    seen = cells_of(week.views)
    assert {cell: seen[cell] for cell in wanted} == wanted
    assert {cell: week.closed[cell] for cell in wanted} == wanted


@pytest.mark.parametrize("way", WAYS)
def test_views_show_nothing_else(played: Played, way: str) -> None:
    """A cell is one sample's alone, so this also says that no sample counted for another."""
    samples = [sample for sample, by in CASES if by == way]
    wanted = [in_the_week(expected(sample, way), way) for sample in samples]

    together = sum(wanted, Counter())
    assert len(together) == sum(map(len, wanted))
    assert cells_of(played.weeks[way].views) == together


@pytest.mark.parametrize("way", WAYS)
def test_all_of_it_again_changes_nothing(played: Played, way: str) -> None:
    """The same files, and webhooks 85 minutes later: intake passes them on, and in no view does anything change.

    Of what lies before the window nobody remembers that it came before: it stands on ``leap.days`` once more, and gives
    a view another version.
    """
    week = played.weeks[way]
    first = [place for sent, _ in week.sent.values() for place in sent]
    assert len(week.again) == len(first)
    counted = [sum(len(played.activities.get(place, ())) for place in some) for some in (first, week.again)]
    assert counted[0] == counted[1] > 0

    before = {student for student, _ in before_the_window(way)}
    for student, view in week.views.items():
        again = week.views_again[student]
        if student in before:
            again = replace(again, version=view.version, recorded_at=view.recorded_at)
        assert again == view
    assert week.views_again.keys() == week.views.keys()


def before_the_window(way: str) -> set[tuple[str, str]]:
    """Return whose activities are of which days before the week."""
    cells = [cell for sample, by in CASES if by == way for cell in expected(sample, way)]
    return {(student, day) for student, day, _ in cells if day < MONDAYS[way].isoformat()}


def test_what_lies_before_the_window_is_kept(played: Played) -> None:
    kept = [record.json for record in played.topics["days"] if record.headers[TYPE] == TYPES["late-activity"].encode()]

    assert {(late["student"], late["day"]) for late in kept} == set.union(*map(before_the_window, WAYS))


@pytest.mark.parametrize("way", WAYS)
def test_of_the_rows_of_access_431_are_told_to_be_repeats(played: Played, way: str) -> None:
    (access,) = (sample for sample in SAMPLES if sample.name == "access.tsv")
    sent, _ = played.weeks[way].sent[str(access)]
    told = [(student, activity.attendance) for place in sent for student, activity in played.activities[place]]

    assert (len(told), len(set(told))) == (2451, 2451 - 431)


NAMES = {"Ann Admin", "Jill Chill", "Jo Doe", "John Smith"}
NUMBERS = {"8615250064084", "349589LkJyeW", "abcdefghij0-klmnopq23456", "0x8dcdc", "192.0.2.10", "127.0.0.2"}
TITLES = {"Ethics", "Journey", "Logic, an introduction", "My Meeting", "My Webinar", "Test title", "Trip, A", "Week 2"}
_WORDS = re.compile(rb"\w+")


@cache
def private() -> set[bytes]:
    """Return names, addresses, titles and sources' own keys that the samples hold.

    Not numbers of up to five digits, and words of two letters: they stand in anything.
    """
    found = NAMES | NUMBERS | TITLES | {person for source, person in PEOPLE if source != "events"}
    for name in HUB:
        found |= {text for _, told in told_by(name) for text in told}
    return {text.encode() for text in found if len(text) > 2 and not (text.isdecimal() and len(text) < 6)}


def leaked(held: bytes) -> set[bytes]:
    """Return what is private and stands in there."""
    words = set(_WORDS.findall(held))
    likely = [text for text in private() if words.issuperset(_WORDS.findall(text))]
    return {text for text in likely if re.search(rb"(?<!\w)" + re.escape(text) + rb"(?!\w)", held)}


def written(topic: Iterable[Got]) -> bytes:
    """Return all that stands on a topic."""
    return b"\n".join(
        b"\t".join([record.key or b"", record.value or b"", *(value for _, value in record.header_list)])
        for record in topic
    )


@pytest.mark.parametrize("where", ["student_log", "days", "ratings", "alerts", "engagement", "redis"])
def test_nothing_private_goes_further_than_intake(played: Played, where: str) -> None:
    """No key of a source, name, address, title or number of a telephone: the dead letters show that they are found."""
    held = b"\n".join(played.redis) if where == "redis" else written(played.topics[where])

    assert len(held) > 10_000
    assert leaked(held) == set()
    if where != "engagement":  # which is no text
        assert ADDRESS.findall(held.decode()) == []
    kept = leaked(written(played.topics["dead_letters"] + played.topics["unmatched"]))
    assert {b"mwebb", b"Jill Chill", b"STU44444", b"10.3.3.48", b"Genome Editing"} <= kept
