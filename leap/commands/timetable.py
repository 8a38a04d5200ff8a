"""``leap timetable``: the teaching events that taps and webinars are attendance of."""

import asyncio
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from leap.connect import reach_kafka
from leap.errors import CHECK_FAILED, OK, UNREACHABLE, CommandError
from leap.options import Where
from leap.terminal import err, out, print_json, progress
from schemas.reasons import why
from schemas.timetable import TimetabledEvent
from streams.intake import partition_of
from streams.producer import DeliveryError, Message, Producer, delivered
from streams.settings import Settings

_NOWHERE = Where()
_BATCH = 2_000
_SHOWN = 20
_COLUMNS = ("event", "start", "end", "venues", "mandatory")
_YES_OR_NO = {"yes": True, "no": False, "": True}

Action = Literal["load", "cancel"]


class Bad(NamedTuple):
    """A line that cannot be used, by its number in the file; the reason quotes nothing of it."""

    number: int
    reason: str


@dataclass
class Report:
    """What became of a file's lines."""

    file: str
    lines: int = 0
    written: int = 0
    bad: list[Bad] = field(default_factory=list)


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
    report = asyncio.run(_run(action, file, where.settings()))
    if json:
        print_json({**asdict(report), "bad": [line._asdict() for line in report.bad]})
        return CHECK_FAILED if report.bad else OK
    out.print(f"{report.lines:,} lines: {report.written:,} written, {len(report.bad):,} not taken")
    for line in report.bad[:_SHOWN]:
        err.print(f"[red]line {line.number}:[/] {line.reason}", soft_wrap=True)
    if len(report.bad) > _SHOWN:
        err.print(f"and {len(report.bad) - _SHOWN:,} more: --json names them all")
    return CHECK_FAILED if report.bad else OK


async def _run(action: Action, file: Path, settings: Settings) -> Report:
    lines = _lines(file)
    first = next(lines, None)
    # The timetabling system sees no other topic.
    await reach_kafka(settings, only=settings.topics.timetable)
    producer, report = Producer(settings, "timetable"), Report(str(file))
    await producer.start()
    try:
        with progress(unit="events") as shown:
            task = shown.add_task(file.name, total=None)
            batch = ([] if first is None else [first]) + list(islice(lines, _BATCH - 1))
            while batch:
                report.bad += [line for line in batch if isinstance(line, Bad)]
                events = [line for line in batch if isinstance(line, TimetabledEvent)]
                await _deliver(producer, settings.topics.timetable.name, action, events)
                report.lines += len(batch)
                report.written += len(events)
                shown.update(task, completed=report.lines)
                batch = list(islice(lines, _BATCH))
    except DeliveryError as error:
        msg = f"Kafka at {settings.kafka} did not take a batch after {report.lines:,} lines ({error}). Run it again."
        raise CommandError(msg, UNREACHABLE) from error
    finally:
        await producer.stop()
    return report


async def _deliver(producer: Producer, topic: str, action: Action, events: list[TimetabledEvent]) -> None:
    partitions = await producer.partitions(topic)
    out: defaultdict[int, list[Message]] = defaultdict(list)
    for event in events:
        key = event.event.encode()
        value = event.model_dump_json().encode() if action == "load" else None
        out[partition_of(key, partitions)].append((key, value, []))
    await delivered([sent for n, some in out.items() for sent in await producer.send(topic, n, some)])


def _lines(file: Path) -> Iterator[TimetabledEvent | Bad]:
    """Yield the lines of a file.

    Raises:
        CommandError: it is no such file; the message has the place.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened, strict=True)
            if tuple(rows.fieldnames or ()) != _COLUMNS:
                raise CommandError(f"{file}: the first line must be: {','.join(_COLUMNS)}")
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Bad(rows.line_num, f"not CSV: {error}")
                    continue
                yield _event(rows.line_num, row)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8") from error


def _event(number: int, row: Mapping[Any, Any]) -> TimetabledEvent | Bad:
    if None in row or None in row.values():
        return Bad(number, f"not {len(_COLUMNS)} columns")
    mandatory = _YES_OR_NO.get(row["mandatory"].strip().lower())
    if mandatory is None:
        return Bad(number, "mandatory: neither yes nor no")
    venues = [venue.strip() for venue in row["venues"].split(";") if venue.strip()]
    try:
        return TimetabledEvent.model_validate(
            {"event": row["event"], "start": row["start"], "end": row["end"], "venues": venues, "mandatory": mandatory}
        )
    except ValidationError as error:
        return Bad(number, why(error))
