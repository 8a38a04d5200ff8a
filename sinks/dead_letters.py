"""Dead letters: where records go that cannot be used, byte for byte, with the reason."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from schemas.dead_letters import DeadLetter
from streams import metrics
from streams.producer import Message, Producer, delivered
from streams.settings import Settings


class DeadLetters:
    """Puts letters into the dead-letter topic, in the partition of their number."""

    def __init__(self, producer: Producer, settings: Settings) -> None:
        """Take a started producer."""
        self._producer = producer
        self._topic = settings.topics.dead_letters.name
        self._partitions = settings.source_partitions

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver letters; returns when the broker has them.

        Raises:
            DeliveryError: the broker did not take them; whoever called must not acknowledge.
        """
        now = time.time()
        out: defaultdict[int, list[Message]] = defaultdict(list)
        for letter in letters:
            out[letter.partition % self._partitions].append(letter.message(now))
        under_way = [
            sent for place, some in out.items() for sent in await self._producer.send(self._topic, place, some)
        ]
        await delivered(under_way)
        for stage, n in Counter(letter.stage for letter in letters).items():
            metrics.dead_letters.labels(stage).inc(n)
