"""Dead letters.

The record's own key, value and headers untouched, and these headers that say where it failed and why.
"""

from typing import NamedTuple

from schemas.cloudevents import Headers, iso

TOPIC = "dlq.topic"
PARTITION = "dlq.partition"
OFFSET = "dlq.offset"
STAGE = "dlq.stage"
REASON = "dlq.reason"
FAILED_AT = "dlq.failed-at"

WHOLE_BATCH = "leap-batch"
"""Header of a letter that is a whole record batch, as it stood on the topic (:mod:`streams.inflation`); says why."""

_REASON_BYTES = 500


class DeadLetter(NamedTuple):
    """One record that could not be used.

    ``stage``: intake, roster, identities or engagement; ``reason`` never quotes the record.
    """

    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    def message(self, failed_at: float) -> tuple[bytes | None, bytes | None, Headers]:
        """Return what goes to the dead-letter topic."""
        added = [
            (TOPIC, self.topic.encode()),
            (PARTITION, b"%d" % self.partition),
            (OFFSET, b"%d" % self.offset),
            (STAGE, self.stage.encode()),
            (REASON, self.reason.encode()[:_REASON_BYTES]),
            (FAILED_AT, iso(failed_at).encode()),
        ]
        return self.key, self.value, [*self.headers, *added]
