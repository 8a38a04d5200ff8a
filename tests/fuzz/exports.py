"""Recordings, reading lists and the hub, through their adapters: rows of files and statements, good ones and bent ones."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from streams.sources import Options
from streams.sources.registry import sources
from tests.fuzz import adapters
from tests.fuzz.mutation import SECRET, bent

_WHO = {"USERNAME": "u1", "EMAIL": SECRET, "SESSION_ID": "7", "OBJECT_ID": "http://x/1", "OBJECT_NAME": SECRET}
_TIMES = ("2026-10-05T09:00:00", "2026-10-05", "2026-10-05 09:00", "2026-10-05T00:00:00", "2026-13-05T09:00:00Z")
_IRIS = {
    "listen-again": [("http://id.tincanapi.com/verb/viewed", "https://w3id.org/xapi/video/activity-type/video")],
    "reading-lists": [
        ("http://id.tincanapi.com/verb/viewed", "http://jisc.ac.uk/reading-list"),
        ("http://id.tincanapi.com/verb/viewed", "http://xapi.jisc.ac.uk/activities/reading-list-item"),
    ],
    "hub": [
        ("http://adlnet.gov/expapi/verbs/attended", "http://xapi.jisc.ac.uk/event_timetabled"),
        ("http://activitystrea.ms/schema/1.0/access", "http://xapi.jisc.ac.uk/activities/library"),
        ("http://activitystrea.ms/schema/1.0/borrowed", "http://xapi.jisc.ac.uk/library/resource"),
        ("https://brindlewaye.com/xAPITerms/verbs/loggedin", "http://id.tincanapi.com/activitytype/lms"),
        ("http://id.tincanapi.com/verb/viewed", "http://xapi.jisc.ac.uk/vle/page"),
        ("http://adlnet.gov/expapi/verbs/completed", "http://adlnet.gov/expapi/activities/assessment"),
        ("http://activitystrea.ms/schema/1.0/create", "http://xapi.jisc.ac.uk/forum-post"),
    ],
}


def play(name: str, rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round of what a source sends."""
    return adapters.play(sources(Options())[name].read, partial(_record, name), rng, inputs)


def _record(name: str, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        row = rng.choice(_ROWS[name if name != "hub" or rng.random() < 0.7 else rng.choice((*_ROWS,))])(rng)
        made = {column: str(held) for column, held in (bent(rng, row) if rng.random() < 0.5 else row).items()}
        ending = rng.choice(("\n", "\r\n", "\r"))
        return ending.join("\t".join(fields) for fields in (made, made.values())).encode()
    return adapters.json_record(rng, _statement(rng, *rng.choice(_IRIS[name])))


def _statement(rng: random.Random, verb: str, kind: str) -> dict[str, Any]:
    direction = {"http://xapi&46;jisc&46;ac&46;uk/extensions/direction_of_access": rng.choice(("in", "out", ""))}
    return {
        "id": "6ee080c5-1626-4216-98cf-16611636b68c",
        "actor": {"account": {"name": "u1", "homePage": "http://x"}, "name": SECRET},
        "verb": {"id": verb},
        "object": {"id": rng.choice(("http://x/1", "http://x/mod/assign/1")), "definition": {"type": kind}},
        "result": {"duration": rng.choice(("PT1234S", "PT1H2M3.5S", "20.5", "P1D")), "completion": rng.random() < 0.5},
        "context": {"extensions": rng.choice((direction, [], {"http://xapi.jisc.ac.uk/sessionId": "7"}))},
    } | rng.choice(({"timestamp": "2026-10-05T09:00:00Z"}, {"stored": "2026-10-05T09:00:00Z"}))


def _usage(rng: random.Random) -> dict[str, Any]:
    time = rng.choice(
        ("10/5/2026 9:00:00 AM", "1/1/0001 12:00:00 AM", "12/31/9999 11:59:59 PM", "31/12/2026 9:00:00 AM")
    )
    return _WHO | {"TIMESTAMP": time, "MINUTES_WATCHED": rng.choice(("1.5", "0.03", "5E-05", "1e400"))}


def _view(rng: random.Random) -> dict[str, Any]:
    kind, role = rng.choice(("list.view", "list.item.view", "x")), rng.choice(("a student", "an academic", ""))
    return _WHO | {"TIMESTAMP": rng.choice(_TIMES), "ACTIVITY_TYPE": kind, "JOB_ROLE": role}


def _attendance(rng: random.Random) -> dict[str, Any]:
    attended = rng.choice("01")
    return {"STUDENT_ID": "u1", "EVENT_ID": "e", "START_TIME": rng.choice(_TIMES), "EVENT_ATTENDED": attended}


def _access(rng: random.Random) -> dict[str, Any]:
    place = {"SITE": "Library", "ACCESS_ID": "7", "DIRECTION_OF_ACCESS": rng.choice(("I", "O", "", "x"))}
    return {"USERNAME": "u1", "TIMESTAMP": rng.choice(_TIMES), "TYPE": "x"} | place


def _loan(rng: random.Random) -> dict[str, Any]:
    return {"USERNAME": "u1", "ITEM_ID": "7", "ITEM_NAME": SECRET, "TIMESTAMP": rng.choice(_TIMES)}


def _vle(rng: random.Random) -> dict[str, Any]:
    row = _WHO | {"TIMESTAMP": rng.choice(_TIMES), "TYPE": "http://id.tincanapi.com/activitytype/lms"}
    row |= {name: SECRET for name in ("VLE_MOD_ID", "PARENT_ID", "SCORE_SCALED", "GRADE") if rng.random() < 0.3}
    if rng.random() < 0.2:
        row["DUE_DATE"] = row["TIMESTAMP"]
        if rng.random() < 0.5:
            del row["TIMESTAMP"]
    return row


_ROWS = {"listen-again": (_usage,), "reading-lists": (_view,), "hub": (_attendance, _access, _loan, _vle, _vle)}
PLAYS = {name: partial(play, name) for name in _ROWS}
