"""``leap bench``: throughput and latency of this machine."""

from importlib import import_module

from leap.errors import CommandError


def bench() -> int:
    """Measure throughput and latency on this machine; what it reports was measured on that run.

    Needs a checkout (benchmarks/ is not installed) and the development packages: `make setup`.

    Example: `make bench`
    """
    try:
        run = import_module("benchmarks.run")
    except ModuleNotFoundError as error:
        if error.name not in {"benchmarks", "benchmarks.run"}:
            raise CommandError(f"{error}: install the development packages with: make setup") from error
        raise CommandError("benchmarks/ is not here: run this in a checkout, as `make bench` does") from error
    return int(run.main() or 0)
