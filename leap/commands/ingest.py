"""``leap ingest``: a source system's export file, row by row."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from leap.connect import reach_kafka
from leap.errors import CHECK_FAILED, CONFIG, OK, CommandError
from leap.options import Where
from leap.sending import send, sending
from leap.terminal import err, out, print_json, progress
from schemas.policy import PolicyError
from schemas.rows import ordinal
from streams.intake import LARGEST
from streams.producer import Message
from streams.rows import FileError, Form, Ordinals, Row, rows
from streams.settings import Settings
from streams.sources import Adapter, NotForUs, Outcome, Seen, Source, Unusable, warnings
from streams.sources.registry import installed

_NOWHERE = Where()
_FORMS: dict[str, Form] = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
    ".json": "json",
}
_CHUNK = 256 * 1024
_LINES = 20
"""Lines that are named a reason; all are counted."""


def ingest(
    file: Path,
    /,
    *,
    source: Annotated[str, Parameter(help="The source system whose export it is.")],
    form: Annotated[Form | None, Parameter(help="What the file is, if its name does not say it.")] = None,
    dry_run: Annotated[bool, Parameter(help="Send nothing; say what the source's adapter makes of each row.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> int:
    """Send a source system's export file to `leap.source.<name>`, row by row (exit code 1: some rows are unusable).

    `.tsv` and `.csv`: a header line, then a row a record, byte for byte; quoted fields may hold line breaks. `.jsonl`
    and `.ndjson`: an object a line. `.json`: a list of objects, or one object after the other. UTF-8, of any size.

    It says what the source's adapter makes of the rows: those that count, those that are not for us, and the lines of
    those that are unusable, each with the reason. Unusable rows are sent, too: they end in the dead letters, where
    they are kept. Whether a student is known, and whether a time lies in the future, is for intake to judge. If dates
    cannot be, unless day and month are exchanged, it warns: those of the other rows are likely to be wrong, too.

    The same file twice changes nothing, and neither does a longer one that begins with it. Equal rows of one table
    count each; equal JSON objects are one event, told by its own id.

    Example: `leap ingest attendance.tsv --source tap-ins --dry-run`

    Parameters
    ----------
    file
        The file to send.
    """
    settings = where.settings()
    known = _sources(settings)
    if source not in settings.sources or source not in known:
        raise CommandError(f"--source {source}: unknown; there are {', '.join(settings.sources)} (LEAP_SOURCES)")
    if not file.is_file():
        raise CommandError(f"{file}: no such file")
    kind = form or _FORMS.get(file.suffix.lower())
    if kind is None:
        raise CommandError(f"{file}: its name does not say what it is: give --form {'|'.join(_FORMS.values())}")
    report = Report(known[source].read)
    with progress(unit="bytes") as shown:
        task = shown.add_task(file.name, total=file.stat().st_size)
        read = messages(file, kind, report, lambda done: shown.update(task, completed=done))
        try:
            sent = 0 if dry_run else asyncio.run(send_all(read, settings, source))
            for _ in read:  # a dry run only reads them
                pass
        except FileError as error:
            so_far = "" if dry_run else "; rows before it may be sent, and to send them again changes nothing"
            raise CommandError(f"{file}: {error}{so_far}", CHECK_FAILED) from error
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}") from error
    if json:
        print_json({"file": str(file), "topic": settings.topics.source(source).name, "sent": sent, **report.as_json()})
    else:
        topic = settings.topics.source(source).name
        out.print("nothing sent (--dry-run)" if dry_run else f"sent {sent:,} rows of {file.name} to {topic}")
        _print(report)
    return CHECK_FAILED if report.unusable else OK


def _sources(settings: Settings) -> dict[str, Source]:
    try:
        return installed(settings)
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error


class Report:
    """What an adapter says to the rows of a file, by reason."""

    def __init__(self, read: Adapter) -> None:
        """Take the adapter."""
        self._read = read
        self.rows = 0
        self.exchanged = 0
        self.counted: Counter[str] = Counter()
        self.not_for_us: Counter[str] = Counter()
        self.unusable: Counter[str] = Counter()
        self.lines: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, row: Row) -> None:
        """Ask the adapter about a row."""
        self.rows += 1
        seen = self._outcome(row.value)
        if isinstance(seen, Seen):
            self.counted[seen.activity] += 1
        elif isinstance(seen, NotForUs):
            self.not_for_us[seen.reason] += 1
        else:
            self.unusable[seen.reason] += 1
            self.exchanged += seen.exchanged
            if len(self.lines[seen.reason]) < _LINES:
                self.lines[seen.reason].append(row.line)

    def _outcome(self, value: bytes) -> Outcome:
        if len(value) > LARGEST:
            return Unusable(f"value of more than {LARGEST} bytes")
        try:
            return self._read(value)
        except Exception as error:
            return Unusable(f"adapter failed: {type(error).__name__}")

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        unusable = {reason: {"rows": n, "lines": self.lines[reason]} for reason, n in self.unusable.most_common()}
        return {
            "rows": self.rows,
            "counted": dict(self.counted.most_common()),
            "not_for_us": dict(self.not_for_us.most_common()),
            "unusable": unusable,
            "warnings": warnings(self.exchanged),
        }


async def send_all(messages: Iterator[Message], settings: Settings, source: str) -> int:
    """Send a file's messages to a source's topic; returns how many they were.

    Raises:
        CommandError: Kafka does not answer, or did not take a batch.
    """
    topic = settings.topics.source(source)
    await reach_kafka(settings, only=topic)  # a source owner sees no other topic
    sent = 0
    async with sending(settings, "ingest", lambda: f"{sent:,} rows") as producer:
        async for number in send(producer, topic.name, messages, lambda _: None):
            sent = number
    return sent


def messages(file: Path, form: Form, report: Report, tell: Callable[[int], object]) -> Iterator[Message]:
    """Yield a message a row, and note what its adapter says to it."""
    # An object has an id of its own, or its adapter makes one: sent twice, it is still one event.
    table = form in {"tsv", "csv"}
    with contextlib.closing(Ordinals()) as ordinals:
        for row in _rows(file, form, tell):
            report.add(row)
            yield None, row.value, [ordinal(ordinals.of(row.value))] if table else []


def _rows(file: Path, form: Form, tell: Callable[[int], object]) -> Iterator[Row]:
    cutter = rows(form)
    done = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield from cutter.feed(chunk)
            done += len(chunk)
            tell(done)
    yield from cutter.end()


def _print(report: Report) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("rows", justify="right")
    for name in ("outcome", "what or why", "lines"):
        table.add_column(name, overflow="fold")
    for activity, n in report.counted.most_common():
        table.add_row(f"{n:,}", "counted", activity)
    for reason, n in report.not_for_us.most_common():
        table.add_row(f"{n:,}", "not for us", reason)
    for reason, n in report.unusable.most_common():
        lines = report.lines[reason]
        more = " ..." if n > len(lines) else ""
        table.add_row(f"{n:,}", "[red]unusable[/]", reason.replace("[", r"\["), ", ".join(map(str, lines)) + more)
    if report.rows:
        out.print(table)
    else:
        err.print("there are no rows in it")
    for warning in warnings(report.exchanged):
        err.print(f"[yellow]{warning}[/]", soft_wrap=True)
