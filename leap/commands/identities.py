"""``leap identities``: which student a source's own key belongs to."""

import asyncio
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Literal

from rich.progress import Progress

from leap.claims import Claims
from leap.connect import offsets as started_offsets
from leap.connect import reach_kafka
from leap.csv_file import Bad, Report
from leap.errors import CONFIG, CommandError
from leap.identity_file import Line, read
from leap.options import Where
from leap.sending import deliver, sending
from leap.terminal import lines_in, progress
from schemas import identities as schema
from schemas.identities import IdentityError
from streams.identities import hold
from streams.producer import Message, Producer
from streams.reader import connected, read_to_end
from streams.settings import Settings
from streams.sources.registry import keyed

_NOWHERE = Where()
_BATCH = 2_000

Action = Literal["load", "withdraw"]


def identities(action: Action, file: Path, *, json: bool = False, where: Where = _NOWHERE) -> int:
    """Load identities from a directory's file, or withdraw them (exit code 1: some lines were not taken).

    FILE is CSV (UTF-8): `source,key,student,from,to`, first that line, then one a key: which student has it at that
    source, from one day to another (both included; empty: since ever, for ever). The key itself goes nowhere: only its
    hash under `LEAP_IDENTITY_KEY` does.

    `load` writes what is not there yet, so the same file twice changes nothing; what the file does not name stays as it
    is. `withdraw` takes away what the file names. Whoever has a key keeps it until their line ends: a line by which
    another student would have it on the same days is not taken. All about it: docs/identities.md.

    Example: `leap identities load cards.csv --kafka kafka:9092`

    Parameters
    ----------
    action
        load or withdraw.
    file
        The file.
    json
        Print one JSON document: counts, and each line that was not taken by its number, with the reason.
    """
    settings = where.settings()
    if settings.identity_key is None:
        raise CommandError("LEAP_IDENTITY_KEY is not set: keys are only ever sent as hashes under it", CONFIG)
    if not file.is_file():
        raise CommandError(f"{file}: no such file")
    return asyncio.run(run(action, file, settings)).show(json=json)


async def run(action: Action, file: Path, settings: Settings) -> Report:
    """Write to or withdraw from ``leap.identities`` what a directory's file says; returns what became of its lines.

    Raises:
        CommandError: it is no such file, Kafka does not answer, or did not take a batch.
    """
    # Whoever loads identities sees no other topic.
    await reach_kafka(settings, only=settings.topics.identities)
    claims = Claims(settings, time.time())
    report = Report(file, Counter(written=0, withdrawn=0, unchanged=0))
    async with sending(settings, "identities", lambda: f"{report.lines:,} lines") as producer:
        with progress(unit="lines") as shown:
            await _read_standing(settings, claims, shown)
            await _send(action, settings, claims, producer, report, shown)
    return report


async def _read_standing(settings: Settings, claims: Claims, shown: Progress) -> None:
    """Read the claims that stand. What is no claim intake has told already."""
    async with connected(settings, "identities-standing") as kafka, started_offsets(settings) as offsets:
        partitions = await offsets.partitions([settings.topics.identities.name])
        starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
        task = shown.add_task("what stands", total=sum(ends[tp] - starts[tp] for tp in partitions))
        async for _, records in read_to_end(kafka, partitions):
            for record in records:
                try:
                    hold(claims.table, *schema.read(record.key, record.value))
                except IdentityError:
                    continue
            shown.advance(task, len(records))


async def _send(
    action: Action, settings: Settings, claims: Claims, producer: Producer, report: Report, shown: Progress
) -> None:
    change_of = claims.load if action == "load" else claims.withdraw
    task = shown.add_task(report.file.name, total=max(0, lines_in(report.file) - 1))
    lines = read(report.file, keyed(settings.sources))
    while batch := list(islice(lines, _BATCH)):
        write: list[Message] = []
        withdraw: list[Message] = []
        for line in batch:
            change = change_of(line) if isinstance(line, Line) else line.reason
            if isinstance(change, str):
                report.bad.append(Bad(line.number, change))
                continue
            write += change.write
            withdraw += change.withdraw
            report.done["unchanged"] += not change.write and not change.withdraw
        # A claim that moves to another hash is never nowhere.
        for messages in (write, withdraw):
            await deliver(producer, settings.topics.identities.name, messages)
        report.done["written"] += len(write)
        report.done["withdrawn"] += len(withdraw)
        report.lines += len(batch)
        shown.update(task, completed=report.lines)
