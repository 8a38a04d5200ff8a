"""``leap identities``: which student a source's own key belongs to."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rich.progress import Progress

from leap.claims import Claims
from leap.connect import reach_kafka
from leap.errors import CHECK_FAILED, CONFIG, OK, UNREACHABLE, CommandError
from leap.identity_file import Bad, Line, read
from leap.options import Where
from leap.terminal import err, lines_in, out, print_json, progress
from schemas import identities as schema
from schemas.identities import IdentityError
from streams.admin import Offsets
from streams.identities import hold
from streams.intake import partition_of
from streams.producer import DeliveryError, Message, Producer, delivered
from streams.reader import consumer, read_to_end
from streams.settings import Settings
from streams.sources import Options
from streams.sources.registry import sources

_NOWHERE = Where()
_BATCH = 2_000
_SHOWN = 20

Action = Literal["load", "withdraw"]


@dataclass
class Report:
    """What became of a file's lines."""

    file: str
    lines: int = 0
    written: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    bad: list[Bad] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**asdict(self), "bad": [line._asdict() for line in self.bad]}


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
    report = asyncio.run(_run(action, file, settings))
    if json:
        print_json(report.as_json())
    else:
        _print(report)
    return CHECK_FAILED if report.bad else OK


def _print(report: Report) -> None:
    out.print(
        f"{report.lines:,} lines: {report.written:,} written, {report.withdrawn:,} withdrawn, "
        f"{report.unchanged:,} stood already, {len(report.bad):,} not taken"
    )
    for line in report.bad[:_SHOWN]:
        err.print(f"[red]line {line.number}:[/] {line.reason}", soft_wrap=True)
    if len(report.bad) > _SHOWN:
        err.print(f"and {len(report.bad) - _SHOWN:,} more: --json names them all")


async def _run(action: Action, file: Path, settings: Settings) -> Report:
    # Whoever loads identities sees no other topic.
    await reach_kafka(settings, only=settings.topics.identities)
    claims = Claims(settings, time.time())
    producer = Producer(settings, "identities")
    report = Report(str(file))
    await producer.start()
    try:
        with progress(unit="lines") as shown:
            await _read_standing(settings, claims, shown)
            await _send(action, file, settings, claims, producer, report, shown)
    except DeliveryError as error:
        msg = f"Kafka at {settings.kafka} did not take a batch after {report.lines:,} lines ({error}). Run it again."
        raise CommandError(msg, UNREACHABLE) from error
    finally:
        await producer.stop()
    return report


async def _read_standing(settings: Settings, claims: Claims, shown: Progress) -> None:
    """Read the claims that stand. What is no claim intake has told already."""
    kafka, offsets = consumer(settings, "identities-standing"), Offsets(settings, "identities-standing")
    await kafka.start()
    await offsets.start()
    try:
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
    finally:
        await kafka.stop()
        await offsets.stop()


async def _send(
    action: Action,
    file: Path,
    settings: Settings,
    claims: Claims,
    producer: Producer,
    report: Report,
    shown: Progress,
) -> None:
    topic = settings.topics.identities.name
    partitions = await producer.partitions(topic)
    change_of = claims.load if action == "load" else claims.withdraw
    task = shown.add_task(file.name, total=max(0, lines_in(file) - 1))
    known = sources(Options())
    lines = read(file, {name for name in settings.sources if name in known and not known[name].knows_students})
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
            report.unchanged += not change.write and not change.withdraw
        # A claim that moves to another hash is never nowhere.
        for messages in (write, withdraw):
            await _deliver(producer, topic, partitions, messages)
        report.written += len(write)
        report.withdrawn += len(withdraw)
        report.lines += len(batch)
        shown.update(task, completed=report.lines)


async def _deliver(producer: Producer, topic: str, partitions: int, messages: Sequence[Message]) -> None:
    by_partition: defaultdict[int, list[Message]] = defaultdict(list)
    for message in messages:
        by_partition[partition_of(message[0] or b"", partitions)].append(message)
    await delivered(
        [sent for number, some in by_partition.items() for sent in await producer.send(topic, number, some)]
    )
