"""Fetches unpacked whole."""

import gc
import math
import weakref
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder

import streams.record_batches  # noqa: F401 - replaces FetchResult.getall

TP = TopicPartition("log", 0)


class Assignment:
    """An assignment that stands."""

    active = True
    paused = False
    position = 0

    def state_value(self, _: Any) -> Any:
        return self

    def consumed_to(self, offset: int) -> None:
        self.position = offset

    has_valid_position = True


def fetch(values: list[bytes]) -> FetchResult:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1, key=None, value=value, headers=[])
    held = PartitionRecords(TP, fetcher.MemoryRecords(bytes(builder.build())), [], 0, None, None, True, 0)
    return FetchResult(TP, assignment=Assignment(), partition_records=held, backoff=0)


@pytest.fixture
def without_collector() -> Any:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_a_fetch_that_was_taken_is_gone_without_the_garbage_collector() -> None:
    """It holds all bytes that the broker sent, and there are hundreds of fetches a second."""
    fetched = fetch([b"one", b"two"])
    held = weakref.ref(fetched._partition_records)

    records = fetched.getall(math.inf)

    assert [record.value for record in records] == [b"one", b"two"]
    assert held() is None
