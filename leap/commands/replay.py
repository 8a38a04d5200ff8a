"""``leap replay``: sends a file's rows to a source topic."""

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter
from rich.progress import Progress

from leap import oulad
from leap.connect import reach_kafka
from leap.errors import CommandError
from leap.options import Where
from leap.sending import send, sending
from leap.terminal import err, lines_in, out, print_json, progress
from schemas.cloudevents import recorded_at
from streams.producer import Message
from streams.settings import Settings

_NOWHERE = Where()
_SKEW = timedelta(minutes=5)
_NOON = time_of_day(12, tzinfo=ZoneInfo("Europe/London"))


def replay(
    file: Path,
    /,
    *,
    source: Annotated[str, Parameter(help="The source system whose topic takes the rows: oulad or events.")],
    start: Annotated[
        date | None, Parameter(help="oulad: the date of the course's first day (day 0 of the file).")
    ] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    """Send a file's rows to `leap.source.<name>`, as its source system would.

    `--source events`: one event of our own form a line (JSON, see schemas/json/source-event.json), sent as it is.
    `--source oulad`: a studentVle.csv of the Open University dataset, with its vle.csv beside it, and `--start`.

    The same file twice changes nothing downstream: what makes a row one event is its id or its number in the file.
    A row dated later than now ends in the dead letters, and so does one of a student who is not on the roster.

    Example: `leap replay studentVle.csv --source oulad --start 2026-10-05`

    Parameters
    ----------
    file
        The file to send.
    """
    settings = where.settings()
    if source not in settings.sources:
        raise CommandError(f"--source {source}: unknown; there are {', '.join(settings.sources)} (LEAP_SOURCES)")
    if not file.is_file():
        raise CommandError(f"{file}: no such file")
    if source == "oulad":
        if start is None:
            raise CommandError("--source oulad needs --start, the date of the course's first day: --start 2026-10-05")
        messages = _oulad(file, start, settings)
    else:
        messages = _lines(file)
    sent = asyncio.run(_replay(file, source, messages, settings))
    if json:
        print_json({"file": str(file), "topic": settings.topics.source(source).name, "sent": sent})
    else:
        out.print(f"sent {sent:,} rows of {file.name} to {settings.topics.source(source).name}")


def _lines(file: Path) -> Iterator[Message]:
    """Yield a message a line, byte for byte."""
    with file.open("rb") as opened:
        for line in opened:
            if stripped := line.strip():
                yield None, stripped, []


def _oulad(file: Path, start: date, settings: Settings) -> Iterator[Message]:
    """Yield a message a row; under a simulated clock it is recorded at its noon."""
    late = 0
    for row in oulad.rows(file, start):
        noon = datetime.combine(row.day, _NOON)
        late += noon > datetime.now(noon.tzinfo) + _SKEW
        header = [recorded_at(noon.timestamp())] if settings.simulated_clock else []
        yield None, row.model_dump_json().encode(), header
    if late and not settings.simulated_clock:
        err.print(f"[yellow]{late:,} rows are dated later than now: intake puts them into the dead letters[/]")


async def _replay(file: Path, source: str, messages: Iterator[Message], settings: Settings) -> int:
    # A source owner sees no other topic.
    await reach_kafka(settings, only=settings.topics.source(source))
    topic = settings.topics.source(source).name
    sent = 0
    async with sending(settings, "replay", lambda: f"{sent:,} rows") as producer:
        with progress(unit="rows") as shown:
            async for number in send(producer, topic, messages, _task(shown, file)):
                sent = number
    return sent


def _task(shown: Progress, file: Path):  # type: ignore[no-untyped-def]
    """Return what to call with the number of rows sent so far."""
    task = shown.add_task(file.name, total=lines_in(file))
    return lambda sent: shown.update(task, completed=sent)
