"""Alma, the library system of Ex Libris: bodies of its webhooks, and their signature."""

import base64
import hashlib
import hmac
from typing import Any

from leap.demo.sources.vendors.forms import utc


def signed(secret: str, body: bytes) -> dict[str, str]:
    """Return the header that Alma sends with a body: the Base64 form of its HMAC-SHA256."""
    return {"X-Exl-Signature": base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()}


def loan(number: int, user: str, at: float, event: str = "LOAN_CREATED", **more: Any) -> dict[str, Any]:
    """Return the body about a loan, which was made at ``at``; ``more``: parts beside it."""
    return {
        "id": "1452370645077141593",
        "action": "LOAN",
        "institution": {"value": "44SIM_INST", "desc": "The simulated university"},
        "time": utc(at + 6.0, ".005"),
        "event": {"value": event, "desc": event.replace("_", " ").capitalize()},
        "item_loan": {
            "loan_date": utc(at, ".546"),
            "loan_status": "ACTIVE",
            "due_date": utc(at + 14 * 86_400.0),
            "user_id": user,
            "library": {"value": "SIM"},
            "loan_id": f"18263808{number:09}",
            "process_status": "NORMAL",
            "mms_id": f"9919{number:09}",
            "title": "Simulated title",
        },
    } | more


def of_something_else(body: dict[str, Any], material: str) -> dict[str, Any]:
    """Return a loan's body of an item that is no book."""
    return body | {"item": {"item_data": {"physical_material_type": {"value": material}}}}
