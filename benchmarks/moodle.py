"""Rows of Moodle's standard log in the form that docs/sources/moodle.md asks for, in a mix of our own."""

import random
from typing import NamedTuple

import orjson

FIRST_USER = 100


class _Event(NamedTuple):
    """One kind of row: how often (of 100), Moodle's name of it, and its origin."""

    share: int
    name: str
    origin: str = "web"


_ACTIVITIES = (
    _Event(24, r"\core\event\course_viewed"),
    _Event(14, r"\mod_resource\event\course_module_viewed"),
    _Event(6, r"\mod_quiz\event\course_module_viewed"),
    _Event(6, r"\mod_forum\event\discussion_viewed"),
    _Event(5, r"\mod_quiz\event\attempt_viewed"),
    _Event(4, r"\mod_book\event\chapter_viewed"),
    _Event(4, r"\mod_assign\event\course_module_viewed"),
    _Event(5, r"\core\event\user_loggedin"),
    _Event(5, r"\mod_resource\event\course_module_viewed", "ws"),
    _Event(3, r"\core\event\course_viewed", "ws"),
)
_OTHERS = (
    _Event(6, r"\core\event\webservice_function_called", "ws"),
    _Event(6, r"\core\event\dashboard_viewed"),
    _Event(5, r"\mod_assign\event\submission_status_viewed"),
    _Event(4, r"\core\event\course_module_completion_updated"),
    _Event(2, r"\core\event\user_loggedout"),
    _Event(1, r"\core\event\user_graded", "cron"),
)
_MIX = (*_ACTIVITIES, *_OTHERS)
ACTIVITIES = sum(event.share for event in _ACTIVITIES) / sum(event.share for event in _MIX)
"""Share of the rows that are activities."""


def rows(number: int, users: int, at: int, first: int = 0) -> list[bytes]:
    """Return rows, numbered from ``first`` on, of the minute before ``at`` (seconds since 1970).

    They are of ``users`` users, whose ids begin at ``FIRST_USER``.
    """
    rng = random.Random(first)  # noqa: S311 - made-up data, the same every time
    events = rng.choices(_MIX, [event.share for event in _MIX], k=number)
    made = []
    for i, event in enumerate(events, first):
        course = 2 + rng.randrange(900)
        row = {
            "id": 50_000_000 + i,
            "eventname": event.name,
            "userid": FIRST_USER + rng.randrange(users),
            "courseid": course,
            "relateduserid": None,
            "anonymous": 0,
            "timecreated": at - rng.randrange(60),
            "origin": event.origin,
            "realuserid": None,
            "contextinstanceid": 10_000 + rng.randrange(40_000),
            "objectid": None if event.name.startswith("\\core") else rng.randrange(30_000),
        }
        made.append(orjson.dumps(row))
    return made
