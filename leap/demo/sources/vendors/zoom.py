"""Zoom: bodies of its webhooks, and their signature."""

import hashlib
import hmac
from typing import Any

from leap.demo.sources.vendors.forms import utc


def signed(secret: str, now: float, body: bytes) -> dict[str, str]:
    """Return the headers that Zoom sends with a body: HMAC-SHA256 of ``v0:<timestamp>:<body>``."""
    timestamp = str(int(now))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-zm-request-timestamp": timestamp, "x-zm-signature": f"v0={digest}"}


def joined(meeting: int, at: float, call: int, *, webinar: bool = False, **who: str) -> dict[str, Any]:
    """Return the body of a join; ``call``: number of the connection, ``who``: email, registrant_id ..."""
    return _body("webinar" if webinar else "meeting", "participant_joined", meeting, at, call, who)


def left(meeting: int, at: float, call: int, **who: str) -> dict[str, Any]:
    """Return the body of a leave."""
    return _body("meeting", "participant_left", meeting, at, call, who)


def of_2019(meeting: int, at: float, call: int) -> dict[str, Any]:
    """Return a join as it was told in 2019: no e-mail address, no ``event_ts``, the meeting's id a number."""
    body = _body("meeting", "participant_joined", meeting, at, call, {})
    del body["event_ts"]
    body["payload"]["object"]["id"] = meeting
    return body


def other(event: str, meeting: int, at: float) -> dict[str, Any]:
    """Return the body of an event without a participant."""
    body = _body("meeting", "started", meeting, at, 0, {})
    del body["payload"]["object"]["participant"]
    return body | {"event": event}


def _body(kind: str, what: str, meeting: int, at: float, call: int, who: dict[str, str]) -> dict[str, Any]:
    when = "leave_time" if what == "participant_left" else "join_time"
    return {
        "event": f"{kind}.{what}",
        "event_ts": int(at * 1000) + 250,
        "payload": {
            "account_id": "SIMULATED",
            "object": {
                "id": str(meeting),
                "uuid": f"SIM{meeting}==",
                "host_id": "simulated-host",
                "topic": "A simulated webinar",
                "type": 5 if kind == "webinar" else 8,
                "start_time": utc(at),
                "timezone": "Europe/London",
                "duration": 60,
                "participant": {
                    "user_id": f"{16_778_240 + call}",
                    "user_name": "Somebody Simulated",
                    "participant_uuid": f"SIM-CALL-{call}",
                    when: utc(at),
                    **who,
                },
            },
        },
    }
