"""Who is on the roster, as every intake process knows it.

The ids of ``leap.students`` that the roster role has passed on.

Only what the roster role has *committed* counts: then the student's record already stands in the student log, and an
activity that intake writes after it can never arrive at engagement before its student.
"""

import asyncio
import time

from aiokafka import TopicPartition

from streams.admin import Offsets
from streams.reader import Stalls, consumer
from streams.settings import Settings

_ASK_EVERY = 0.2


class RosterView:
    """The set of known students; not yet loaded before :meth:`start` returns."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._topic = settings.topics.students.name
        self._kafka = consumer(settings, "roster-view")
        self._offsets = Offsets(settings, "roster-view")
        self._partitions: list[TopicPartition] = []
        self._asked = 0.0
        self.known: set[bytes] = set()

    async def start(self) -> None:
        """Connect and read what the roster role has passed on so far."""
        await self._offsets.start()
        await self._kafka.start()
        self._partitions = await self._offsets.partitions([self._topic])
        self._kafka.assign(self._partitions)
        for tp, offset in (await self._offsets.starts(self._partitions)).items():
            self._kafka.seek(tp, offset)
        await self.catch_up()

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()
        await self._offsets.stop()

    async def catch_up(self, patience: float = 0.0) -> None:
        """Read what the roster role has passed on; wait up to ``patience`` seconds until that is all there is by now.

        So a student whose entry was on the topic before an event of theirs is never unknown, even while roles start.
        Asks the broker at most every 0.2 s.

        Raises:
            StalledError: the broker has more, and nothing comes.
            aiokafka.errors.KafkaError: it cannot be asked.
        """
        wanted = await self._offsets.ends(self._partitions) if patience else {}
        deadline = time.monotonic() + patience
        while True:
            await asyncio.sleep(max(0.0, self._asked + _ASK_EVERY - time.monotonic()))
            self._asked = time.monotonic()
            done = await self._offsets.committed(self._settings.group("roster"), self._partitions)
            if all(done.get(tp, 0) >= end for tp, end in wanted.items()) or time.monotonic() >= deadline:
                break
        await self._read_to(done)

    async def _read_to(self, done: dict[TopicPartition, int]) -> None:
        left = {tp for tp in self._partitions if await self._kafka.position(tp) < done.get(tp, 0)}
        stalls = Stalls(self._kafka)
        while left:
            fetched = await self._kafka.getmany(*left, timeout_ms=500)
            for records in fetched.values():
                for record in records:
                    if record.key is None:
                        continue
                    if record.value is None:
                        self.known.discard(record.key)
                    else:
                        self.known.add(record.key)
            for tp in list(left):
                if await self._kafka.position(tp) >= done[tp]:
                    left.discard(tp)
            # Behind the records: if the broker cannot be asked, what was fetched is taken up all the same.
            await stalls.look(left)
