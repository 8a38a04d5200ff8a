"""Records of Zoom, the library, the readers and the PC labs, through their adapters: an outcome, and never what it quotes.

Names, topics, titles and addresses of good records are secret ones: none may be in what an adapter gives.
"""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from streams.sources import Options, Seen, Unusable
from streams.sources.registry import sources
from tests.fuzz.adapters import check
from tests.fuzz.mutation import SECRET, bent, scrambled
from tests.fuzz.sources import value

_Record = dict[str, Any]
_Writer = Callable[[_Record], bytes]


def json_of(record: _Record) -> bytes:
    """Return a record as JSON."""
    return json.dumps(record).encode()


def wrapped(record: _Record) -> bytes:
    """Return a record as a text in the event of an API gateway."""
    return json.dumps({"body": json.dumps(record), "headers": {"Host": SECRET}}).encode()


def tsv(record: _Record) -> bytes:
    """Return a record as a file's header line and row."""
    return "\n".join("\t".join(map(str, fields)) for fields in (record.keys(), record.values())).encode()


def xml(record: _Record) -> bytes:
    """Return an event as Windows renders it."""
    system = "".join(f"<{name}>{escape(str(held))}</{name}>" for name, held in _items(record.get("System")))
    data = "".join(
        f"<Data Name={quoteattr(name)}>{escape(str(held))}</Data>" for name, held in _items(record.get("Data"))
    )
    created = f"<TimeCreated SystemTime={quoteattr(str(record.get('At')))}/>"
    return f"<Event xmlns='urn:x'><System>{system}{created}</System><EventData>{data}</EventData></Event>".encode()


def _items(held: Any) -> list[tuple[str, Any]]:
    return list(held.items()) if isinstance(held, dict) else []


def a_join(rng: random.Random) -> tuple[_Record, _Writer]:
    """Return a good webhook body of Zoom, and how it is written."""
    person = {"user_name": SECRET, "phone_number": SECRET, "user_id": 16778240, "participant_uuid": "u", "email": ""}
    person |= rng.choice(({"email": "a@example.com"}, {"registrant_id": "r"}, {"participant_user_id": "p"}))
    person["join_time"] = "2026-10-05T09:00:00Z"
    meeting = {"id": rng.choice((12345, "12345")), "uuid": "m==", "topic": SECRET, "participant": person}
    event = rng.choice(("meeting.participant_joined", "webinar.participant_joined", "meeting.participant_left"))
    return {"event": event, "payload": {"account_id": "a", "object": meeting}}, json_of


def a_loan(rng: random.Random) -> tuple[_Record, _Writer]:
    """Return a good loan in one of its forms."""
    if rng.random() < 0.5:
        loan = {"user_id": "U1", "loan_id": "7", "loan_date": "2026-10-05T09:00:00Z", "title": SECRET, "author": SECRET}
        event = {"value": rng.choice(("LOAN_CREATED", "LOAN_CREATED", "LOAN_RENEWED"))}
        body = {"event": event, "item_loan": loan, "item": None, "portfolio": None}
        return body, rng.choice((json_of, wrapped))
    kind, at = rng.choice(("BOOK", "EBOOK", "")), rng.choice(("2026-10-05", "2026-10-05T09:00:00", "2026-10-05T09:00Z"))
    if rng.random() < 0.5:
        return {"USERNAME": "U1", "ITEM_ID": "7", "ITEM_NAME": SECRET, "ITEM_SUBTYPE": kind, "TIMESTAMP": at}, tsv
    definition = {"name": {"en": SECRET}, "extensions": {"http://xapi&46;jisc&46;ac&46;uk/subType": kind}}
    return _statement("http://activitystrea.ms/schema/1.0/borrowed", definition), json_of


def a_tap(rng: random.Random) -> tuple[_Record, _Writer]:
    """Return a good swipe or register row."""
    draw, attended = rng.random(), rng.random() < 0.7
    if draw < 0.4:
        return {"card": "0007", "reader": "LTB 06", "at": "2026-10-05T09:00:00.5Z", "id": "1"}, json_of
    if draw < 0.7:
        row = {"STUDENT_ID": "S1", "EVENT_ID": "E1", "EVENT_NAME": SECRET, "STAFF_ID": SECRET}
        return row | {"START_TIME": "2026-10-05T09:00:00", "EVENT_ATTENDED": int(attended)}, tsv
    definition = {"name": {"en": SECRET}, "extensions": {"http://xapi.jisc.ac.uk/event_id": rng.choice(("E1", 7))}}
    made = _statement("http://adlnet.gov/expapi/verbs/attended", definition)
    return made | {"result": {"completion": attended}}, json_of


def a_logon(rng: random.Random) -> tuple[_Record, _Writer]:
    """Return a good logon in one of its forms."""
    name, kind = rng.choice(("JSmith", "JSmith", "LAB-07$")), rng.choice(("2", "2", "11", "10", "3"))
    data = {"SubjectUserName": SECRET, "TargetUserName": name, "LogonType": kind, "IpAddress": SECRET}
    data["TargetUserSid"] = rng.choice(("S-1-5-21-1-2-3-4", "S-1-5-18", "S-1-5-21-1-2-3-4"))
    draw = rng.random()
    if draw < 0.4:
        system = {"EventID": "4624", "Computer": "LAB-07", "EventRecordID": "211"}
        return {"System": system, "Data": data, "At": "2026-10-05T09:00:00.079785200Z"}, xml
    if draw < 0.6:
        return {
            "EventID": 4624,
            "Hostname": "LAB-07",
            "RecordNumber": 7,
            "EventTime": "2026-10-05 09:00:00",
        } | data, json_of
    log = {"event_id": 4624, "computer_name": "LAB-07", "record_id": 7, "event_data": data}
    made = {"@timestamp": "2026-10-05T09:00:00.079Z", "event": {"code": "4624"}, "message": SECRET}
    return made | (log if draw < 0.7 else {"winlog": log}), json_of


def _statement(verb: str, definition: _Record) -> _Record:
    actor = {"name": SECRET, "account": {"name": "S1", "homePage": "http://x"}}
    thing = {"id": "http://x/1", "definition": definition}
    return {"id": "1", "actor": actor, "verb": {"id": verb}, "object": thing, "timestamp": "2026-10-05T09:00:00Z"}


_MAKERS = {"zoom": a_join, "library": a_loan, "tap-ins": a_tap, "pc-labs": a_logon}


def play(name: str, rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    read = sources(Options(remote_labs=rng.random() < 0.5))[name].read
    for _ in range(inputs):
        good, write = _MAKERS[name](rng)
        draw = rng.random()
        if draw < 0.3:
            raw: bytes | None = write(good)
        elif draw < 0.6:
            raw = write(bent(rng, good))
        elif draw < 0.85:
            raw = scrambled(rng, write(good))
        else:
            raw = value(rng, good)
        found = read(raw or b"")
        if draw < 0.3:
            assert SECRET not in repr(found), "what only the source may know leaves the adapter"
            assert not isinstance(found, Unusable), found
        check(found)
        yield isinstance(found, Seen)


PLAYS = {name: partial(play, name) for name in _MAKERS}
