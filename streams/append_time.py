"""When a record was recorded: the broker's append time, or what a simulated clock says in a header."""

import math
from typing import Any

from schemas.cloudevents import RECORDED_AT, find


def recorded_at(record: Any, *, simulated: bool) -> float:
    """Return seconds since 1970.

    The header counts only under a simulated clock (else any source could set its own time).
    """
    if simulated:
        header = find(record.headers, RECORDED_AT)
        try:
            value = math.nan if header is None else float(header)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
    return float(record.timestamp) / 1000.0
