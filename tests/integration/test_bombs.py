"""Batches of a few kilobytes that stand for hundreds of megabytes: put aside whole, and nothing dies of them."""

import re
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.dead_letters import WHOLE_BATCH
from streams.inflation import MOST_BYTES
from tests.integration import checker
from tests.integration.conftest import Install
from tests.integration.harness import Worker
from tests.integration.test_kills import DAYS, MORNING

pytestmark = pytest.mark.timeout(300)


def peak_mb(worker: Worker) -> int:
    """Return the most memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


async def test_bombs_on_a_source_and_on_the_roster_are_put_aside_whole(install: Install, apache: None) -> None:
    """They end in the dead letters as they stood on the topic; what comes after them counts; memory stays small."""
    system = await install(partitions=1, source_partitions=1)
    ids = checker.students(10)
    events = checker.events(ids, DAYS[:1])
    source, roster = system.topics.source("events").name, system.topics.students.name
    await system.enrol(ids[:5], MORNING)
    await system.send(events[:10])
    for codec in ("zstd", "gzip", "lz4"):
        async with AIOKafkaProducer(
            bootstrap_servers=system.settings.bootstrap,
            compression_type=codec,
            max_request_size=1 << 30,
            max_batch_size=1 << 30,
        ) as bomber:
            await bomber.send_and_wait(source, bytes(6 * MOST_BYTES), key=b"k")
            if codec != "lz4":  # of which the roster's topic takes no megabyte
                await bomber.send_and_wait(roster, bytes(6 * MOST_BYTES), key=b"k")
    await system.enrol(ids[5:], MORNING)
    await system.send(events[10:])
    workers = [system.start("roster"), system.start("intake"), system.start("engagement")]
    await system.caught_up("roster", "intake", "engagement")

    letters = await system.read(system.topics.dead_letters.name)
    assert sorted(letter.headers["dlq.stage"] for letter in letters) == [b"intake"] * 3 + [b"roster"] * 2
    for letter in letters:
        assert b"inflates" in letter.headers[WHOLE_BATCH]
        assert letter.value is not None
        assert len(letter.value) < 1024 * 1024
    await checker.assert_counts(system, ids, checker.by_day(events))
    peaks = {str(worker): peak_mb(worker) for worker in workers}
    print(peaks)
    assert max(peaks.values()) < 500, peaks
