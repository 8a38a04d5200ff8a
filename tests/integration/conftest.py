"""An installation of its own for each test of the running system."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.harness import Installation

Install = Callable[..., Any]


@pytest_asyncio.fixture
async def install(kafka: str, kafka_profile: str, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Install]:
    """Makes installations: `await install(partitions=1)`; their processes end with the test."""
    async with AsyncExitStack() as stack:
        made = 0

        async def make(**settings: Any) -> Installation:
            nonlocal made
            made += 1
            directory = tmp_path / f"installation-{made}"
            directory.mkdir()
            return await stack.enter_async_context(
                Installation(kafka, kafka_profile, f"{topic_prefix}{made}", directory, **settings)
            )

        yield make


@pytest.fixture
def apache(kafka_profile: str) -> None:
    """Skips on the embedded broker, for what only Apache Kafka does."""
    if kafka_profile != "apache":
        pytest.skip("needs Apache Kafka: the embedded broker cannot do what this test is about")
