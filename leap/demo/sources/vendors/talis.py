"""Talis: rows of its reading lists, and the statement that somebody viewed a list."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import Row, statement


def view(
    account: str, number: int, local: datetime, kind: str = "list.item.view", role: str = "an undergraduate"
) -> Row:
    """Return a row: its time is a minute, local and without a zone."""
    lists = f"https://lists.{SITE}"
    return {
        "SESSION_ID": f"00000000-0000-4000-8000-{number:012x}",
        "USERNAME": account,
        "EMAIL": f"{account}@{SITE}",
        "JOB_ROLE": role,
        "OBJECT_ID": f"{lists}/lists/{number % 20}",
        "OBJECT_NAME": "A simulated list",
        "ITEM_TYPE": "Book",
        "ITEM_URL": f"{lists}/items/{number}",
        "PLATFORM": "talis",
        "TIMESTAMP": f"{local:%Y-%m-%d %H:%M}",
        "ACTIVITY_TYPE": kind,
    }


def viewed(account: str, number: int, at: float) -> dict[str, Any]:
    """Return a statement."""
    site = f"https://lists.{SITE}"
    kind = "http://xapi.jisc.ac.uk/activities/reading-list"
    return statement(account, site, "http://id.tincanapi.com/verb/viewed", f"{site}/lists/{number}", kind, at)
