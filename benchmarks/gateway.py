"""The gateway: how many requests a second it takes, and how long each takes until Kafka has it on every replica.

Sender and broker run on the same machine. First as fast as it goes: a number of connections, each of which sends its
next request when the one before is answered (closed loop). Then at a rate that nothing slows down (open loop): there a
request's time begins when it was due.
"""

import asyncio
import secrets
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.http import Outcome, closed_loop, open_loop, post
from benchmarks.load import STUDENTS, student
from benchmarks.processes import CPU, WAIT, running, samples, until
from benchmarks.report import ROUNDS, Line, console
from deploy.servers import free_port
from leap.measure import total
from schemas.cloudevents import TYPES
from streams.admin import Offsets, create_topics
from streams.gateway.zoom import SIGNATURE, TIMESTAMP, sign
from streams.settings import Settings

_SOURCES = ("zoom", "moodle", "events")
_CONNECTIONS, _OPEN_CONNECTIONS = 32, 256
_RATE = 2_000
_WARM_UP, _SECONDS = 2.0, 10.0
_SECRET, _TOKEN = secrets.token_hex(16), secrets.token_hex(16)
_CREDENTIALS = f"""
[[credential]]
source = "zoom"
kind = "hmac"
secrets = ["{_SECRET}"]
""" + "".join(
    f"""
[[credential]]
source = "{source}"
kind = "bearer"
secrets = ["{_TOKEN}-{source}"]
"""
    for source in ("moodle", "events")
)
_DIFFERENT = 2_000


def _zoom(number: int, now: float) -> bytes:
    participant = {
        "user_id": str(16_778_240 + number),
        "user_name": "A. Student",
        "participant_user_id": "",
        "id": "",
        "email": f"{student(number % STUDENTS).decode()}@example.org",
        "join_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "participant_uuid": secrets.token_hex(12),
    }
    meeting = {
        "uuid": "4444AAAiAAAAAiAiAiiAii==",
        "host_id": "x1yCzABCDEfg23HiJKl4mN",
        "id": "1234567890",
        "topic": "A lecture",
        "type": 5,
        "start_time": "2026-10-05T09:00:00Z",
        "timezone": "Europe/London",
        "duration": 50,
        "participant": participant,
    }
    event = {
        "event": "meeting.participant_joined",
        "event_ts": int(now * 1000),
        "payload": {"account_id": "AAAAAABBBB", "object": meeting},
    }
    body, timestamp = orjson.dumps(event), f"{now:.0f}"
    signature = sign(_SECRET.encode(), timestamp, body)
    return post("/webhooks/zoom", body, f"{SIGNATURE}: {signature}", f"{TIMESTAMP}: {timestamp}")


def _statement(number: int, now: float) -> bytes:
    site = "https://moodle.example.org"
    course = f"{site}/course/view.php?id={2 + number % 900}"
    statement = {
        "id": str(uuid.uuid4()),
        "actor": {"name": "A. Student", "account": {"homePage": site, "name": str(100 + number % STUDENTS)}},
        "verb": {"id": "http://id.tincanapi.com/verb/viewed", "display": {"en": "Viewed"}},
        "object": {
            "id": f"{site}/mod/page/view.php?id={10_000 + number}",
            "definition": {"type": "http://id.tincanapi.com/activitytype/page", "name": {"en": "Reading of week 3"}},
            "objectType": "Activity",
        },
        "context": {
            "platform": "Moodle",
            "language": "en",
            "extensions": {
                "http://lrs.learninglocker.net/define/extensions/info": {
                    "http://moodle.org": "2026042000",
                    "https://github.com/xAPI-vle/moodle-logstore_xapi": "v5.0.0",
                    "event_name": r"\mod_page\event\course_module_viewed",
                    "event_function": r"\src\transformer\events\mod_page\course_module_viewed",
                }
            },
            "contextActivities": {
                "grouping": [
                    {"id": site, "definition": {"type": "http://id.tincanapi.com/activitytype/lms"}},
                    {"id": course, "definition": {"type": "http://adlnet.gov/expapi/activities/course"}},
                ],
                "category": [
                    {"id": site, "definition": {"type": "http://id.tincanapi.com/activitytype/source"}},
                ],
            },
        },
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
    }
    return post(
        "/xapi/statements",
        orjson.dumps(statement),
        f"Authorization: Bearer {_TOKEN}-moodle",
        "X-Experience-API-Version: 2.0.0",
    )


def _event(number: int, now: float) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    name = secrets.token_hex(8)
    body = orjson.dumps(
        {"student": student(number % STUDENTS).decode(), "activity": "tap_in", "at": at, "id": f"reader-7/{name}"}
    )
    return post(
        "/events",
        body,
        f"Authorization: Bearer {_TOKEN}-events",
        "ce-specversion: 1.0",
        f"ce-type: {TYPES['source']}",
        "ce-source: /readers/7",
        f"ce-id: {name}",
        f"ce-time: {at}",
    )


_KINDS: dict[str, Callable[[int, float], bytes]] = {"zoom": _zoom, "xapi": _statement, "cloudevent": _event}


def _requests(kind: str) -> list[bytes]:
    now = time.time()
    return [_KINDS[kind](number, now) for number in range(_DIFFERENT)]


def measure(kafka: str, redis: str, directory: Path) -> tuple[list[Line], dict[str, Any]]:
    """Measure each round every kind in a closed loop, then all of them, mixed, at a rate."""
    rounds = []
    for number in range(ROUNDS):
        settings = Settings(kafka=kafka, redis=redis, prefix=f"gateway{number}", sources=_SOURCES)
        found = asyncio.run(_measure(settings, directory))
        rounds.append(found)
        for kind, figures in found.items():
            console.print(f"round {number + 1}: {kind:21}", "  ".join(f"{n} {v:,.1f}" for n, v in figures.items()))
    median = {
        kind: {name: round(statistics.median(one[kind][name] for one in rounds), 1) for name in figures}
        for kind, figures in rounds[0].items()
    }
    lines = [
        line
        for kind in median
        for line in (
            Line.of(f"gateway, {kind}, requests/s", [one[kind]["per_second"] for one in rounds]),
            Line.of(f"gateway, {kind}, p99 ms", [one[kind]["p99_ms"] for one in rounds], ".1f"),
        )
    ]
    return lines, {"gateway": {"connections": _CONNECTIONS, **median}}


async def _measure(settings: Settings, directory: Path) -> dict[str, dict[str, float]]:
    await create_topics(settings)
    credentials, port = directory / "gateway.toml", free_port()
    credentials.write_text(_CREDENTIALS, encoding="utf-8")
    more = {
        "LEAP_GATEWAY_CREDENTIALS": str(credentials),
        "LEAP_GATEWAY_PORT": str(port),
        "LEAP_GATEWAY_RATE": "1e9",
    }
    found: dict[str, dict[str, float]] = {}
    with running(("gateway",), settings, directory, **more) as url:
        deadline = time.monotonic() + WAIT
        while not total(samples(url), "leap_ready"):
            until(deadline, "the gateway was not ready")
            await asyncio.sleep(0.2)
        sent = 0

        async def measured(kind: str, ask: Callable[[float], Awaitable[Outcome]]) -> None:
            nonlocal sent
            sent += (await ask(_WARM_UP)).answered
            before = total(samples(url, CPU), CPU)
            outcome = await ask(_SECONDS)
            cpu = total(samples(url, CPU), CPU) - before
            sent += outcome.answered
            times = outcome.took.milliseconds()
            found[kind] = {
                "per_second": outcome.rate,
                "p50_ms": times["p50"],
                "p99_ms": times["p99"],
                "gateway_cpu_us": cpu / outcome.answered * 1e6,
            }

        for kind in _KINDS:
            await measured(kind, partial(closed_loop, port, _requests(kind), _CONNECTIONS))
        mixed = [request for some in zip(*map(_requests, _KINDS), strict=True) for request in some]
        await measured("mixed", partial(closed_loop, port, mixed, _CONNECTIONS))
        await measured(f"mixed_at_{_RATE}", partial(open_loop, port, mixed, _RATE, _OPEN_CONNECTIONS))
    await _check_stored(settings, sent)
    return found


async def _check_stored(settings: Settings, answered: int) -> None:
    """What was answered with success is on the topics."""
    offsets = Offsets(settings, "bench")
    await offsets.start()
    try:
        topics = [settings.topics.source(source).name for source in _SOURCES]
        stored = sum((await offsets.ends(await offsets.partitions(topics))).values())
    finally:
        await offsets.stop()
    if stored != answered:
        msg = f"{answered} requests were answered with success, and Kafka has {stored} records"
        raise RuntimeError(msg)
