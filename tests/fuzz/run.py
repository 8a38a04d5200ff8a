"""Fuzzes everything that is read from outside of a process: ``python -m tests.fuzz.run``.

Seeded, so that a failure can be had again: it names the target, the seed and the input. The last line is one JSON object
with the figures of the run.
"""

import argparse
import json
import logging
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.fuzz import (
    batches,
    clock,
    exports,
    gateway,
    identities,
    log,
    moodle,
    outputs,
    policies,
    probes,
    redis_values,
    roster,
    sources,
    state,
    taps,
)

LONGEST = 30.0
"""Seconds that no input may take."""


class Target(NamedTuple):
    """What is attacked: its share of a thousand inputs, and how many of them are one round with a state of its own."""

    play: Callable[[random.Random, int], Iterator[bool]]
    share: int
    round: int


TARGETS = {
    log.NAME: Target(log.play, 350, 500),
    sources.NAME: Target(sources.play, 180, 500),
    moodle.MOODLE: Target(moodle.play_moodle, 40, 500),
    moodle.FASER: Target(moodle.play_faser, 20, 500),
    roster.NAME: Target(roster.play, 120, 200),
    identities.NAME: Target(identities.play, 60, 500),
    outputs.NAME: Target(outputs.play, 120, 500),
    redis_values.NAME: Target(redis_values.play, 90, 500),
    clock.NAME: Target(clock.play, 30, 200),
    policies.NAME: Target(policies.play, 20, 100),
    state.NAME: Target(state.play, 12, 20),
    batches.NAME: Target(batches.play, 12, 50),
    probes.NAME: Target(probes.play, 6, 200),
    **{name: Target(play, 20, 500) for name, play in taps.PLAYS.items()},
    gateway.NAME: Target(gateway.play, 20, 200),
    **{name: Target(play, 20, 500) for name, play in exports.PLAYS.items()},
}


class HangError(Exception):
    """An input took too long."""


class Outcome:
    """What came of a target's inputs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.accepted = self.rejected = 0
        self.failures: list[str] = []
        self.slowest = 0.0

    def figures(self) -> dict[str, Any]:
        """Return the figures that are printed."""
        return {
            "inputs": self.accepted + self.rejected,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "failures": len(self.failures),
            "slowest_ms": round(1000 * self.slowest),
        }


@contextmanager
def _limited() -> Iterator[None]:
    """Raise in the middle of an input that takes too long."""

    def hang(*_: object) -> None:
        raise HangError(f"an input took more than {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attack(name: str, inputs: int, seed: int, first: int = 0, told: Callable[[int], None] = lambda _: None) -> Outcome:
    """Give a target so many inputs from number ``first`` (or rather: from the beginning of its round)."""
    target, outcome = TARGETS[name], Outcome(name)
    number = first - first % target.round
    with _limited():
        while number < first + inputs:
            here = min(target.round, first + inputs - number)
            rng = random.Random(f"{seed}/{name}/{number}")
            at, began = number, time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                for accepted in target.play(rng, here):
                    now = time.perf_counter()
                    outcome.slowest = max(outcome.slowest, now - began)
                    at, began = at + 1, now
                    outcome.accepted += accepted
                    outcome.rejected += not accepted
                    signal.setitimer(signal.ITIMER_REAL, LONGEST)
                if at != number + here:
                    raise AssertionError(f"{at - number} of {here} inputs are accounted for")  # noqa: TRY301
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                again = f"--target {name} --seed {seed} --first {at} --inputs 1"
                frames = "".join(traceback.format_exception(error)[-6:])
                outcome.failures.append(f"{name}: input {at}: {error!r}\n{frames}again: {again}")
            number += here
            told(here)
    return outcome


def main() -> int:
    """Run what the command line asks for; 1 if there was a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in total, shared out over the targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[*TARGETS], help="only this one, with all inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of a target")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    names = [chosen.target] if chosen.target else [*TARGETS]
    total = sum(TARGETS[name].share for name in names)
    began, outcomes, done = time.monotonic(), [], 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        bar = "#" * (40 * done // max(1, chosen.inputs))
        print(f"\r[{bar:<40}] {done:>9,} {name:<10}", end="", file=sys.stderr, flush=True)

    for name in names:
        share = -(-chosen.inputs * TARGETS[name].share // total)  # rounded up: so many inputs, and no fewer
        outcomes.append(attack(name, share, chosen.seed, chosen.first, told))
        for failure in outcomes[-1].failures[:3]:
            print(f"\n{failure}", file=sys.stderr)
    print(file=sys.stderr)
    failures = sum(len(outcome.failures) for outcome in outcomes)
    print(
        json.dumps(
            {
                "inputs": sum(o.accepted + o.rejected for o in outcomes),
                "accepted": sum(o.accepted for o in outcomes),
                "rejected": sum(o.rejected for o in outcomes),
                "failures": failures,
                "seconds": round(time.monotonic() - began, 1),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "seed": chosen.seed,
                "targets": {outcome.name: outcome.figures() for outcome in outcomes},
            }
        )
    )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
