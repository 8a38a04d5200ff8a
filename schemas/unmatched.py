"""Records that wait for a student (``leap.unmatched``).

The source record's own key, value and headers untouched, and behind them these headers, which say where it stood, when
it was recorded there and since when it waits. It keeps them when it is put at the end of the topic again.
"""

from typing import Any, NamedTuple

from schemas.cloudevents import Headers

TOPIC = "waiting.topic"
PARTITION = "waiting.partition"
OFFSET = "waiting.offset"
RECORDED_AT = "waiting.recorded-at"
SINCE = "waiting.since"

_NAMES = (TOPIC, PARTITION, OFFSET, RECORDED_AT, SINCE)


class UnmatchedError(ValueError):
    """A record of ``leap.unmatched`` is none that intake wrote."""


class Waiting(NamedTuple):
    """One source record that waits. ``recorded_at`` and ``since``: seconds since 1970."""

    topic: str
    partition: int
    offset: int
    recorded_at: float
    since: float
    key: bytes | None
    value: bytes
    headers: Headers

    def message(self) -> tuple[bytes | None, bytes, Headers]:
        """Return what goes to the topic."""
        added = [
            (TOPIC, self.topic.encode()),
            (PARTITION, b"%d" % self.partition),
            (OFFSET, b"%d" % self.offset),
            (RECORDED_AT, repr(self.recorded_at).encode()),
            (SINCE, repr(self.since).encode()),
        ]
        return self.key, self.value, [*self.headers, *added]


def read(record: Any) -> Waiting:
    """Return what a record of the topic holds. The source's own headers may have any names, so ours are the last.

    Raises:
        UnmatchedError: it was not made by :meth:`Waiting.message`.
    """
    headers = list(record.headers)
    own, added = headers[: -len(_NAMES)], headers[-len(_NAMES) :]
    if tuple(name for name, _ in added) != _NAMES or record.value is None:
        raise UnmatchedError("not a record that waits")
    try:
        topic, partition, offset, recorded_at, since = (value.decode() for _, value in added)
        return Waiting(
            topic, int(partition), int(offset), float(recorded_at), float(since), record.key, record.value, own
        )
    except (AttributeError, ValueError):
        raise UnmatchedError("not a record that waits") from None
