"""What intake makes of records: which of them are one event, and which lay in the future."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from schemas import log
from schemas.cloudevents import Headers
from schemas.dead_letters import FIRST_RECORDED_AT, DeadLetter
from schemas.rows import ORDINAL
from schemas.timetable import TimetabledEvent
from streams.intake import Intake
from streams.producer import DeliveryError, Message
from streams.settings import Settings
from streams.timetable import Timetable

EVENT = b'{"student":"s1","activity":"tap_in","at":"2026-10-05T10:00:00Z","id":"%s"}'
AT = 1_791_194_400_000
NOW = AT + 3_600_000


class Collected:
    """Takes what intake sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.letters: list[DeadLetter] = []

    async def send(self, topic: str, partition: int, messages: list[Message]) -> list[Any]:
        self.messages += messages
        return []

    async def put(self, letters: list[DeadLetter]) -> None:
        self.letters += letters


async def taken(*records: tuple[bytes, Headers], timestamp: int = NOW) -> Collected:
    """Return what becomes of records (their event's id, their headers)."""
    collected, roster = Collected(), SimpleNamespace(known={b"s1"})
    settings = Settings(_env_file=None, sources=("events",))  # type: ignore[call-arg]
    intake = Intake(settings, collected, collected, roster)  # type: ignore[arg-type]
    batch = [
        SimpleNamespace(offset=i, key=None, value=EVENT % name, timestamp=timestamp, headers=headers)
        for i, (name, headers) in enumerate(records)
    ]
    await intake.handle("leap.source.events", 0, batch)
    return collected


async def once_keys(*records: tuple[bytes, bytes | None]) -> list[int | None]:
    """Return the once-key of each record (its event's id, its ordinal)."""
    sent = await taken(*((name, [] if ordinal is None else [(ORDINAL, ordinal)]) for name, ordinal in records))
    assert not sent.letters
    keys = []
    for _, value, _ in sent.messages:
        record = log.decode(value)
        assert isinstance(record, log.ActivityRecord)
        keys.append(record.once)
    return keys


async def test_equal_rows_of_a_file_are_as_many_events_and_the_file_twice_is_no_more() -> None:
    file = [(b"a", b"0"), (b"a", b"1"), (b"a", b"2"), (b"b", b"0")]

    first = await once_keys(*file)

    assert len(set(first)) == 4
    assert await once_keys(*file) == first


@pytest.mark.parametrize("ordinal", [b"0", b"", b"-1", b"soon", b"9" * 99])
async def test_a_record_of_no_file_is_the_event_that_it_was(ordinal: bytes) -> None:
    assert len({*await once_keys((b"a", None), (b"a", ordinal))}) == 1


@pytest.mark.parametrize(("first", "usable"), [(AT - 301_000, False), (AT - 299_000, True), (NOW + 1, True)])
async def test_what_lay_in_the_future_is_no_event_because_time_went_by(first: int, usable: bool) -> None:
    """A dead letter is sent again days later: it is judged by when the broker had it first."""
    found = await taken((b"a", [(FIRST_RECORDED_AT, b"%d" % first)]))

    reasons = [letter.reason for letter in found.letters]
    assert (len(found.messages), reasons) == ((1, []) if usable else (0, ["at: in the future"]))


async def test_a_source_cannot_make_a_record_newer_than_it_is() -> None:
    found = await taken((b"a", [(FIRST_RECORDED_AT, b"%d" % NOW)]), timestamp=AT - 301_000)

    assert [letter.reason for letter in found.letters] == ["at: in the future"]


@pytest.mark.parametrize("refused", ["waiting room", "dead letters"])
async def test_nothing_is_counted_before_what_is_not_stands_where_it_belongs(refused: str) -> None:
    """Else a person who becomes known before the batch is read again is lost: what was counted has fenced their records."""

    class Refusing(Collected):
        async def deliver(self, topic: str, partition: int, messages: list[Message]) -> None:
            raise DeliveryError

        async def put(self, letters: list[DeadLetter]) -> None:
            raise DeliveryError

    class SomeKnown:
        def look_up(self, _: str, asked: Any) -> list[bytes | None]:
            return [b"s1" if person == "1" else None for person, _ in asked]

    async def catch_up(_: float) -> None:
        """Nobody comes onto the roster."""

    collected, roster = Refusing(), SimpleNamespace(known={b"s1"}, catch_up=catch_up)
    source, values = {
        "waiting room": ("tap-ins", [swipe("2", 1), swipe("1", 2)]),
        "dead letters": ("events", [(EVENT % b"a").replace(b"s1", b"s2"), EVENT % b"b"]),
    }[refused]
    settings = Settings(_env_file=None, sources=(source,))  # type: ignore[call-arg]
    intake = Intake(settings, collected, collected, roster, SomeKnown())  # type: ignore[arg-type]
    batch = [
        SimpleNamespace(offset=i, key=None, value=value, timestamp=NOW, headers=[]) for i, value in enumerate(values)
    ]

    with pytest.raises(DeliveryError):
        await intake.handle(f"leap.source.{source}", 0, batch)

    assert not collected.messages


# -- attendance -------------------------------------------------------------------------------------------------------


class Everybody:
    """Whoever it is, it is one of two students."""

    def look_up(self, _: str, asked: Any) -> list[bytes | None]:
        return [b"s1" if person in {"1", "one@example.com"} else b"s2" for person, _ in asked]


def swipe(card: str, minute: int, reader: str = "LTB 06", **more: bool) -> bytes:
    return json.dumps({"card": card, "reader": reader, "at": f"2026-10-05T09:{minute:02}:00Z"} | more).encode()


def join(email: str, minute: int, meeting: str = "123") -> bytes:
    who = {"email": email, "user_id": f"u{minute}", "join_time": f"2026-10-05T09:{minute:02}:00Z"}
    thing = {"id": meeting, "uuid": "x==", "participant": who}
    return json.dumps({"event": "meeting.participant_joined", "payload": {"object": thing}}).encode()


async def evidence(source: str, *values: bytes) -> list[tuple[bytes | None, log.ActivityRecord | log.Retraction]]:
    """Return student and record of each that is for us; a lecture is on from 9 to 10, in a room and a meeting."""
    lecture = TimetabledEvent.model_validate(
        {
            "event": "CS101",
            "start": "2026-10-05T09:00:00Z",
            "end": "2026-10-05T10:00:00Z",
            "venues": ["reader:LTB 06", "reader:LTB 07", "zoom:123"],
        }
    )
    timetable = Timetable()
    timetable.put("CS101", lecture)
    collected, roster = Collected(), SimpleNamespace(known={b"s1", b"s2"})
    settings = Settings(_env_file=None, sources=(source,))  # type: ignore[call-arg]
    intake = Intake(settings, collected, collected, roster, Everybody(), timetable)  # type: ignore[arg-type]
    batch = [
        SimpleNamespace(offset=i, key=None, value=value, timestamp=NOW, headers=[]) for i, value in enumerate(values)
    ]
    await intake.handle(f"leap.source.{source}", 0, batch)
    assert not collected.letters
    return [(key, cast("log.ActivityRecord | log.Retraction", log.decode(v))) for key, v, _ in collected.messages]


async def attended(source: str, *values: bytes) -> list[tuple[bytes | None, int | None]]:
    """Return student and attendance of each."""
    return [(student, record.attendance) for student, record in await evidence(source, *values)]


async def test_an_attendance_is_one_for_its_event_whatever_the_evidence() -> None:
    """Two taps, one of them at the other door; a join, and a rejoin from another device; a row of the register."""
    register = b"STUDENT_ID\tEVENT_ID\tSTART_TIME\tEVENT_ATTENDED\n1\tCS101\t2026-10-05T10:00:00\t1"
    taps = await attended("tap-ins", swipe("1", 0), swipe("1", 59, "LTB 07"), swipe("2", 5))
    joins = await attended("zoom", join("one@example.com", 1), join("one@example.com", 30))

    (one, first), (again, second), (other, third) = taps
    assert (one, again, other) == (b"s1", b"s1", b"s2")
    assert first == second
    assert first != third
    assert {key for _, key in joins + await attended("tap-ins", register)} == {first}


async def test_each_piece_of_evidence_has_a_key_of_its_own_by_which_it_is_taken_back() -> None:
    first, second, back = await evidence("tap-ins", swipe("1", 1), swipe("1", 2), swipe("1", 2, taken_back=True))

    assert [type(record) for _, record in (first, second, back)] == [log.ActivityRecord] * 2 + [log.Retraction]
    assert first[1].once != second[1].once == back[1].once
    assert first[1].attendance == second[1].attendance == back[1].attendance


async def test_a_tap_outside_of_the_timetable_counts_once_an_hour() -> None:
    taps = await attended("tap-ins", swipe("1", 1, "Library"), swipe("1", 50, "Library"), swipe("1", 1, "Gym"))

    (_, first), (_, second), (_, elsewhere) = taps
    assert first == second
    assert first != elsewhere


def ignored(source: str, reason: str) -> float:
    """What /metrics says of records that are not for us."""
    return REGISTRY.get_sample_value("leap_source_ignored_total", {"source": source, "reason": reason}) or 0.0


async def test_what_is_not_for_us_is_counted_by_reason() -> None:
    before = ignored("zoom", "outside of the timetable")
    await attended("zoom", join("one@example.com", 1, meeting="999"), join("one@example.com", 1))

    assert ignored("zoom", "outside of the timetable") == before + 1


async def test_a_meeting_outside_of_the_timetable_is_not_for_us() -> None:
    assert await attended("zoom", join("one@example.com", 1, meeting="999")) == []
