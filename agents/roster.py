"""The roster agent.

From ``leap.students`` to the student log, so that who is enrolled stands in the one ordered log, too.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas import log
from schemas.cloudevents import headers
from schemas.dead_letters import DeadLetter
from schemas.students import EntryError, read_entry
from streams import metrics
from streams.append_time import recorded_at
from streams.intake import partition_of
from streams.producer import Message, Producer, delivered
from streams.role import DeadLetterBox, Handler
from streams.settings import Settings


class Roster(Handler):
    """Passes roster entries on; a tombstone removes a student."""

    def __init__(self, settings: Settings, producer: Producer, letters: DeadLetterBox) -> None:
        """Take what it works with; all of it is already started."""
        self._settings = settings
        self._log = settings.topics.student_log.name
        self._producer = producer
        self._letters = letters

    async def handle(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        """Deal with one batch of ``leap.students``.

        Raises:
            DeliveryError: the broker did not take everything; the batch must be read again.
        """
        out: defaultdict[int, list[Message]] = defaultdict(list)
        bad: list[DeadLetter] = []
        for record in records:
            try:
                student = read_entry(record.key, record.value)
            except EntryError as error:
                bad.append(
                    DeadLetter(
                        topic,
                        partition,
                        record.offset,
                        record.timestamp,
                        "roster",
                        str(error),
                        record.key,
                        record.value,
                        list(record.headers),
                    )
                )
                continue
            # Written anew: as it came in, it may hold what other JSON parsers refuse, or be padded beyond what the log
            # takes.
            written = "null" if student is None else student.model_dump_json(exclude_unset=True)
            entry = log.StudentRecord(
                record=msgspec.Raw(written.encode()),
                position=log.Position(f"{topic}-{partition}", record.offset),
                recorded_at=recorded_at(record, simulated=self._settings.simulated_clock),
            )
            message = (
                record.key,
                log.encode(entry),
                headers("student", "/leap/roster", f"{topic}-{partition}/{record.offset}"),
            )
            out[partition_of(record.key, self._settings.partitions)].append(message)
        under_way = [
            b for number, messages in out.items() for b in await self._producer.send(self._log, number, messages)
        ]
        if bad:
            await self._letters.put(bad)
        await delivered(under_way)
        metrics.roster_records.labels("sent").inc(len(records) - len(bad))
        metrics.roster_records.labels("dead_letter").inc(len(bad))
