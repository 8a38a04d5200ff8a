"""Logons at PCs of the labs: event 4624 of Windows' Security log.

As XML, as Windows renders it, and as the JSON that collectors make of it: Winlogbeat's of today (under ``winlog``) and
of before version 7 (the same names at the top), and NXLog's flat one. Who logged on is TargetUserName; SubjectUserName
is the machine that let them in.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from streams.sources import NotForUs, Outcome, Seen, Unusable
from streams.sources.reading import identifier, instant, json_object, looks_like_json, moment
from streams.sources.xapi import within

_AT_THE_MACHINE = frozenset({"2", "11"})
"""Types of a logon in person: interactive, also with cached credentials. Others: network, batch, service, unlock."""

_REMOTE = "10"

_NO_PERSON = re.compile(
    r".*\$|-|anonymous logon|system|local service|network service|iusr|(dwm|umfd)-\d+|defaultuser\d+|wdagutilityaccount"
)
"""Names, in small letters, of machines and of what Windows runs itself by."""

_PEOPLES_SIDS = ("S-1-5-21-", "S-1-12-1-")
"""Accounts of a domain or a machine, and those of Entra ID; Windows' own have other ones in every language."""

_LARGEST_XML = 64 * 1024
"""Bytes; a logon has a tenth of it. XML is a hundred times its size in memory."""


class _Event(NamedTuple):
    """An event as it stood in the record, whatever its form."""

    number: str | None
    data: Mapping[str, Any]
    at: float | Unusable
    computer: str | None
    record: str | None


def read(raw: bytes, zone: ZoneInfo, *, remote: bool) -> Outcome:
    """Read one event; ``zone``: of times without one; ``remote``: whether remote desktop sessions count."""
    if looks_like_json(raw):
        body = json_object(raw)
        event = body if isinstance(body, Unusable) else _from_json(body, zone)
    else:
        event = _from_xml(raw)
    return event if isinstance(event, Unusable) else _outcome(event, remote=remote)


def _outcome(event: _Event, *, remote: bool) -> Outcome:
    if event.number is None:
        return Unusable("event id: missing")
    if event.number != "4624":
        return NotForUs("another event than a logon")
    kind = identifier(event.data.get("LogonType"))
    if kind is None:
        return Unusable("LogonType: missing")
    if kind not in _AT_THE_MACHINE and not (remote and kind == _REMOTE):
        return NotForUs("remote desktop session" if kind == _REMOTE else "not a logon at the machine")
    return _logon(event)


def _logon(event: _Event) -> Outcome:
    name = identifier(event.data.get("TargetUserName"))
    if name is None:
        return Unusable("TargetUserName: missing")
    if _NO_PERSON.fullmatch(name.lower()) or not _is_peoples(event.data.get("TargetUserSid")):
        return NotForUs("not a person's account")
    if event.computer is None:
        return Unusable("computer: missing")
    if event.record is None:
        return Unusable("record id: missing")
    if isinstance(event.at, Unusable):
        return event.at
    return Seen(name.lower(), "pc_login", event.at, f"{event.computer.lower()}\0{event.record}")


def _is_peoples(sid: Any) -> bool:
    """Whether it may be a person's: collectors leave the SID out, or put a name in its place."""
    return not (isinstance(sid, str) and sid.startswith("S-1-")) or sid.startswith(_PEOPLES_SIDS)


def _from_xml(raw: bytes) -> _Event | Unusable:
    if len(raw) > _LARGEST_XML:
        return Unusable(f"XML of more than {_LARGEST_XML} bytes")
    try:
        # Decoded here: what the declaration says of the encoding would else be believed.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Unusable("not UTF-8")
    # Entities can be declared nowhere else, and without entities nothing gets larger than it is.
    if "<!DOCTYPE" in text:
        return Unusable("XML with a document type")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - see what is refused above
    except ElementTree.ParseError:
        return Unusable("neither JSON nor well-formed XML")
    if root.tag.rpartition("}")[2] != "Event":
        return Unusable("XML of something else than an event")
    created = root.find("{*}System/{*}TimeCreated")
    return _Event(
        identifier(root.findtext("{*}System/{*}EventID")),
        {data.get("Name", ""): data.text for data in root.iterfind("{*}EventData/{*}Data")},
        instant(None if created is None else created.get("SystemTime"), "TimeCreated"),
        identifier(root.findtext("{*}System/{*}Computer")),
        identifier(root.findtext("{*}System/{*}EventRecordID")),
    )


def _from_json(body: dict[str, Any], zone: ZoneInfo) -> _Event:
    if "EventID" in body:
        return _Event(
            identifier(body["EventID"]),
            body,
            moment(body.get("EventTime"), zone, "EventTime"),
            identifier(body.get("Hostname")),
            identifier(body.get("RecordNumber")) or identifier(body.get("RecordID")),
        )
    held = body.get("winlog")
    log = held if isinstance(held, dict) else body
    data = log.get("event_data")
    return _Event(
        identifier(log.get("event_id")) or identifier(within(body, "event", "code")),
        data if isinstance(data, dict) else {},
        instant(body.get("@timestamp"), "@timestamp"),
        identifier(log.get("computer_name")) or identifier(within(body, "host", "name")),
        identifier(log.get("record_id")) or identifier(log.get("record_number")),
    )
