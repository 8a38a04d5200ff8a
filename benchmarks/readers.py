"""The yardsticks, each a process of its own: stock Faust with a table, reading and decoding alone, and passing on.

``python -m benchmarks.readers KIND BOOTSTRAP TOPIC RECORDS [TO]`` prints one JSON object: records, seconds, and seconds
of CPU time, from the first record to the last.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from typing import Any

import orjson

from schemas import log


class Stopwatch:
    """Counts records from the first to the last, then prints the result and ends the process."""

    def __init__(self, records: int) -> None:
        """Wait for the first of ``records``."""
        self._records = records
        self._seen = 0
        self._began = self._cpu = 0.0

    def count(self, n: int) -> None:
        """Count ``n`` more."""
        if not self._seen:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        self._seen += n
        if self._seen >= self._records:
            seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
            print(json.dumps({"records": self._seen, "seconds": seconds, "cpu": cpu}), flush=True)
            os._exit(0)


def stock_faust(bootstrap: str, topic: str, records: int) -> None:
    """Stock Faust: one event a record, decoded, and one write of a table an event."""
    import faust  # noqa: PLC0415 - each kind loads what it measures

    app = faust.App(
        f"bench-faust-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        topic_partitions=4,
        web_enabled=False,
        datadir=tempfile.mkdtemp(),
        topic_disable_leader=True,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
    )
    app.BootStrategy.enable_web = False
    source = app.topic(topic, value_type=None, key_type=None, value_serializer="raw", key_serializer="raw")
    table = app.Table("counts", default=int, partitions=4, key_type=bytes, value_type=int)
    watch = Stopwatch(records)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            log.decode(event.value)
            table[event.key] += 1
            watch.count(1)

    app.agent(source)(agent)
    app.Worker(loglevel="ERROR", quiet=True, redirect_stdouts=False).execute_from_commandline()


async def aiokafka(bootstrap: str, topic: str, records: int) -> None:
    """Aiokafka: fetch, unpack and decode in one call a fetch."""
    consumer = await _consumer(bootstrap, topic)
    watch = Stopwatch(records)
    while True:
        for fetched in (await consumer.getmany(timeout_ms=1000)).values():
            watch.count(len(log.decode_many([r.value for r in fetched]) or ()))


async def passed_on(bootstrap: str, topic: str, records: int, to: str) -> None:
    """Aiokafka: fetch, decode each row, send it on under its user, and wait until the broker has the fetch."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    consumer = await _consumer(bootstrap, topic)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        watch = Stopwatch(records)
        while True:
            for fetched in (await consumer.getmany(timeout_ms=1000)).values():
                under_way = [
                    await producer.send(to, record.value, str(orjson.loads(record.value)["userid"]).encode())
                    for record in fetched
                ]
                await asyncio.gather(*under_way)
                watch.count(len(fetched))


async def _consumer(bootstrap: str, topic: str) -> Any:
    """Return a consumer at the beginning of a topic."""
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415

    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=4 * 1024 * 1024)
    await consumer.start()
    consumer.assign(
        [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or await _wait(consumer, topic))]
    )
    await consumer.seek_to_beginning()
    return consumer


async def _wait(consumer: Any, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)
    return set(consumer.partitions_for_topic(topic))


def librdkafka(bootstrap: str, topic: str, records: int) -> None:
    """Librdkafka (confluent-kafka): batches of messages, decoded in one call a batch."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition  # noqa: PLC0415

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{os.getpid()}",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 1,
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    watch = Stopwatch(records)
    while True:
        values = [m.value() or b"" for m in consumer.consume(10_000, timeout=1.0) if m.error() is None]
        if values:
            watch.count(len(log.decode_many(values) or ()))


def main() -> None:
    """Run one yardstick."""
    kind, bootstrap, topic, records, *to = sys.argv[1:]
    if kind == "faust":
        stock_faust(bootstrap, topic, int(records))
    elif kind == "aiokafka":
        asyncio.run(aiokafka(bootstrap, topic, int(records)))
    elif kind == "passed-on":
        asyncio.run(passed_on(bootstrap, topic, int(records), *to))
    else:
        librdkafka(bootstrap, topic, int(records))


if __name__ == "__main__":
    main()
