"""The events of ours, for systems that have no adapter, and the CloudEvents that bring them over HTTP."""

from typing import Any

import orjson

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import utc


def event(number: int, activity: str, at: float, **who: str) -> dict[str, Any]:
    """Return an event; ``who``: student, or person by the system's own key."""
    return {**who, "activity": activity, "at": utc(at), "id": f"sim-{number}"}


def attributes(number: int) -> dict[str, str]:
    """Return the attributes of a CloudEvent."""
    return {
        "specversion": "1.0",
        "type": "leap.source-event.v1",
        "source": f"https://{SITE}/readers",
        "id": f"sim-{number}",
    }


def structured(number: int, data: bytes) -> bytes:
    """Return a CloudEvent in structured mode."""
    return orjson.dumps({**attributes(number), "data": orjson.Fragment(data)})
