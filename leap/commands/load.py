"""``leap load``: what an installation does under load."""

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from leap.errors import CHECK_FAILED, CONFIG, INTERRUPTED, OK, CommandError
from leap.load.plan import Plan, Scenario
from leap.options import Where
from leap.terminal import out, print_json

if TYPE_CHECKING:
    from leap.load.run import Run

_NOWHERE = Where()
_NEEDED = ("hdrh", "psutil")
_MINUTES = 1.0
_SMALLEST = 10


class _Files(NamedTuple):
    """What a run leaves behind, where it was asked to."""

    series: Path | None
    png: Path | None
    log: Path | None


def load(
    *,
    rate: Annotated[float, Parameter(help="Events a second.")] = 1000.0,
    students: Annotated[int, Parameter(help="How many students there are (`load-0000000` and on).")] = 20_000,
    minutes: Annotated[float, Parameter(help="How long events are sent.")] = _MINUTES,
    scenario: Annotated[Scenario, Parameter(help="What happens in the run, see above.")] = "steady",
    backlog: Annotated[int, Parameter(help="backlog: events that wait when intake and engagement start.")] = 5_000_000,
    weeks: Annotated[int, Parameter(help="weeks: how many (instead of --minutes).")] = 8,
    pace: Annotated[float, Parameter(help="weeks: seconds that a day takes.")] = 30.0,
    even: Annotated[bool, Parameter(help="Send evenly spaced instead of at random times (Poisson).")] = False,
    local: Annotated[
        bool, Parameter(help="Start an installation of its own: Kafka where Java is, Valkey, one process a role.")
    ] = False,
    metrics: Annotated[
        tuple[str, ...], Parameter(help="URLs of the roles' /metrics; without one, where `leap worker all` has them.")
    ] = (),
    series: Annotated[Path | None, Parameter(help="Write every second to this file (.csv, .jsonl).")] = None,
    png: Annotated[Path | None, Parameter(help="Draw the run into this file.")] = None,
    log: Annotated[Path | None, Parameter(help="Add what the roles of --local print to this file.")] = None,
    json: Annotated[bool, Parameter(help="Print the result as one JSON document, as the last line.")] = False,
    where: Where = _NOWHERE,
) -> int:
    """Send events at a fixed rate and measure what becomes of them (exit code 1: some were lost or counted twice).

    Open loop: when each event is sent is fixed before the run and never waits for the system. Latency is that of some
    50 events a second, from when each was to be sent until its student's view in Redis has it.

    Use an installation that nobody else uses: every event counts. It stays as full as the run leaves it.

    Scenarios, all sized by the options (docs/load.md has those of a reliability report):
    `steady`: the rate, all the time. `burst`: 20 times the rate for a twentieth of the time, half-way.
    `backlog`: events wait, then intake and engagement start and catch up, while events go on coming.
    `close`: midnight comes and the day closes under load. `weeks`: days pass at speed, each closes; does memory grow?
    The last three need `--local`.

    Example: `leap load --local --rate 1000 --minutes 2 --png load.png`
    """
    plan = Plan(scenario, rate, students, minutes, backlog, weeks, pace, even)
    files = _Files(series, png, log)
    _check(plan, files, local=local)
    return asyncio.run(_load(plan, where, files, local=local, metrics=metrics, json=json))


def _check(plan: Plan, files: _Files, *, local: bool) -> None:
    """Refuse what cannot be before anything is started.

    Raises:
        CommandError: an option or a missing package, and what to do.
    """
    for name, value in (("rate", plan.rate), ("minutes", plan.minutes), ("weeks", plan.weeks), ("pace", plan.pace)):
        if value <= 0:
            raise CommandError(f"--{name} {value}: must be more than 0")
    if plan.students < _SMALLEST:
        raise CommandError(f"--students {plan.students}: must be {_SMALLEST} or more")
    if plan.backlog < 0:
        raise CommandError(f"--backlog {plan.backlog}: must not be negative")
    if plan.own and not local:
        raise CommandError(f"--scenario {plan.scenario} starts and stops roles itself: add --local")
    if files.log is not None and not local:
        raise CommandError("--log: the roles of an installation that runs elsewhere have a log of their own")
    if files.series is not None and files.series.suffix not in {".csv", ".jsonl"}:
        raise CommandError(f"--series {files.series}: the name must end in .csv or .jsonl")
    for option, path in files._asdict().items():
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"--{option} {path}: there is no folder {path.parent}")
    needed = (*_NEEDED, *(["matplotlib"] if files.png else []))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        msg = (
            f"{', '.join(missing)} not installed: pip install 'leap-engagement-stream[load]', in a checkout make setup"
        )
        raise CommandError(msg, CONFIG)


async def _load(plan: Plan, where: Where, files: _Files, *, local: bool, metrics: tuple[str, ...], json: bool) -> int:
    # Here and not above: only this command needs these packages.
    from leap.load import installation  # noqa: PLC0415
    from leap.load.board import shown  # noqa: PLC0415
    from leap.load.run import perform, prepared  # noqa: PLC0415
    from leap.supervisor import at_signal  # noqa: PLC0415

    target = (
        installation.local(plan.students, simulated=plan.simulated, log=files.log)
        if local
        else installation.given(where.settings(), plan.students, metrics)
    )
    async with target as there, prepared(plan, there) as stage:
        performing = asyncio.create_task(perform(stage))
        at_signal(performing.cancel)
        interrupted = False
        try:
            async with shown(stage.run):
                await performing
        except asyncio.CancelledError:
            interrupted = True
        finally:
            _write(stage.run, files)
        result = stage.run.as_json()
        if json:
            print_json(result)
        else:
            _print(result)
        if interrupted:
            return INTERRUPTED
        return CHECK_FAILED if stage.run.lost else OK


def _write(run: "Run", files: _Files) -> None:
    """Write the files that were asked for, also of a run that was interrupted or failed."""
    if files.series is not None:
        run.series.write(files.series)
    if files.png is not None and run.series.seconds:
        from leap.load.picture import draw  # noqa: PLC0415 - only a picture needs matplotlib

        plan = run.plan
        title = (
            f"leap load: {plan.scenario}, {plan.rate:,.0f} events/s, {plan.students:,} students, "
            f"{run.installation.settings.partitions} partitions, broker: {run.installation.broker_name}"
        )
        draw(run.series, title, files.png)


def _print(result: dict[str, Any]) -> None:
    for name, value in result.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        out.print(f"{name.replace('_', ' ')}: {shown}", soft_wrap=True, markup=False)
