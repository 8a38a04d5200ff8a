"""``leap bench``: throughput and latency of this machine."""

from importlib import import_module
from typing import Annotated

from cyclopts import Parameter

from leap.errors import OK, CommandError


def bench(
    *,
    only: Annotated[tuple[str, ...], Parameter(help="Measure only this part (may be given more than once).")] = (),
) -> int:
    """Measure throughput and latency on this machine; what it reports was measured on that run.

    The parts: throughput (engagement), latency (event to Redis), intake (Moodle's rows), gateway (HTTP), identities (17
    million claims, ten minutes and 1.5 GB). docs/benchmarks.md says what each of them does, and what it measured.

    Needs a checkout (benchmarks/ is not installed) and the development packages: `make setup`.

    Example: `leap bench --only intake --only gateway`
    """
    try:
        run = import_module("benchmarks.run")
    except ModuleNotFoundError as error:
        if error.name not in {"benchmarks", "benchmarks.run"}:
            raise CommandError(f"{error}: install the development packages with: make setup") from error
        raise CommandError("benchmarks/ is not here: run this in a checkout, as `make bench` does") from error
    unknown = set(only) - run.PARTS.keys()
    if unknown:
        raise CommandError(f"--only {', '.join(sorted(unknown))}: no such part; there are {', '.join(run.PARTS)}")
    run.main(only)
    return OK
