"""Windows' Security log: event 4624, a logon, as XML and as the JSON of two collectors."""

from datetime import datetime
from typing import Any

from leap.demo.sources.university import SITE
from leap.demo.sources.vendors.forms import utc

_SID = "S-1-5-21-1913345275-1711810662-261465553-"


def computer(number: int) -> str:
    """Return the name of a PC of the labs."""
    return f"LAB-{number:02}.{SITE}"


def winlogbeat(record: int, pc: int, account: str, at: float, kind: str = "2", event: str = "4624") -> dict[str, Any]:
    """Return a logon as Winlogbeat ships it; ``kind``: the LogonType."""
    return {
        "@timestamp": utc(at, ".079"),
        "event": {"code": event, "provider": "Microsoft-Windows-Security-Auditing"},
        "winlog": {
            "event_id": event,
            "record_id": record,
            "computer_name": computer(pc),
            "event_data": {
                "SubjectUserName": f"LAB-{pc:02}$",
                "TargetUserName": account,
                "TargetUserSid": f"{_SID}{record}",
                "LogonType": kind,
            },
        },
    }


def nxlog(record: int, pc: int, account: str, local: datetime, kind: int = 2) -> dict[str, Any]:
    """Return a logon as NXLog ships it: flat, its time local and without a zone."""
    return {
        "EventTime": f"{local:%Y-%m-%d %H:%M:%S}",
        "Hostname": computer(pc),
        "EventID": 4624,
        "RecordNumber": record,
        "SubjectUserName": f"LAB-{pc:02}$",
        "TargetUserName": account,
        "LogonType": kind,
    }


def xml(record: int, pc: int, account: str, at: float, kind: str = "2") -> bytes:
    """Return a logon as Windows renders it, its time with nine digits of a second."""
    return (
        '<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>'
        f'<EventID>4624</EventID><Version>2</Version><TimeCreated SystemTime="{utc(at, ".079785200")}"/>'
        f"<EventRecordID>{record}</EventRecordID><Computer>{computer(pc)}</Computer></System><EventData>"
        f'<Data Name="SubjectUserName">LAB-{pc:02}$</Data><Data Name="TargetUserName">{account}</Data>'
        f'<Data Name="TargetUserSid">{_SID}{record}</Data><Data Name="LogonType">{kind}</Data></EventData></Event>'
    ).encode()
