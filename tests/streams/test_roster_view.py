"""What intake knows of the roster when the broker fails in the middle of reading it."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streams import roster_view
from streams.roster_view import RosterView
from streams.settings import Settings

TP = TopicPartition("leap.students", 0)


async def test_what_was_fetched_is_known_although_the_broker_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer stands behind it: nobody would read it again."""

    class Consumer:
        stands = 0

        async def position(self, _: TopicPartition) -> int:
            return self.stands

        async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
            self.stands = 1
            return {TP: [SimpleNamespace(key=b"s1", value=b"{}")]}

    class Away:
        def __init__(self, *_: Any) -> None:
            """Whatever it is made of."""

        async def look(self, _: Any) -> None:
            raise KafkaConnectionError

    monkeypatch.setattr(roster_view, "consumer", lambda *_: Consumer())
    monkeypatch.setattr(roster_view, "Offsets", lambda *_: None)
    monkeypatch.setattr(roster_view, "Stalls", Away)
    view = RosterView(Settings(_env_file=None))  # type: ignore[call-arg]
    view._partitions = [TP]

    with pytest.raises(KafkaConnectionError):
        await view._read_to({TP: 2})

    assert view.known == {b"s1"}
