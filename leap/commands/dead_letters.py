"""``leap dead-letters``: records that could not be used, and sending them again."""

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from cyclopts import App, Group, Parameter
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from leap.connect import reach_kafka
from leap.errors import CHECK_FAILED, CONFIG, OK, UNREACHABLE, CommandError
from leap.options import Where
from leap.sending import sending
from leap.terminal import err, out, print_json, progress
from schemas.cloudevents import iso
from schemas.dead_letters import Origin
from sinks import replay as sink
from sinks.replay import Found, Letter, Wanted
from streams.connection import reason as why
from streams.reader import StalledError, connected
from streams.settings import Settings

_NOWHERE = Where()
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHOWN = 50

dead_letters = App(
    name="dead-letters",
    help="""\
List the records that could not be used, look at one, and send them again once the cause is mended.

A source that changed its format, a student who was enrolled late, a record of a system that nobody set up: what could
not be used is kept for 21 days, byte for byte, with the reason.

What is sent again goes the whole way again. It counts on the day on which it happened; what was counted already does
not count twice. More: docs/dead-letters.md.

Only the user `leap-letters` may read dead letters, which may hold personal data (docs/rights.md).

Example: `leap dead-letters list --since 2h --reason "student: unknown"`
""",
)


@Parameter(name="*", group=Group("Which", help="All that is given must agree; without any, all letters."))
@dataclass(frozen=True)
class Which:
    """Which letters a command is about."""

    source: Annotated[
        str | None, Parameter(help="Where the record came from: a source system, `students` or `student-log`.")
    ] = None
    reason: Annotated[str | None, Parameter(help="A part of the reason.")] = None
    stage: Annotated[
        Literal["intake", "roster", "identities", "timetable", "engagement", "readmodel"] | None,
        Parameter(help="What refused it."),
    ] = None
    since: Annotated[
        str | None, Parameter(help="Failed at or after: a date, a time (UTC if no zone), or how long ago: 90m, 2h, 3d.")
    ] = None
    until: Annotated[str | None, Parameter(help="Failed before: as --since.")] = None

    def wanted(self, settings: Settings) -> Wanted:
        """Return it for an installation.

        Raises:
            CommandError: there is no such source, or a time is none.
        """
        topics = settings.topics
        if self.source is not None and self.source not in {sink.name_of(topic.name, topics) for topic in topics}:
            known = [*settings.sources, "students", "student-log"]
            raise CommandError(f"--source {self.source}: unknown; there are {', '.join(known)}")
        now = time.time()
        since = None if self.since is None else instant("--since", self.since, now)
        until = None if self.until is None else instant("--until", self.until, now)
        if since is not None and until is not None and since >= until:
            raise CommandError(
                f"--since {self.since} is not before --until {self.until}: no letter can be between them"
            )
        return Wanted(self.source, self.reason, self.stage, since, until)


_ANY = Which()


def instant(option: str, text: str, now: float) -> float:
    """Read what a user gives as a time; seconds since 1970.

    Raises:
        CommandError: it is none.

    >>> instant("--since", "2h", 10_000.0), instant("--since", "1970-01-01T01:00", 0.0)
    (2800.0, 3600.0)
    """
    if ago := re.fullmatch(r"([0-9]{1,9})([smhd])", text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        msg = f"{option} {text}: give a date (2026-10-05), a time (2026-10-05T14:30) or how long ago (90m, 2h, 3d)"
        raise CommandError(msg) from None


@dead_letters.command(name="list")
def list_letters(
    *,
    which: Which = _ANY,
    limit: Annotated[int, Parameter(help="Show so many, the newest; they are all counted.")] = _SHOWN,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    """List dead letters, and count them by reason.

    The column `record` is where the record stood; `letter` is what `leap dead-letters show` takes.

    Example: `leap dead-letters list --source events --since 1d`
    """
    settings = where.settings()
    _check(limit)
    found = asyncio.run(_find(settings, which.wanted(settings)))
    shown = found.letters[-limit:][::-1]
    if json:
        reasons = [{"stage": stage, "reason": said, "letters": n} for stage, said, n in sink.by_reason(found.letters)]
        letters = [_as_json(letter, settings, found) for letter in shown]
        print_json({"count": len(found.letters), "reasons": reasons, "letters": letters})
    else:
        _print(found, shown, settings)


async def _find(settings: Settings, wanted: Wanted) -> Found:
    async with _reader(settings) as kafka:
        with progress(unit="letters") as shown:
            return await sink.find_letters(kafka, settings, wanted, _told(shown, "read"))


@dead_letters.command
def show(
    letter: str,
    /,
    *,
    bytes_: Annotated[
        bool, Parameter(name="--bytes", help="Also what was sent: key and value. They may hold personal data.")
    ] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    r"""Show one dead letter: why it could not be used, all its headers, and how large it is.

    What was sent is shown with `--bytes` only: it may hold names, e-mail addresses and whatever else a source system
    sent by mistake. On the terminal, what is not printable is written as `\\x..`; with `--json` key and value are in
    base64, exactly as they were sent.

    Example: `leap dead-letters show leap.dead-letters-0/17`

    Parameters
    ----------
    letter
        Where the dead letter stands: topic-partition/offset, as `leap dead-letters list` has it.
    """
    settings = where.settings()
    partition, offset = _place(letter, settings)
    found = asyncio.run(_one(settings, partition, offset))
    if found is None:
        msg = f"{letter}: there is no dead letter (they are kept for 21 days; see leap dead-letters list)"
        raise CommandError(msg, CHECK_FAILED)
    record, origin = found
    about: dict[str, Any] = {
        **_as_json(sink.letter_of(record, origin, settings), settings),
        "first_recorded_at": _time(origin.first_recorded_at()),
        "key_bytes": None if record.key is None else len(record.key),
        "value_bytes": None if record.value is None else len(record.value),
        "headers": [[name, None if value is None else printable(value)] for name, value in record.headers],
    }
    if json:
        sent = {"key_base64": _base64(record.key), "value_base64": _base64(record.value)} if bytes_ else {}
        print_json(about | sent)
        return
    for name, value in about.items():
        if name != "headers":
            out.print(f"{name.replace('_', ' ')}: {'none' if value is None else value}", soft_wrap=True, markup=False)
    for name, value in about["headers"]:
        out.print(
            f"header {printable(name.encode())}: {'none' if value is None else value}", soft_wrap=True, markup=False
        )
    for name, value in (("key", record.key), ("value", record.value)) if bytes_ else ():
        out.print(f"{name}: {'none' if value is None else printable(value)}", soft_wrap=True, markup=False)


async def _one(settings: Settings, partition: int, offset: int) -> tuple[Any, Origin] | None:
    async with _reader(settings) as kafka:
        return await sink.one(kafka, settings, partition, offset)


@dead_letters.command
def replay(
    *,
    which: Which = _ANY,
    limit: Annotated[int | None, Parameter(help="Send so many at most, the oldest first.")] = None,
    again: Annotated[bool, Parameter(help="Also those that were sent again already.")] = False,
    dry_run: Annotated[bool, Parameter(help="Send nothing; say what would be sent.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> int:
    """Send dead letters again, to the topic they came from (exit code 1: some of them cannot be).

    Mend the cause first: enrol the student, set the source up. What still cannot be used becomes a new dead letter.

    It is safe to repeat: letters that were sent again are left out, and what was counted does not count twice.
    `--again` sends them once more; beyond the policy's window (7 days) nothing tells repeats any more, so there it
    counts a late activity twice in the archive.

    Letters of engagement and the read model came from topics that only our own roles write: send again the record that
    they were made of, which each of them names. A roster entry is not sent if the student has a newer one.

    Example: `leap dead-letters replay --reason "student: unknown" --since 1d --dry-run`
    """
    settings = where.settings()
    _check(limit)
    result = asyncio.run(_replay(settings, which.wanted(settings), limit, again=again, dry_run=dry_run))
    refused: dict[str, int] = result["refused"]
    if json:
        print_json(result)
    else:
        out.print(f"{'would send' if dry_run else 'sent'} {result['sent']:,} of {result['found']:,} letters")
        if result["replayed_already"]:
            out.print(f"{result['replayed_already']:,} were replayed already (--again sends them once more)")
        for said, n in refused.items():
            err.print(f"{n:,} cannot be sent again: {printable(said.encode())}", soft_wrap=True, markup=False)
    return CHECK_FAILED if refused else OK


async def _replay(
    settings: Settings, wanted: Wanted, limit: int | None, *, again: bool, dry_run: bool
) -> dict[str, Any]:
    async with _reader(settings) as kafka:
        with progress(unit="letters") as shown:
            found = await sink.find_letters(kafka, settings, wanted, _told(shown, "read"))
            fresh = [letter for letter in found.letters if again or letter.at not in found.replayed]
            old = await sink.superseded(kafka, settings, fresh)
            refused: dict[str, int] = {}
            chosen: list[Letter] = []
            for letter in fresh:
                said = letter.refusal or ("the student has a newer roster entry" if letter.at in old else None)
                if said is None:
                    chosen.append(letter)
                else:
                    refused[said] = refused.get(said, 0) + 1
            chosen = chosen[:limit]
            sent = len(chosen) if dry_run else await _send(kafka, settings, chosen, shown)
    return {
        "found": len(found.letters),
        "sent": sent,
        "dry_run": dry_run,
        "replayed_already": len(found.letters) - len(fresh),
        "refused": refused,
    }


async def _send(kafka: AIOKafkaConsumer, settings: Settings, chosen: list[Letter], shown: Progress) -> int:
    if not chosen:
        return 0
    sent = 0
    async with sending(settings, "dead-letters", lambda: f"{sent:,} letters") as producer:
        async for number in sink.send_again(kafka, producer, settings, chosen, _told(shown, "send again")):
            sent = number
    return sent


@contextlib.asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer; what may happen to it becomes a message for the user."""
    for topic in (settings.topics.dead_letters, settings.topics.students):
        await reach_kafka(settings, only=topic)
    try:
        async with connected(settings, "dead-letters") as kafka:
            yield kafka
    except StalledError as error:
        raise CommandError(f"Kafka at {settings.kafka}: {error}", UNREACHABLE) from error
    except KafkaError as error:
        msg = f"Kafka at {settings.kafka}: {why(error)}; may this user read dead letters (leap acls check)?"
        raise CommandError(msg, CONFIG) from error


def _told(shown: Progress, what: str) -> sink.Told:
    task = shown.add_task(what, total=None)
    return lambda done, there_are: shown.update(task, completed=done, total=there_are)


def _check(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise CommandError(f"--limit {limit}: must be 1 or more")


def _place(text: str, settings: Settings) -> tuple[int, int]:
    topic = settings.topics.dead_letters.name
    place = re.fullmatch(rf"{re.escape(topic)}-([0-9]{{1,9}})/([0-9]{{1,18}})", text)
    if place is None:
        raise CommandError(f"{text}: no place of a dead letter; give topic-partition/offset, as in {topic}-0/17")
    return int(place[1]), int(place[2])


def _as_json(letter: Letter, settings: Settings, found: Found | None = None) -> dict[str, Any]:
    topic, (partition, offset) = settings.topics.dead_letters.name, letter.at
    return {
        "letter": f"{topic}-{partition}/{offset}",
        "failed_at": iso(letter.failed_at),
        "source": letter.source,
        "record": letter.position,
        "stage": letter.stage,
        "reason": letter.reason,
        "bytes": letter.size,
        **({} if found is None else {"replayed": letter.at in found.replayed}),
        "cannot_be_replayed": letter.refusal,
    }


def _print(found: Found, shown: list[Letter], settings: Settings) -> None:
    letters = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("failed at", "letter", "record", "stage"):
        letters.add_column(name, overflow="fold")
    letters.add_column("bytes", justify="right")
    letters.add_column("reason", overflow="fold")
    for letter in shown:
        one = _as_json(letter, settings, found)
        cells = [one["failed_at"][:19], one["letter"], one["record"], one["stage"], f"{letter.size:,}", one["reason"]]
        note = "  (replayed)" if one["replayed"] else ""
        letters.add_row(
            *(Text(printable(cell.encode())) for cell in cells[:-1]), Text(printable(cells[-1].encode()) + note)
        )
    counts = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    counts.add_column("letters", justify="right")
    counts.add_column("stage")
    counts.add_column("reason", overflow="fold")
    for stage, said, n in sink.by_reason(found.letters):
        counts.add_row(f"{n:,}", Text(printable(stage.encode())), Text(printable(said.encode())))
    if not found.letters:
        err.print("no dead letters")
        return
    out.print(letters)
    if len(shown) < len(found.letters):
        err.print(f"the newest {len(shown):,} of {len(found.letters):,}; --limit shows more")
    out.print(counts)


def printable(raw: bytes) -> str:
    r"""Return bytes as text that does nothing to a terminal: what is not printable, as an escape.

    >>> printable(b"caf\xc3\xa9 \x1b[2J \xff")
    'café \\x1b[2J \\xff'
    """
    text = raw.decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _time(when: int | None) -> str | None:
    try:
        return None if when is None else iso(when / 1000.0)
    except (ValueError, OverflowError):
        return None
