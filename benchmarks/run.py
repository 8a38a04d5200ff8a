"""``make bench``: what the system does on this machine, on real Kafka, each thing beside its yardstick in the same run.

Rounds alternate, medians are reported. Every process runs on this machine, the broker too; what counts is the ratio.
The last line is one JSON object.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import gateway, identities, intake, latency, throughput
from benchmarks.report import ROUNDS, Line, console
from deploy.servers import ApacheKafka, EmbeddedValkey
from streams import event_loop

PARTS = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "intake": intake.measure,
    "gateway": gateway.measure,
    "identities": identities.measure,
}


def main(only: Sequence[str] = ()) -> None:
    """Measure everything, or only some parts; print the table and the JSON line."""
    event_loop.install()
    lines: list[Line] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in only or PARTS:
            # Servers of its own each: what one part wrote would be in the page cache of the next.
            kafka, valkey = ApacheKafka(directory / part / "kafka"), EmbeddedValkey(directory / part / "valkey")
            with kafka, valkey:
                some, more = PARTS[part](kafka.address, valkey.url, directory)
            lines += some
            figures |= more
    table = Table(title=f"{ROUNDS} rounds, {os.cpu_count()} cores")
    for column in ("what", "median", "rounds"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
