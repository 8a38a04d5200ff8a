"""A dead letter says where its record stood, and can be sent again as it was."""

from datetime import UTC, datetime

import pytest

from schemas.dead_letters import (
    FIRST_RECORDED_AT,
    REPLAY_OF,
    REPLAYED,
    TIMESTAMP,
    TOPIC,
    DeadLetter,
    Origin,
    read_note,
    read_origin,
)

OWN = [("trace", b"\x00\xff"), ("trace", b"twice"), (TOPIC, b"leap.students")]
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()
LETTER = DeadLetter("leap.source.events", 1, 17, 1_000, "intake", "student: unknown", b"k", b"v", OWN)


def origin(letter: DeadLetter) -> Origin:
    found = read_origin(letter.message(NOON)[2])
    assert found is not None
    return found


def test_it_is_read_back_and_a_record_cannot_pose_as_another() -> None:
    """The record's own headers may have the names of ours: what stands last is ours."""
    assert origin(LETTER) == ("leap.source.events", 1, 17, 1_000, "intake", "student: unknown", NOON, OWN)
    assert origin(LETTER).position == "leap.source.events-1/17"


def test_a_letter_of_an_earlier_release_is_read_too() -> None:
    headers = [header for header in LETTER.message(NOON)[2] if header[0] != TIMESTAMP]

    found = read_origin(headers)

    assert found is not None
    assert (found.timestamp, found.first_recorded_at(), found.headers) == (None, None, OWN)
    assert found.headers_again("leap.dead-letters-0/3") == [*OWN, (REPLAY_OF, b"leap.dead-letters-0/3")]


@pytest.mark.parametrize("headers", [[], OWN, [(REPLAYED, b"3")], [(TOPIC, b"x")] * 7])
def test_what_is_no_letter_is_not_taken_for_one(headers: list[tuple[str, bytes]]) -> None:
    assert read_origin(headers) is None


@pytest.mark.parametrize("name", ["dlq.offset", "dlq.failed-at", TIMESTAMP])
@pytest.mark.parametrize("value", [b"", b"soon", b"\xff", None])
def test_headers_that_somebody_wrote_by_hand_do_no_harm(name: str, value: bytes | None) -> None:
    headers = [(key, value if key == name else held) for key, held in LETTER.message(NOON)[2]]

    assert read_origin(headers) is None  # type: ignore[arg-type]


def test_a_replay_that_fails_again_still_says_when_the_record_came_first() -> None:
    once = LETTER._replace(headers=origin(LETTER).headers_again("leap.dead-letters-0/3"), timestamp=2_000)

    headers = origin(once).headers_again("leap.dead-letters-0/9")

    assert headers == [*OWN, (REPLAY_OF, b"leap.dead-letters-0/9"), (FIRST_RECORDED_AT, b"1000")]


def test_a_note_names_the_letter_that_was_sent_again() -> None:
    assert read_note([(REPLAYED, b"17")]) == 17
    assert read_note([(REPLAYED, b"-1")]) is None
    assert read_note([(REPLAYED, b"9" * 5000)]) is None
    assert read_note(OWN) is None
