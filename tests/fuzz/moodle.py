"""Moodle in all its forms, and coursework: log rows, rows of the report, statements, Caliper events, events of ours."""

import random
from collections.abc import Iterator
from typing import Any

from streams.sources import Options, faser
from streams.sources.moodle import adapter
from tests.fuzz import adapters
from tests.fuzz.mutation import one_of

MOODLE, FASER = "moodle", "faser"
_MOODLE = adapter(Options())
_SITE = "https://moodle.example.ac.uk"
_NAMES = (
    r"\core\event\user_loggedin", r"\core\event\course_viewed", r"\mod_page\event\course_module_viewed",
    r"\mod_assign\event\submission_viewed", r"\mod_assign\event\assessable_submitted", r"\core\event\webservice_x",
)  # fmt: skip
_TIMES = ("2026-10-05T10:15:00+01:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-10-05T10:15:00")


def play_moodle(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round of what Moodle sends."""
    return adapters.play(_MOODLE, _of_moodle, rng, inputs)


def play_faser(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round of what a coursework system sends."""
    return adapters.play(faser.read, _of_faser, rng, inputs)


def _of_moodle(rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return adapters.csv_record(rng, _report(rng))
    return adapters.json_record(
        rng, one_of(rng, ((1, lambda: _row(rng)), (1, lambda: _statement(rng)), (1, lambda: _caliper(rng))))
    )


def _of_faser(rng: random.Random) -> bytes:
    return adapters.json_record(
        rng, one_of(rng, ((1, lambda: _row(rng)), (1, lambda: _statement(rng)), (1, lambda: _ours(rng))))
    )


def _row(rng: random.Random) -> dict[str, Any]:
    return {
        "id": rng.choice((5, "6", None)),
        "eventname": rng.choice(_NAMES),
        "userid": rng.choice((23, "24", 1, 0)),
        "courseid": rng.choice((7, "8", 1, None)),
        "relateduserid": rng.choice((None, "", 23)),
        "anonymous": rng.choice((0, "0", 1)),
        "timecreated": rng.choice((1_789_999_000, "1789999000", 10**11)),
        "origin": rng.choice(("web", "ws", "cron", None)),
        "realuserid": rng.choice((None, "", 2)),
        "contextinstanceid": 81,
    }


def _statement(rng: random.Random) -> dict[str, Any]:
    info = {"event_name": rng.choice(_NAMES), "http://moodle.org": "2026042000"}
    agent = {"account": {"homePage": _SITE, "name": "23"}, "name": "Jo Doe"}
    kind = rng.choice(("http://id.tincanapi.com/activitytype/lms", "http://adlnet.gov/expapi/activities/course"))
    verb = rng.choice(("https://brindlewaye.com/xAPITerms/verbs/loggedin", "http://id.tincanapi.com/verb/viewed", "x"))
    return {
        "id": "6ee080c5-1626-4216-98cf-16611636b68c",
        "actor": agent,
        "verb": {"id": verb, "display": {"en": "viewed"}},
        "object": {"id": f"{_SITE}/course/view.php?id=7", "definition": {"type": kind}},
        "context": {
            "contextActivities": {"parent": [{"id": f"{_SITE}/course/view.php?id=7"}], "grouping": []},
            "extensions": rng.choice(
                (
                    {"http://lrs&46;learninglocker&46;net/define/extensions/info": info},
                    {"https://yetanalytics.com/profiles/prepositions/concepts/context-extensions/for": agent},
                    [],
                )
            ),
        },
        "timestamp": rng.choice(_TIMES),
        "stored": "2026-10-05T10:16:00Z",
    }


def _caliper(rng: random.Random) -> dict[str, Any]:
    kind, action = rng.choice(
        (("SessionEvent", "LoggedIn"), ("ViewEvent", "Viewed"), ("NavigationEvent", "NavigatedTo"))
    )
    actor = rng.choice((f"{_SITE}/user/23", "http://purl.imsglobal.org/caliper/Person", "urn:x"))
    return {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": "urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f11",
        "type": kind,
        "actor": rng.choice((actor, {"id": actor, "type": "Person"})),
        "action": action,
        "object": rng.choice((f"{_SITE}/course/7", {"id": _SITE, "type": "SoftwareApplication"})),
        "eventTime": rng.choice(_TIMES),
        "group": rng.choice((None, f"{_SITE}/course/1")),
    }


def _report(rng: random.Random) -> dict[str, str]:
    return {
        "Time": rng.choice(("5/10/26, 10:15", "05/10/26, 10:15", "31/02/26, 10:15", "5/10/26, 10:15:30")),
        "User full name": rng.choice(("Jo Doe", "Ann Admin as Jo Doe")),
        "Event context": "Course: Logic, an introduction",
        "Component": rng.choice(("System", "Assignment")),
        "Event name": rng.choice(("Course viewed", "User has logged in", "Post created")),
        "Description": f"The user with id '{rng.choice((23, 1))}' viewed the course with id '7'.",
        "Origin": rng.choice(("web", "ws", "cli")),
        "IP address": "192.0.2.10",
    }


def _ours(rng: random.Random) -> dict[str, Any]:
    return {
        "id": f"i{rng.getrandbits(20)}",
        "user": "jdoe",
        "action": rng.choice(("viewed", "uploaded")),
        "work": "sub-77",
        "at": rng.choice(_TIMES),
    } | rng.choice(({}, {"on_behalf_of": "s1"}))
