"""Forms that several vendors share: instants in UTC, objects, rows of tables, xAPI statements."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

Row = Mapping[str, str]
"""A row of a table by its columns."""


def utc(at: float, fraction: str = "") -> str:
    """Return an instant as vendors' clouds write it; ``fraction``: digits of a second, with the point before them."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def text(body: Mapping[str, Any]) -> bytes:
    """Return an object as JSON."""
    return orjson.dumps(body)


def statement(
    account: str, site: str, verb: str, thing: str, kind: str, at: float, **more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an xAPI statement of somebody's account at a site; ``more``: result, context."""
    return {
        "actor": {"objectType": "Agent", "account": {"homePage": site, "name": account}},
        "verb": {"id": verb, "display": {"en": verb.rstrip("/").rpartition("/")[2]}},
        "object": {"objectType": "Activity", "id": thing, "definition": {"type": kind}},
        "timestamp": utc(at),
        **more,
    }
