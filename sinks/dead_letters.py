"""Dead letters: where records go that cannot be used."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from schemas.dead_letters import DeadLetter
from streams import metrics
from streams.producer import Message, Producer
from streams.settings import Settings
import time


class DeadLetters:
    def __init__(self, producer: Producer, settings: Settings) -> None:
        self._producer = producer
        self._topic = settings.topics.dead_letters.name
        self._partitions = settings.source_partitions

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        out = defaultdict(list)
        for l in letters: out[l.partition % self._partitions].append(l.message(time.time()))
        for p, m in out.items(): await self._producer.deliver(self._topic, p, m)
        for stage, n in Counter(l.stage for l in letters).items(): metrics.dead_letters.labels(stage).inc(n)
