"""Ratings: the band of the live mean, or not rated with a reason. Also the official ones, at a close."""

from typing import Any, NamedTuple

import numpy as np

from schemas.state import Row
from windows.roster import CODE, Absences, Table, reasons
from windows.scoring import Bools, Codes, Rules, bands
from windows.sliding import View

UNRATED = -1


class Settled(NamedTuple):
    """What :func:`settle` found, a value a row: whether rating or reason changed, and what they were."""

    changed: Bools
    rating: Codes
    reason: Codes
    view: View


def settle(
    rows: Row,
    table: Table,
    absences: Absences,
    rules: Rules,
    *,
    closed: bool,
    version: Any,
    at: Any,
    official: bool = False,
) -> Settled:
    """Work out the live rating of rows (all of one anchor), in place.

    ``version`` and ``at`` (a value, or one a row) become ``since`` and ``since_at`` where rating or reason changed.
    ``official``: a day has just closed or a closed one was restated, so the closed rating is worked out too.
    The bands are those of the anchor's policy.
    """
    anchor = int(rows["anchor"][0]) if len(rows) else 0
    view = View(rules, rows, table, absences, anchor)
    lowest = rules.lowest(anchor)
    mean, end = view.live()
    closed_mean, counted = view.means(anchor)
    reason = reasons(table, absences, anchor, closed=closed)
    reason[(reason < 0) & ~counted] = CODE["no_countable_day"]
    rated = reason < 0
    rating = np.where(rated, bands(mean, lowest), UNRATED)
    before = Settled(
        (rating != rows["rating"]) | (reason != rows["reason"]), rows["rating"].copy(), rows["reason"].copy(), view
    )
    rows["rating"], rows["reason"] = rating, reason
    rows["score"] = np.where(rated, mean, np.nan)
    rows["window_end"] = np.where(rated, end, anchor)
    rows["since"] = np.where(before.changed, version, rows["since"])
    rows["since_at"] = np.where(before.changed, at, rows["since_at"])
    if official:
        rows["closed_rating"] = np.where(rated, bands(closed_mean, lowest), UNRATED)
        rows["closed_score"] = np.where(rated, closed_mean, np.nan)
    return before
