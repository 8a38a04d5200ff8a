"""The coursework system: there is no public format, so this is the event of ours."""

from typing import Any

from leap.demo.sources.vendors.forms import utc


def event(number: int, user: str, action: str, at: float, **more: Any) -> dict[str, Any]:
    """Return an event; ``action``: viewed or uploaded."""
    return {
        "id": f"sim-{number}",
        "user": user,
        "action": action,
        "work": f"submission-{number}",
        "at": utc(at),
    } | more
