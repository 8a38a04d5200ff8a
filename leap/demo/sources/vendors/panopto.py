"""Panopto: rows of its usage, and the statement that somebody viewed a video."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import Row, statement


def usage(account: str, session: int, local: datetime, minutes: str) -> Row:
    """Return a row of the usage: the date in American order, local and without a zone."""
    return {
        "TIMESTAMP": f"{local.month}/{local.day}/{local.year} {local:%I:%M:%S %p}".replace(" 0", " "),
        "USER_ID": "7defd8ba-33ff-45ea-a55a-a8b800010c53",
        "USERNAME": account,
        "EMAIL": f"{account}@{SITE}",
        "SESSION_ID": f"00000000-0000-4000-8000-{session:012x}",
        "SESSION_NAME": "A simulated recording",
        "OBJECT_ID": "749bab78-5913-44c9-b58e-a8ef01538b2e",
        "FOLDER_NAME": "Simulated",
        "MINUTES_WATCHED": minutes,
        "VIEWING_TYPE": "Interactive Desktop On Demand",
    }


def viewed(account: str, session: int, at: float, duration: str) -> dict[str, Any]:
    """Return a statement; ``duration`` in ISO 8601."""
    site = f"https://video.{SITE}"
    kind = "https://w3id.org/xapi/video/activity-type/video"
    verb = "http://id.tincanapi.com/verb/viewed"
    return statement(account, site, verb, f"{site}/{session}", kind, at, result={"duration": duration})
