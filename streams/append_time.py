"""When a record was recorded: the broker's append time, or what a simulated clock says in a header."""

import math
from typing import Any

from schemas.cloudevents import RECORDED_AT, find, number
from schemas.dead_letters import FIRST_RECORDED_AT


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


def first_recorded_at(record: Any, *, simulated: bool) -> float:
    """Return seconds since 1970: when it was recorded, or if it is a dead letter sent again, when the original was.

    What lay in the future then is no event because time went by. The header can only make it earlier, so that a source
    that sets it gains nothing. A simulated clock's own header is sent again with the record.
    """
    recorded = recorded_at(record, simulated=simulated)
    first = None if simulated else number(find(record.headers, FIRST_RECORDED_AT))
    return recorded if first is None else min(recorded, first / 1000.0)
