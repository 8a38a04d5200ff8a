"""``leap chaos``: faults at random, and an independent check of what is left."""

import asyncio
import contextlib
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from deploy.servers import kafka_available
from leap.commands.schemas import ROOT
from leap.errors import CHECK_FAILED, OK, UNREACHABLE, CommandError
from leap.terminal import err, out, print_json


def chaos(
    *,
    faults: Annotated[int, Parameter(help="How many faults strike in all.")] = 40,
    seed: Annotated[int | None, Parameter(help="Repeats the sequence of faults that was drawn by this number.")] = None,
    only: Annotated[tuple[str, ...], Parameter(help="Draw only this fault (may be given more than once).")] = (),
    beside: Annotated[
        str | None, Parameter(help="A commit or tag: workers of that version join those of this one for a while.")
    ] = None,
    jobs: Annotated[int, Parameter(help="How many runs go on at a time, each with servers of its own.")] = 1,
    list: Annotated[bool, Parameter(help="List the faults and end.")] = False,  # noqa: A002 - the option's name
    json: Annotated[bool, Parameter(help="Print the outcome as one JSON document.")] = False,
) -> int:
    """Let faults strike a running installation at random, then check that nothing is lost, doubled or undone.

    Starts Apache Kafka and Redis or Valkey of its own, keeps a crew of workers and a gateway running, and sends events
    whose totals stand in the students' ids, with repeats, late and bad ones, and day closes. They come to a topic,
    through the gateway (CloudEvents, xAPI) and in a file that grows and is loaded again every day; Moodle and the file
    know students by keys of their own, of which two thirds become known in the middle of the run, so that records wait.

    Workers, gateway, broker and Redis are killed, stopped, emptied and put back meanwhile, and so is whoever loads the
    file. What the gateway does not answer with success is sent again, the same bytes, as vendors do. After each run of
    some faults a program of its own reads every topic and Redis and holds them against plain calculations. Exit code 1:
    something is wrong; the seed repeats it, and the logs of that run are kept.

    Needs a checkout, Java and Maven. A fault takes about four seconds.

    Example: `leap chaos --faults 100 --seed 7`
    """
    suite = _module()
    if list:
        for fault in suite.kinds.FAULTS:
            out.print(fault.name)
        for fault in suite.kinds.LONG:
            out.print(f"{fault.name} (in runs of {suite.kinds.LONG_RUN} faults and more)")
        return OK
    unknown = set(only) - {fault.name for fault in suite.kinds.FAULTS + suite.kinds.LONG}
    if unknown:
        raise CommandError(f"--only {', '.join(sorted(unknown))}: no such fault; see: leap chaos --list")
    if faults < 1:
        raise CommandError("--faults: 1 or more")
    if jobs < 1:
        raise CommandError("--jobs: 1 or more")
    if not kafka_available():
        raise CommandError("leap chaos needs Java, and Maven to get Apache Kafka", UNREACHABLE)
    chosen = secrets.randbelow(10_000) if seed is None else seed
    err.print(f"seed {chosen}: leap chaos --faults {faults} --seed {chosen} repeats this")
    with _scratch() as place, _checkout(beside, place) as other:
        outcome = asyncio.run(suite.chaos(place, faults, chosen, say=_say, only=only, jobs=jobs, beside=other))
    if json:
        print_json(outcome.as_json())
    else:
        for name, value in outcome.as_json().items():
            shown = "\n  ".join(["", *(f"{k}: {v}" for k, v in value.items())]) if isinstance(value, dict) else value
            out.print(f"{name.replace('_', ' ')}: {shown}")
    return OK if outcome.right else CHECK_FAILED


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a directory; what is in it afterwards (of a run that was not right, or did not end) is kept and named."""
    place = Path(tempfile.mkdtemp(prefix="leap-chaos-"))
    try:
        yield place
    finally:
        if any(place.iterdir()):
            err.print(f"what the processes of that run wrote is kept in {place}")
        else:
            place.rmdir()


@contextlib.contextmanager
def _checkout(commit: str | None, directory: Path) -> Iterator[Path | None]:
    """Check another version out, beside this one."""
    if commit is None:
        yield None
        return
    where = directory / "beside"
    git = ["git", "-C", str(ROOT), "worktree"]
    done = subprocess.run(  # noqa: S603 - git checks the word it is given
        [*git, "add", "--detach", str(where), commit],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"--beside {commit}: {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run([*git, "remove", "--force", str(where)], check=False)  # noqa: S603 - as above


def _say(text: str) -> None:
    err.print(text, markup=False)


def _module() -> Any:
    try:
        return import_module("tests.chaos.suite")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != "tests":
            raise CommandError(f"{error}: install the development packages with: make setup") from error
        raise CommandError("tests/ is not here: run this in a checkout") from error
