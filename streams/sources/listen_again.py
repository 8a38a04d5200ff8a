"""Recordings watched again: rows of Panopto's usage, and xAPI statements that somebody viewed a video.

A viewing is written in several rows, each of a stretch that was watched without a break. An adapter keeps nothing
between records, so each stretch counts by itself, if it is long enough. No title and no folder leaves this adapter.
"""

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.forms import read_form
from streams.sources.reading import digest, local
from streams.sources.xapi import Statement, once, within

_VIEWED = "http://id.tincanapi.com/verb/viewed"
VIDEO = re.compile(r"https?://(w3id\.org/xapi/video/activity-type/video|activitystrea\.ms/schema/1\.0/video)/?")
"""The types of a statement's object that are a video."""

_TOO_SHORT = NotForUs("watched for too short")

_TIME = "%m/%d/%Y %I:%M:%S %p"
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30})?([Ee]-[0-9]{1,2})?")
_AMOUNT = r"(?:([0-9]{1,9}(?:[.,][0-9]{1,9})?)%s)?"
_DURATION = re.compile(f"P{_AMOUNT % 'D'}(T(?=[0-9]){''.join(_AMOUNT % unit for unit in 'HMS')})?(?<=[DHMS])")
_SECONDS = (86_400, 3_600, 60, 1)


def read(raw: bytes, zone: ZoneInfo, least_watched: float) -> Outcome:
    """Read one row or statement; ``zone``: of the rows' times; ``least_watched``: seconds that are a viewing."""
    return read_form(
        raw,
        lambda fields: _usage(fields, zone, least_watched),
        lambda said: _statement(said, least_watched),
    )


def _usage(fields: Mapping[str, str], zone: ZoneInfo, least_watched: float) -> Outcome:
    for name in ("USERNAME", "SESSION_ID", "TIMESTAMP", "MINUTES_WATCHED"):
        if not fields.get(name):
            return Unusable(f"{name}: missing")
    # The order of month and day is Panopto's, whatever the institution's is.
    at = local(fields["TIMESTAMP"], _TIME, zone, "TIMESTAMP")
    if isinstance(at, Unusable):
        return at
    if not _NUMBER.fullmatch(fields["MINUTES_WATCHED"]):
        return Unusable("MINUTES_WATCHED: not a number")
    minutes, person = float(fields["MINUTES_WATCHED"]), fields["USERNAME"]
    if 60 * minutes < least_watched:
        return _TOO_SHORT
    return Seen(person, "listen_again", at, digest("usage", person, fields["SESSION_ID"], at, minutes))


def _statement(found: Statement, least_watched: float) -> Outcome:
    if found.verb != _VIEWED or not VIDEO.fullmatch(found.object_type or ""):
        return NotForUs("another statement than of a video")
    watched = _seconds(within(found.body, "result", "duration"))
    if isinstance(watched, Unusable):
        return watched
    if watched < least_watched:
        return _TOO_SHORT
    return Seen(found.person, "listen_again", found.at, once(found, watched))


def _seconds(duration: Any) -> float | Unusable:
    """Read a duration in ISO 8601. Months and years are none: they are not always as long.

    A number alone is unusable, too: templates put minutes here.
    """
    if duration is None:
        return Unusable("result.duration: missing")
    parts = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if parts is None:
        return Unusable("result.duration: not a duration in ISO 8601")
    amounts = (float(part.replace(",", ".")) if part else 0.0 for part in parts.group(1, 3, 4, 5))
    return sum(amount * seconds for amount, seconds in zip(amounts, _SECONDS, strict=True))
