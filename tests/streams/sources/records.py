"""What the tests of adapters have in common: files of one row, and outcomes that must be activities."""

from collections.abc import Mapping

from streams.sources import Outcome, Seen


def tsv(row: Mapping[str, str], ending: str = "\n") -> bytes:
    """Return a header line and one row."""
    return "".join("\t".join(fields) + ending for fields in (row.keys(), row.values())).encode()


def seen(found: Outcome) -> Seen:
    """Return an outcome that is an activity; fail, saying what it is, if it is none."""
    assert isinstance(found, Seen), found
    return found
