"""``leap timetable``: the teaching events that taps and webinars are attendance of."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from leap.connect import reach_kafka
from leap.csv_file import Bad, Report, rows
from leap.options import Where
from leap.sending import deliver, sending
from leap.terminal import progress
from schemas.reasons import why
from schemas.timetable import TimetabledEvent
from streams.producer import Message
from streams.settings import Settings

_NOWHERE = Where()
_BATCH = 2_000
_COLUMNS = ("event", "start", "end", "venues", "mandatory")
_YES_OR_NO = {"yes": True, "no": False, "": True}

Action = Literal["load", "cancel"]


def timetable(action: Action, file: Path, *, json: bool = False, where: Where = _NOWHERE) -> int:
    """Load teaching events from a file, or cancel them (exit code 1: some lines were not taken).

    FILE is CSV (UTF-8): `event,start,end,venues,mandatory`, first that line, then one an event. Times need a zone
    (`2026-10-05T09:00+01:00`). Venues are the readers of its rooms and its meetings, `reader:LTB 06;zoom:98765432101`.
    Mandatory: yes (also if empty) or no. An event that is loaded again is as the newer line says; the same file twice
    changes nothing.

    A tap at a reader or a join of a meeting, from a quarter of an hour before the start until the end, is attendance of
    the event, once. A meeting that is in no event is not for us; a tap outside of all counts once an hour.

    Example: `leap timetable load autumn.csv --kafka kafka:9092`

    Parameters
    ----------
    action
        load or cancel.
    file
        The file.
    json
        Print one JSON document: counts, and each line that was not taken by its number, with the reason.
    """
    return asyncio.run(_run(action, file, where.settings())).show(json=json)


async def _run(action: Action, file: Path, settings: Settings) -> Report:
    lines = _lines(file)
    batch = list(islice(lines, _BATCH))  # what is no such file is said before anybody asks for Kafka
    # The timetabling system sees no other topic.
    await reach_kafka(settings, only=settings.topics.timetable)
    report = Report(file, Counter(written=0))
    async with sending(settings, "timetable", lambda: f"{report.lines:,} lines") as producer:
        with progress(unit="events") as shown:
            task = shown.add_task(file.name, total=None)
            while batch:
                report.bad += [line for line in batch if isinstance(line, Bad)]
                messages = [_message(action, line) for line in batch if isinstance(line, TimetabledEvent)]
                await deliver(producer, settings.topics.timetable.name, messages)
                report.lines += len(batch)
                report.done["written"] += len(messages)
                shown.update(task, completed=report.lines)
                batch = list(islice(lines, _BATCH))
    return report


def _message(action: Action, event: TimetabledEvent) -> Message:
    return event.event.encode(), event.model_dump_json().encode() if action == "load" else None, []


def _lines(file: Path) -> Iterator[TimetabledEvent | Bad]:
    """Yield the lines of a file.

    Raises:
        CommandError: it is no such file; the message has the place.
    """
    for row in rows(file, _COLUMNS):
        yield row if isinstance(row, Bad) else _event(row.number, row.fields)


def _event(number: int, fields: list[str]) -> TimetabledEvent | Bad:
    event, start, end, venues, mandatory = fields
    if mandatory.lower() not in _YES_OR_NO:
        return Bad(number, "mandatory: neither yes nor no")
    try:
        return TimetabledEvent.model_validate(
            {
                "event": event,
                "start": start,
                "end": end,
                "venues": [venue.strip() for venue in venues.split(";") if venue.strip()],
                "mandatory": _YES_OR_NO[mandatory.lower()],
            }
        )
    except ValidationError as error:
        return Bad(number, why(error))
