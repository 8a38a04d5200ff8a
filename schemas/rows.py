"""Records that were rows of a file: its header line, a line feed and one row, as they stand in the file."""

ORDINAL = "leap_ordinal"
"""Header: how many rows before this one in its file are equal to it, in decimal.

It tells equal rows of a file from a row that was sent twice.
"""


def ordinal(number: int) -> tuple[str, bytes]:
    """Return the header of a row."""
    return ORDINAL, b"%d" % number
