"""Servers for the fault suite: apart from those of other tests, because they are killed."""

from collections.abc import Iterator

import pytest

from deploy.servers import kafka_available
from tests.chaos.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A broker and a Redis to be killed."""
    if not kafka_available():
        pytest.skip("needs Apache Kafka: the embedded broker has nothing left when it was killed")
    made = Servers()
    with made.running():
        yield made
