"""Who joined a meeting or a webinar: once, known by what Zoom knows of them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streams.sources import NotForUs, Seen, Unusable
from streams.sources.zoom import read
from tests.streams.sources import records

SAMPLES = Path(__file__).parents[2] / "data" / "zoom"
JOINED_AT = datetime(2021, 7, 13, 21, 44, 51, tzinfo=UTC).timestamp()


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_bytes())
    return found


def joined(meeting: dict[str, Any] | None = None, **participant: Any) -> dict[str, Any]:
    """Return a body with some fields changed; None removes one."""
    body = sample("meeting.participant_joined")
    held = body["payload"]["object"]
    for place, changes in ((held, meeting or {}), (held["participant"], participant)):
        for name, value in changes.items():
            if value is None:
                place.pop(name, None)
            else:
                place[name] = value
    return body


def seen(body: dict[str, Any]) -> Seen:
    return records.seen(read(json.dumps(body).encode()))


@pytest.mark.parametrize("kind", ["meeting", "webinar"])
def test_who_joined_was_there_when_they_joined(kind: str) -> None:
    found = read((SAMPLES / f"{kind}.participant_joined.json").read_bytes())

    assert isinstance(found, Seen)
    assert (found.person, found.activity, found.at) == ("jchill@example.com", "zoom", JOINED_AT)
    assert found.venue == "zoom:1234567890"


@pytest.mark.parametrize("name", ["meeting.participant_left", "webinar.participant_left", "endpoint.url_validation"])
def test_what_else_zoom_tells_is_not_for_us(name: str) -> None:
    assert isinstance(read((SAMPLES / f"{name}.json").read_bytes()), NotForUs)


def test_an_event_that_nobody_has_heard_of_is_not_for_us() -> None:
    assert read(b'{"event": "recording.completed"}') == NotForUs("another kind of event")


def test_the_form_of_2019_is_read() -> None:
    """No address, no time of the event, the meeting's id a number, a webinar with the type of a meeting."""
    body = {
        "event": "webinar.participant_joined",
        "payload": {
            "account_id": "a",
            "object": {
                "id": 150000008,
                "uuid": "u/v==",
                "type": 2,
                "participant": {"id": "s0AAAA", "user_id": "167782040", "join_time": "2019-07-16T17:14:39Z"},
            },
        },
    }

    found = seen(body)

    assert found.venue == "zoom:150000008"
    assert found.person == "participant:s0AAAA"
    assert found.at == datetime(2019, 7, 16, 17, 14, 39, tzinfo=UTC).timestamp()


def test_a_meeting_is_the_same_whether_its_id_is_a_number_or_a_text() -> None:
    assert seen(joined({"id": 1234567890})) == seen(joined({"id": "1234567890"}))


@pytest.mark.parametrize(
    ("changes", "person"),
    [
        ({"email": "J.Chill@Example.COM "}, "j.chill@example.com"),
        ({"email": ""}, "registrant:abcdefghij0-klmnopq23456"),
        ({"email": None}, "registrant:abcdefghij0-klmnopq23456"),
        ({"email": 7}, "registrant:abcdefghij0-klmnopq23456"),
        ({"email": None, "registrant_id": ""}, "participant:iFxeBPYun6SAiWUzBcEkX"),
        (
            {"email": "", "registrant_id": None, "participant_user_id": "", "id": ""},
            "participant:55555AAAiAAAAAiAiAiiAii",
        ),
        (
            {"email": "", "registrant_id": None, "participant_user_id": None, "id": None, "user_id": 16778240},
            "participant:16778240",
        ),
    ],
)
def test_a_person_is_known_by_their_address_or_else_by_an_id(changes: dict[str, Any], person: str) -> None:
    """A guest's address is hidden or empty: they are matched by hand or by registration, but not lost."""
    assert seen(joined(**changes)).person == person


def test_nobody_can_be_known_without_address_and_ids() -> None:
    without = dict.fromkeys(("email", "registrant_id", "participant_user_id", "user_id", "id", "participant_uuid"))

    assert isinstance(read(json.dumps(joined(**without)).encode()), Unusable)


def test_the_same_join_is_one_event_whatever_it_is_called_and_whenever_it_is_sent() -> None:
    first, again = joined(), joined()
    again |= {"event": "webinar.participant_joined", "event_ts": 1626237891572}

    assert seen(first).event == seen(again).event


@pytest.mark.parametrize(
    ("meeting", "participant"),
    [
        ({"uuid": "another occurrence of the same meeting=="}, {}),
        ({}, {"participant_uuid": "somebody else"}),
        ({}, {"join_time": "2021-07-13T21:50:00Z"}),
    ],
)
def test_another_join_is_another_event(meeting: dict[str, Any], participant: dict[str, Any]) -> None:
    """A rejoin among them: the timetable makes it the same attendance, by the same venue."""
    other = seen(joined(meeting, **participant))

    assert other.event != seen(joined()).event
    assert other.venue == seen(joined()).venue


def test_two_guests_without_uuid_who_join_at_once_are_two_events() -> None:
    nobody: dict[str, Any] = {
        "participant_uuid": None,
        "participant_user_id": None,
        "id": None,
        "registrant_id": None,
        "email": "",
    }

    assert seen(joined(**nobody, user_id="16778240")).event != seen(joined(**nobody, user_id="16778241")).event


def test_no_name_topic_or_number_goes_further() -> None:
    body = joined({"topic": "Counselling"})

    assert not any(told in repr(seen(body)) for told in ("Jill", "Counselling", "8615250064084", "349589LkJyeW"))


@pytest.mark.parametrize(
    ("meeting", "participant", "place"),
    [
        ({"id": True}, {}, "payload.object.id"),
        ({"id": 1.5}, {}, "payload.object.id"),
        ({"id": ""}, {}, "payload.object.id"),
        ({"uuid": []}, {}, "payload.object.uuid"),
        ({"participant": []}, {}, "participant"),
        ({}, {"join_time": None}, "join_time"),
        ({}, {"join_time": 1626230691572}, "join_time"),
        ({}, {"join_time": "2021-07-13T21:44:51"}, "join_time"),
        ({}, {"join_time": "13/07/2021 21:44"}, "join_time"),
    ],
)
def test_what_cannot_be_used_says_where(meeting: dict[str, Any], participant: dict[str, Any], place: str) -> None:
    found = read(json.dumps(joined(meeting, **participant)).encode())

    assert isinstance(found, Unusable)
    assert place in found.reason


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b'{"event": 5}', b'{"payload": {}}'])
def test_what_is_no_webhook_body_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)
