"""What it takes to know who it was: memory and look-ups of the identities that an intake process holds.

    python -m benchmarks.identities [claims]

Half of the keys that are looked up are known. What it prints was measured on this run.
"""

import sys
import time
from pathlib import Path

import numpy as np

from streams.identity_table import FOR_EVER, SINCE_EVER, IdentityTable

_CLAIMS = 17_000_000
_STUDENTS_EACH = 5
_BATCH = 2_000
_BATCHES = 200
_CHANGES = 20_000
_DAY = 20_731


def _resident() -> int:
    """Return this process's memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def main() -> None:
    """Fill a table as the topic would, look up in it, change it."""
    claims = int(sys.argv[1]) if len(sys.argv) > 1 else _CLAIMS
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 1 << 64, claims, np.uint64)
    before = _resident()
    table = IdentityTable()
    began = time.perf_counter()
    for number, digest in enumerate(hashes.tolist()):
        table.put(digest, b"s%07d" % (number // _STUDENTS_EACH), SINCE_EVER, FOR_EVER, number)
    table.merge()
    took = time.perf_counter() - began
    print(
        f"{len(table):,} claims of {len(table.students):,} students: {table.nbytes / len(table):.0f} bytes a claim in"
    )
    print(f"columns ({table.nbytes / 2**20:.0f} MB), {(_resident() - before) / 2**20:.0f} MB with the students' ids")
    print(f"filled at {claims / took:,.0f} claims/s ({took:.1f} s)")

    known = hashes[rng.integers(0, claims, _BATCH * _BATCHES // 2)]
    asked = np.concatenate([known, rng.integers(0, 1 << 64, len(known), np.uint64)])
    rng.shuffle(asked)
    days = np.full(_BATCH, _DAY, np.int32)
    began = time.perf_counter()
    found = sum(int((table.find(batch, days).student >= 0).sum()) for batch in asked.reshape(_BATCHES, _BATCH))
    took = time.perf_counter() - began
    print(f"looked up at {len(asked) / took:,.0f} keys/s in batches of {_BATCH:,} ({found / len(asked):.0%} known)")

    began = time.perf_counter()
    for digest in hashes[:_CHANGES].tolist():
        table.put(digest, b"another", SINCE_EVER, FOR_EVER, claims)
    took = time.perf_counter() - began
    print(f"changed at {_CHANGES / took:,.0f} claims/s")
    began = time.perf_counter()
    table.merge()
    print(f"merged {_CHANGES:,} changes in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
