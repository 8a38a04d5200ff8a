"""The roster agent.

From ``leap.students`` to the student log, so that who is enrolled stands in the one ordered log, too.
"""

from collections import defaultdict
from typing import Any

import msgspec
from pydantic import ValidationError

from schemas import log
from schemas.cloudevents import headers
from schemas.dead_letters import DeadLetter
from schemas.students import Student
from streams import metrics
from streams.append_time import recorded_at
from streams.intake import partition_of
from streams.producer import Message, Producer, delivered
from streams.role import DeadLetterBox, Handler
from streams.settings import Settings
from streams.sources.events import why


class Roster(Handler):
    """Passes roster entries on; a tombstone removes a student."""

    def __init__(self, settings: Settings, producer: Producer, letters: DeadLetterBox) -> None:
        """Take what it works with; all of it is already started."""
        self._settings = settings
        self._log = settings.topics.student_log.name
        self._producer = producer
        self._letters = letters

    async def handle(self, topic: str, partition: int, records: list[Any]) -> None:
        """Deal with one batch of ``leap.students``.

        Raises:
            DeliveryError: the broker did not take everything; the batch must be read again.
        """
        out: defaultdict[int, list[Message]] = defaultdict(list)
        bad: list[DeadLetter] = []
        for record in records:
            problem = self._problem(record)
            if problem is not None:
                bad.append(
                    DeadLetter(
                        topic,
                        partition,
                        record.offset,
                        "roster",
                        problem,
                        record.key,
                        record.value,
                        list(record.headers),
                    )
                )
                continue
            entry = log.StudentRecord(
                record=msgspec.Raw(record.value or b"null"),
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

    @staticmethod
    def _problem(record: Any) -> str | None:
        if record.key is None:
            return "key: missing; the key of a roster record is the student"
        if record.value is None:
            return None
        try:
            student = Student.model_validate_json(record.value)
        except ValidationError as error:
            return why(error)
        if student.student.encode() != record.key:
            return "student: is not the record's key"
        return None
