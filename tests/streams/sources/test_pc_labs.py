"""A person's logon at a PC of the labs counts once, whichever way the event came; what machines do among themselves does not."""

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest

from streams.sources import NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.pc_labs import read as read_event
from streams.sources.registry import sources
from tests.streams.sources.records import seen

NAMESPACE = ' xmlns="http://schemas.microsoft.com/win/2004/08/events/event"'
NINE = datetime(2026, 10, 5, 9, tzinfo=UTC).timestamp()


def read(raw: bytes, *, remote: bool = False) -> Outcome:
    return read_event(raw, ZoneInfo("Europe/London"), remote=remote)


def data(**changes: str | None) -> dict[str, str]:
    """Return the data of a logon; None removes a field."""
    made = {
        "SubjectUserSid": "S-1-5-18",
        "SubjectUserName": "LAB-07$",
        "TargetUserSid": "S-1-5-21-1913345275-1711810662-261465553-500",
        "TargetUserName": "JSmith20",
        "TargetDomainName": "CAMPUS",
        "TargetLogonId": "0x8dcdc",
        "LogonType": "2",
        "WorkstationName": "LAB-07",
        "IpAddress": "192.0.2.10",
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def xml(
    fields: dict[str, str] | None = None, *, namespace: str = NAMESPACE, number: str = "4624", at: str = "2026-10-05T09:00:00.079785200Z",
    record: str = "211", computer: str = "LAB-07.campus.example",
) -> bytes:  # fmt: skip
    held = "".join(
        f'<Data Name="{name}">{escape(value)}</Data>' for name, value in (data() if fields is None else fields).items()
    )
    return f"""<?xml version="1.0"?>
<Event{namespace}><System>
<Provider Name="Microsoft-Windows-Security-Auditing" Guid="{{54849625-5478-4994-A5BA-3E3B0328C30D}}"/>
<EventID>{number}</EventID><Version>2</Version><TimeCreated SystemTime="{at}"/><EventRecordID>{record}</EventRecordID>
<Channel>Security</Channel><Computer>{computer}</Computer><Security/></System>
<EventData>{held}</EventData></Event>""".encode()


def winlogbeat(**changes: Any) -> dict[str, Any]:
    log = {
        "event_id": "4624",
        "event_data": data(),
        "record_id": 211,
        "computer_name": "LAB-07.campus.example",
        "provider_name": "Microsoft-Windows-Security-Auditing",
    }
    return {
        "@timestamp": "2026-10-05T09:00:00.079Z",
        "event": {"code": "4624", "kind": "event"},
        "host": {"name": "lab-07.campus.example"},
        "winlog": log | changes,
        "message": "An account was successfully logged on.",
    }


def before_seven() -> dict[str, Any]:
    return {
        "@timestamp": "2026-10-05T09:00:00.079Z",
        "event_id": 4624,
        "event_data": data(),
        "record_number": "211",
        "computer_name": "LAB-07.campus.example",
        "beat": {"hostname": "collector"},
    }


def nxlog(**changes: Any) -> dict[str, Any]:
    return {
        "EventTime": "2026-10-05 10:00:00",
        "Hostname": "LAB-07.campus.example",
        "EventID": 4624,
        "RecordNumber": 211,
        "EventReceivedTime": "2026-10-05 10:00:07",
        **data(LogonType=None),
        "LogonType": 2,
        **changes,
    }


FORMS = {
    "xml": xml(),
    "xml without namespace": xml(namespace=""),
    "xml with a prefix": xml(namespace="")
    .replace(b"<", b"<e:")
    .replace(b"<e:/", b"</e:")
    .replace(b"<e:?", b"<?")
    .replace(b"<e:Event>", b'<e:Event xmlns:e="urn:x">'),
    "winlogbeat": json.dumps(winlogbeat()).encode(),
    "winlogbeat before 7": json.dumps(before_seven()).encode(),
    "winlogbeat by way of logstash": json.dumps(
        winlogbeat(event_id=None, computer_name=None, record_id="211")
    ).encode(),
    "nxlog": json.dumps(nxlog()).encode(),
    "nxlog with a zone": json.dumps(
        nxlog(EventTime="2026-10-05T11:00:00.079785+02:00", RecordNumber=None, RecordID=211)
    ).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_logon_is_the_same_in_every_form(form: str) -> None:
    found = seen(read(FORMS[form]))

    assert (found.person, found.activity, found.venue) == ("jsmith20", "pc_login", None)
    assert found.at == pytest.approx(NINE, abs=0.1)
    assert found.event == seen(read(FORMS["xml"])).event


def test_nine_digits_of_a_second_are_read() -> None:
    assert seen(read(xml())).at == NINE + 0.079785


def test_who_logged_on_is_the_target_not_the_machine_that_let_them_in() -> None:
    assert seen(read(xml(data(SubjectUserName="lecturer")))).person == "jsmith20"
    assert read(xml(data(TargetUserName=None))) == Unusable("TargetUserName: missing")


@pytest.mark.parametrize("kind", ["2", "11"])
def test_a_logon_at_the_machine_counts(kind: str) -> None:
    assert isinstance(read(xml(data(LogonType=kind))), Seen)


@pytest.mark.parametrize("kind", ["0", "3", "4", "5", "7", "8", "9", "12", "13", "99", "interactive"])
@pytest.mark.parametrize("remote", [False, True])
def test_network_batch_service_and_unlock_are_not_for_us(kind: str, remote: bool) -> None:
    """Unlocking is no new piece of work, and the others are no person at the machine."""
    assert read(xml(data(LogonType=kind)), remote=remote) == NotForUs("not a logon at the machine")


def test_remote_desktop_counts_where_labs_are_remote() -> None:
    remote = xml(data(LogonType="10"))

    assert read(remote) == NotForUs("remote desktop session")
    assert isinstance(read(remote, remote=True), Seen)
    assert isinstance(sources(Options(remote_labs=True))["pc-labs"].read(remote), Seen)
    assert isinstance(sources(Options())["pc-labs"].read(remote), NotForUs)


@pytest.mark.parametrize(
    "name",
    ["LAB-07$", "lab-07$", "ANONYMOUS LOGON", "SYSTEM", "LOCAL SERVICE", "NETWORK SERVICE", "DWM-1", "UMFD-0", "umfd-12", "IUSR",
     "defaultuser0", "WDAGUtilityAccount", "-"],
)  # fmt: skip
def test_machines_and_windows_own_accounts_are_not_for_us(name: str) -> None:
    assert read(xml(data(TargetUserName=name))) == NotForUs("not a person's account")


@pytest.mark.parametrize(
    ("sid", "person"),
    [
        ("S-1-5-18", False),
        ("S-1-5-7", False),
        ("S-1-5-90-0-1", False),
        ("S-1-5-96-0-0", False),
        ("S-1-5-21-1-2-3-1001", True),
        ("S-1-12-1-1-2-3-4", True),
        (r"CAMPUS\jsmith20", True),
        ("", True),
        (None, True),
    ],
)
def test_windows_own_accounts_are_told_by_their_sid_in_every_language(sid: str | None, person: bool) -> None:
    found = read(xml(data(TargetUserName="ANONYMOUS-ANMELDUNG", TargetUserSid=sid)))

    assert isinstance(found, Seen) == person


@pytest.mark.parametrize("name", ["dwm", "umfd", "systems", "anonymous", "s$mith", "dwm-student"])
def test_a_student_may_have_a_name_like_them(name: str) -> None:
    assert seen(read(xml(data(TargetUserName=name)))).person == name


@pytest.mark.parametrize("number", ["4634", "4625", "4648", "46240"])
def test_another_event_is_not_for_us(number: str) -> None:
    """It need not even have the fields of a logon."""
    for raw in (xml({}, number=number), json.dumps({"EventID": int(number)}).encode()):
        assert read(raw) == NotForUs("another event than a logon")


def test_another_record_or_computer_is_another_event() -> None:
    """The same number comes again on another computer."""
    events = {seen(read(raw)).event for raw in (xml(), xml(record="212"), xml(computer="LAB-08.campus.example"))}

    assert len(events) == 3


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (xml(number=""), "event id"),
        (xml(data(LogonType=None)), "LogonType"),
        (xml(data(TargetUserName="")), "TargetUserName"),
        (xml(computer=""), "computer"),
        (xml(record=""), "record id"),
        (xml(at=""), "TimeCreated"),
        (xml(at="2026-10-05T09:00:00"), "TimeCreated"),
        (xml(at="2026-13-05T09:00:00Z"), "TimeCreated"),
        (xml().replace(b"TimeCreated", b"Created"), "TimeCreated"),
        (json.dumps(winlogbeat(event_data=[])).encode(), "LogonType"),
        (json.dumps(winlogbeat(event_id=[]) | {"event": []}).encode(), "event id"),
        (json.dumps(nxlog(EventTime=1790000000)).encode(), "EventTime"),
        (json.dumps(nxlog(EventTime="05/10/2026 10:00")).encode(), "EventTime"),
        (json.dumps(nxlog(TargetUserName=["x"])).encode(), "TargetUserName"),
    ],
)
def test_what_cannot_be_used_says_where(raw: bytes, place: str) -> None:
    found = read(raw)

    assert isinstance(found, Unusable)
    assert place in found.reason


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
BOMBS = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><Event>&l11;</Event>',
    "quadratic": f'<!DOCTYPE x [<!ENTITY a "{"a" * 9_000}">]><Event>{"&a;" * 7_000}</Event>',
    "a file": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Event><System><EventID>&f;</EventID></System></Event>',
    "another address": '<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd"><Event/>',
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document_type_is_refused_before_anything_is_parsed(name: str, coding: str) -> None:
    """In no other way can an entity be declared; another coding is no way round it."""
    raw = f'<?xml version="1.0" encoding="{coding}"?>{BOMBS[name]}'.encode(coding)

    found = read(raw)

    assert found == Unusable("not UTF-8" if coding == "utf-16" else "XML with a document type")


def test_an_encoding_that_the_declaration_makes_up_is_not_believed() -> None:
    """UTF-7 would have hidden a document type from whoever looks for one."""
    hidden = xml().replace(b'<?xml version="1.0"?>', b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE x+AD4-')

    assert read(hidden) == Unusable("neither JSON nor well-formed XML")
    assert isinstance(read(xml().replace(b'version="1.0"', b'version="1.0" encoding="utf-16"')), Seen)


@pytest.mark.parametrize("inner", ["<a>", "<a/>", "<a b='c'/>", "<!-- -->", "&#65;", "<Data>x</Data>"])
@pytest.mark.parametrize("ended", ["</Event>", ""])
def test_xml_takes_little_memory_whatever_it_is(inner: str, ended: str) -> None:
    """Records may have a megabyte: as XML that would be a hundred."""
    largest = ("<Event>" + inner * (65_500 // len(inner)) + ended).encode()
    larger = largest + largest.ljust(1_000_000)
    tracemalloc.start()
    found = [read(largest), read(larger)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert all(isinstance(one, Unusable) for one in found)
    assert found[1] == Unusable("XML of more than 65536 bytes")
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b"{", b"<", b"<Event>", b"<Event/>", b"<Events><Event/></Events>", b"\xff", b"A\tB\n1\t2\n"],
)
def test_what_is_no_event_is_unusable(raw: bytes) -> None:
    assert isinstance(read(raw), Unusable)


def test_no_address_and_no_machine_of_the_network_goes_further() -> None:
    found = repr([read(raw) for raw in FORMS.values()])

    assert not any(told in found for told in ("192.0.2.10", "CAMPUS", "0x8dcdc", "S-1-5"))
