"""What intake makes of records: which of them are one event."""

from types import SimpleNamespace
from typing import Any

import pytest

from schemas import log
from schemas.rows import ordinal
from streams.intake import Intake
from streams.producer import Message
from streams.settings import Settings

EVENT = b'{"student":"s1","activity":"tap_in","at":"2026-10-05T10:00:00Z","id":"%s"}'


class Collected:
    """Takes what intake sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, topic: str, partition: int, messages: list[Message]) -> list[Any]:
        self.messages += messages
        return []


async def once_keys(*records: tuple[bytes, Any]) -> list[int | None]:
    """Return the once-key of each record (its event's id, its ordinal)."""
    taken, letters = Collected(), SimpleNamespace(put=None)
    roster = SimpleNamespace(known={b"s1"})
    settings = Settings(_env_file=None, sources=("events",))  # type: ignore[call-arg]
    intake = Intake(settings, taken, letters, roster)  # type: ignore[arg-type]
    batch = [
        SimpleNamespace(
            offset=i,
            key=None,
            value=EVENT % name,
            timestamp=1_791_200_000_000,
            headers=[]
            if number is None
            else [ordinal(number) if isinstance(number, int) else ("leap_ordinal", number)],
        )
        for i, (name, number) in enumerate(records)
    ]
    await intake.handle("leap.source.events", 0, batch)
    keys = []
    for _, value, _ in taken.messages:
        record = log.decode(value)
        assert isinstance(record, log.ActivityRecord)
        keys.append(record.once)
    return keys


async def test_equal_rows_of_a_file_are_as_many_events_and_the_file_twice_is_no_more() -> None:
    first = await once_keys((b"a", 0), (b"a", 1), (b"a", 2), (b"b", 0))

    assert len(set(first)) == 4
    assert await once_keys((b"a", 0), (b"a", 1), (b"a", 2), (b"b", 0)) == first


@pytest.mark.parametrize("number", [0, b"", b"-1", b"soon", b"9" * 99])
async def test_a_record_of_no_file_is_the_event_that_it_was(number: Any) -> None:
    assert len({*await once_keys((b"a", None), (b"a", number))}) == 1
