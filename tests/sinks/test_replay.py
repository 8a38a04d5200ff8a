"""Which dead letters are meant, and which of them can be sent again."""

from typing import Any

import pytest

from schemas.cloudevents import headers
from schemas.dead_letters import WHOLE_BATCH, Origin
from schemas.topics import Topics
from sinks.replay import Letter, Wanted, by_reason, refusal

TOPICS = Topics("leap", ("events",))
LETTER = Letter((0, 1), "events", "leap.source.events-1/17", "intake", "student: unknown", 100.0, 3, None)


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        ({}, True),
        ({"source": "events", "stage": "intake", "reason": "unknown", "since": 100.0, "until": 101.0}, True),
        ({"source": "oulad"}, False),
        ({"stage": "roster"}, False),
        ({"reason": "future"}, False),
        ({"since": 100.1}, False),
        ({"until": 100.0}, False),
    ],
)
def test_all_that_is_given_must_agree(wanted: dict[str, Any], has: bool) -> None:
    assert Wanted(**wanted).has(LETTER) is has


def origin(topic: str, own: list[tuple[str, bytes]]) -> Origin:
    return Origin(topic, 0, 1, None, "intake", "a reason", 0.0, own)


@pytest.mark.parametrize("topic", ["leap.source.events", "leap.students"])
def test_what_others_sent_can_be_sent_again(topic: str) -> None:
    assert refusal(origin(topic, []), TOPICS, 10) is None


def test_what_our_own_roles_wrote_cannot_and_the_record_it_was_made_of_is_named() -> None:
    """Else whoever mends could write the log that decides."""
    of_log = origin("leap.student-log", headers("activity", "/leap/intake", "leap.source.events-0/17"))

    assert "leap.source.events-0/17" in str(refusal(of_log, TOPICS, 10))
    assert "do not say" in str(refusal(origin("leap.student-log", []), TOPICS, 10))
    assert "our own roles" in str(refusal(origin("leap.days", []), TOPICS, 10))
    assert "leap identities load" in str(refusal(origin("leap.identities", []), TOPICS, 10))
    assert "leap timetable load" in str(refusal(origin("leap.timetable", []), TOPICS, 10))
    assert "LEAP_SOURCES" in str(refusal(origin("leap.source.oulad", []), TOPICS, 10))
    assert "our own roles" in str(refusal(origin("somebody.elses", []), TOPICS, 10))


def test_a_whole_batch_cannot() -> None:
    """Its bytes are not a record's value: sent as one, they would only be another bad record."""
    assert "batch" in str(refusal(origin("leap.source.events", [(WHOLE_BATCH, b"too large")]), TOPICS, 10))


def test_one_that_is_too_large_to_be_used_cannot() -> None:
    """Its topic took it to the last byte, and the headers of a replay come on top: all behind it would wait for ever."""
    assert "bytes" in str(refusal(origin("leap.source.events", []), TOPICS, 16 * 1024 * 1024))


def test_counts_by_reason() -> None:
    others = [LETTER._replace(reason="at: in the future")] * 2

    assert by_reason([LETTER, *others]) == [("intake", "at: in the future", 2), ("intake", "student: unknown", 1)]
