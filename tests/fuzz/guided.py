"""Fuzzes what reads records from outside, guided by coverage: ``python -m tests.fuzz.guided --target moodle --seconds 60``.

Needs atheris, of which there are wheels for Linux on x86-64 only. What is found is written to a file that
``--again FILE`` reads; the last lines are libFuzzer's figures.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["schemas", "streams"]):
    from streams.sources import Options
    from streams.sources.registry import sources
    from tests.fuzz import adapters, gateway
    from tests.fuzz.sources import event, person_event, row

ROOT = Path(__file__).parents[2]
_ADAPTERS = sources(Options())
_ROWS_OF_A_SAMPLE = 5


def _adapter(name: str) -> Callable[[bytes], None]:
    read = _ADAPTERS[name].read
    return lambda data: adapters.check(read(data))


def _gateway() -> Callable[[bytes], None]:
    made, runner, rng = gateway.Gateway(), asyncio.Runner(), random.Random(1)

    def one(data: bytes) -> None:
        runner.run(made.check(rng, gateway.request_with(data)))

    return one


def _seeds() -> Iterator[bytes]:
    """Yield records of all sources: samples, the examples of the documents, and those of the other fuzzers."""
    for file in sorted((ROOT / "tests" / "data").glob("*/*.*")):
        if file.suffix == ".tsv":
            head, *rows = file.read_bytes().splitlines(keepends=True)
            yield from (head + line for line in rows[:_ROWS_OF_A_SAMPLE])
        else:
            yield file.read_bytes()
    for page in sorted((ROOT / "docs" / "sources").glob("*.md")):
        for example in re.findall(r"^```\w+\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            yield example.encode()
    rng = random.Random(1)
    for make in (event, person_event, row):
        yield json.dumps(make(rng)).encode()


def main() -> None:
    """Run what the command line asks for; ends the process, with libFuzzer's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=["gateway", *_ADAPTERS], required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=Path, help="only this input, that was found before")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    place = Path(tempfile.mkdtemp(prefix="leap-fuzz-"))
    corpus = place / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(gateway.SEEDS if chosen.target == "gateway" else _seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    options = [
        f"-max_total_time={chosen.seconds}",
        f"-seed={chosen.seed}",
        "-max_len=20000",
        "-timeout=30",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={place}/",
    ]
    inputs = [str(corpus)] if chosen.again is None else [str(chosen.again)]
    atheris.Setup(
        [sys.argv[0], *options, *inputs], _gateway() if chosen.target == "gateway" else _adapter(chosen.target)
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
