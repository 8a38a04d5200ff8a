"""The fault suite: run after run until so many faults have struck, each checked by a program of its own.

    leap chaos --faults 40 --seed 7

One seed gives one sequence of faults. A run has its own topics and its own Redis; what is common is the broker.
"""

import asyncio
import contextlib
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from tests.chaos import faults as kinds
from tests.chaos.run import Run
from tests.chaos.servers import Servers
from tests.integration.harness import ROOT

FAULTS_A_RUN = 27
_SPARE_RUNS = 5
"""More than twice the runs that are needed, and so many: then the points are never reached."""


@dataclass
class Outcome:
    """What came of some runs."""

    seed: int
    runs: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    undone: int = 0
    unplanned_dead_letters: int = 0
    recovery_seconds: list[float] = field(default_factory=list)
    by_kind: Counter[str] = field(default_factory=Counter)
    not_reached: Counter[str] = field(default_factory=Counter)
    """Faults at a point to which no worker came: they did not happen, are counted nowhere else, and dealt again."""
    ended: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether every run was right."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return what `leap chaos --json` prints."""
        times = sorted(self.recovery_seconds)
        return {
            "faults": self.by_kind.total(),
            "events": self.events,
            "lost": self.lost,
            "doubled": self.doubled,
            "undone": self.undone,
            "unplanned_dead_letters": self.unplanned_dead_letters,
            "recovery_seconds_max": round(times[-1], 1) if times else None,
            "recovery_seconds_median": round(times[len(times) // 2], 1) if times else None,
            "seed": self.seed,
            "runs": self.runs,
            "by_kind": dict(self.by_kind.most_common()),
            "not_reached": dict(self.not_reached.most_common()),
            "ended": dict(self.ended.most_common()),
            "problems": self.problems,
        }


async def check(run: Run) -> dict[str, Any]:
    """Let a process of its own judge a run; returns its report."""
    file = run.directory / "run.json"
    file.write_text(json.dumps(run.describe()))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.verify", str(file), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if not printed.strip():
        raise AssertionError(f"the check of seed {run.seed} ended with code {process.returncode} and said nothing")
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report


async def chaos(
    directory: Path,
    faults: int,
    seed: int,
    *,
    say: Callable[[str], None],
    only: Sequence[str] = (),
    jobs: int = 1,
    **given: Any,
) -> Outcome:
    """Run after run until so many faults have struck; each run is checked. No more begin once one was not right.

    ``jobs``: how many go on at a time, each with a broker and a Redis of its own. The sequence of faults follows from the
    seed, but for those that must be dealt again. The files of a run that was not right stay in ``directory``.
    """
    outcome = Outcome(seed)
    every = kinds.FAULTS + kinds.LONG if only or faults >= kinds.LONG_RUN else kinds.FAULTS
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Servers().running()) for _ in range(jobs)]
        choice = [fault for fault in every if fault.name in only or (not only and servers[0].can(fault))]
        if given.get("beside") is not None:
            choice.append(kinds.BESIDE)
        dealt, again = kinds.deal(random.Random(seed), choice), list[kinds.Fault]()
        numbers, under_way = count(), 0

        async def work(mine: Servers) -> None:
            nonlocal under_way
            while outcome.right and (left := faults - outcome.by_kind.total() - under_way) > 0:
                number, size = next(numbers), min(left, FAULTS_A_RUN)
                if number > 2 * faults // FAULTS_A_RUN + _SPARE_RUNS:
                    outcome.problems.append(f"hardly anybody comes to the points: {dict(outcome.not_reached)}")
                    return
                chosen = list(islice(chain(again, dealt), size))
                del again[:size]
                under_way += len(chosen)
                place = directory / f"run-{number + 1}"
                place.mkdir()
                named = partial(_named, say, number + 1) if jobs > 1 else say
                run = Run(mine, place, seed * 1000 + number, named, **given)
                await _one(run, number + 1, chosen, outcome)
                under_way -= len(chosen)
                again.extend(struck.fault for struck in run.struck if not struck.reached)
                if not run.problems:
                    shutil.rmtree(place)

        await asyncio.gather(*map(work, servers))
    return outcome


def _named(say: Callable[[str], None], number: int, text: str) -> None:
    say(f"{number}: {text}")


async def _one(run: Run, number: int, chosen: list[kinds.Fault], outcome: Outcome) -> None:
    """Play a run, check it, and add to the outcome what came of it."""
    began = time.monotonic()
    try:
        await run.play(chosen)
        report = await check(run)
    except AssertionError as error:
        # It stood still, or a process ended that may not.
        run.problems.append(str(error))
    else:
        run.problems += report["problems"]
        outcome.runs += 1
        outcome.events += report["events"]
        outcome.ended.update(run.crew.ended)
        for name in ("lost", "doubled", "undone", "unplanned_dead_letters"):
            setattr(outcome, name, getattr(outcome, name) + report[name])
        seconds = time.monotonic() - began
        run.say(
            f"run {number}: {sum(s.reached for s in run.struck)} faults, {report['events']} events in {seconds:.0f} s"
        )
    outcome.problems += [f"seed {run.seed}: {problem}" for problem in run.problems]
    for struck in run.struck:
        (outcome.by_kind if struck.reached else outcome.not_reached)[struck.fault.name] += 1
        if struck.reached and struck.recovery_seconds is not None:
            outcome.recovery_seconds.append(struck.recovery_seconds)
