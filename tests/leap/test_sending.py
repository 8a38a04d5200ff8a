"""What a command sends goes to the partitions of its keys, and what Kafka did not take is a message and no traceback."""

from typing import Any

import pytest

from leap import connect, sending
from leap.errors import UNREACHABLE, CommandError
from streams.intake import partition_of
from streams.producer import DeliveryError, Message
from streams.settings import Settings

SETTINGS = Settings(_env_file=None, kafka="kafka:9092")  # type: ignore[call-arg]


class Broker:
    """Stands in for a producer of eight partitions."""

    def __init__(self) -> None:
        self.sent: dict[int, list[Message]] = {}
        self.stopped = False

    async def start(self) -> None:
        self.stopped = False

    async def stop(self) -> None:
        self.stopped = True

    async def partitions(self, topic: str) -> int:
        return 8

    async def send(self, topic: str, partition: int, messages: list[Message]) -> list[Any]:
        self.sent[partition] = messages
        return []


async def test_messages_of_a_key_stand_in_its_partition_in_order() -> None:
    broker = Broker()
    messages: list[Message] = [(b"k%d" % (n % 5), b"v%d" % n, []) for n in range(20)]

    await sending.deliver(broker, "t", messages)  # type: ignore[arg-type]

    assert sorted(m for some in broker.sent.values() for m in some) == sorted(messages)
    for number, some in broker.sent.items():
        assert some == [m for m in messages if partition_of(m[0] or b"", 8) == number]


async def test_what_kafka_did_not_take_is_said_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    monkeypatch.setattr(connect, "Producer", lambda *_: broker)

    async def send() -> None:
        done = 0
        async with sending.sending(SETTINGS, "test", lambda: f"{done} lines"):
            done = 7
            raise DeliveryError("gone")

    with pytest.raises(CommandError, match=r"Kafka at kafka:9092 .* after 7 lines \(gone\). Run it again.") as raised:
        await send()

    assert raised.value.code == UNREACHABLE
    assert broker.stopped
