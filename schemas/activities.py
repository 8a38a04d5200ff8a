"""The eleven activities of LEAP, in the order in which they stand in every array and state record.

The order is part of the state layout (:mod:`schemas.state`): append only.
"""

from typing import Literal, get_args

Activity = Literal[
    "tap_in",
    "zoom",
    "moodle_login",
    "moodle_course",
    "moodle_mobile",
    "faser_view",
    "faser_upload",
    "library_loan",
    "listen_again",
    "pc_login",
    "reading_list",
]

ACTIVITIES: tuple[Activity, ...] = get_args(Activity)
"""All activities; the index of one is its code."""

CODES: dict[str, int] = {name: code for code, name in enumerate(ACTIVITIES)}
"""Activity name to its code (0 to 10)."""
