"""Nothing that a sample says of a person or of what they read leaves an adapter, but for the key of the person."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.sources import Options, Seen
from streams.sources.registry import sources

DATA = Path(__file__).parents[2] / "data" / "jisc"
HUB = [path.name for path in sorted(DATA.iterdir()) if path.name != "LICENSE"]
GIVEN = [
    *(("hub", name) for name in HUB),
    ("library", "borrowed.tsv"),
    ("listen-again", "video.tsv"),
    ("tap-ins", "attendance.tsv"),
    *(("reading-lists", name) for name in HUB if name.startswith("readinglist")),
]
PRIVATE = frozenset(
    {"CLIENT_IP", "EMAIL", "EVENT_DESCRIPTION", "EVENT_NAME", "FOLDER_NAME", "ITEM_ID", "ITEM_NAME", "ITEM_URL"}
    | {"OBJECT_ID", "OBJECT_NAME", "SESSION_NAME", "STAFF_ID", "STUDENT_ID", "USERNAME", "USERNAME    CLIENT_IP"}
    | {"RESPONSE  SESSION_ID"}
)
"""Columns with names, addresses and titles, or with what leads to them."""

HASH = re.compile(r"[0-9a-f]{32}")
ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|[\w.+-]+@[\w-]+\.\w+")


def told_by(name: str) -> Iterator[tuple[bytes, set[str]]]:
    """Yield the records of a sample, and the private texts that stand in each."""
    raw = (DATA / name).read_bytes()
    if not name.endswith(".tsv"):
        yield raw, set(_texts(json.loads(raw)))
        return
    head, *rows = raw.splitlines(keepends=True)
    names = head.decode().rstrip("\r\n").split("\t")
    for row in rows:
        fields = next(csv.reader([row.decode()], delimiter="\t", quoting=csv.QUOTE_NONE), [])
        told = {text for column, text in zip(names, fields, strict=False) if column in PRIVATE}
        yield head + row, told | set(ADDRESS.findall(row.decode()))


def _texts(held: Any, private: bool = False) -> Iterator[str]:
    """Yield names, descriptions, addresses and ids of a statement."""
    if isinstance(held, dict):
        for key, value in held.items():
            yield from _texts(value, private or key in {"description", "id", "mbox", "name"} or "ip-address" in key)
    elif isinstance(held, list):
        for value in held:
            yield from _texts(value, private)
    elif private:
        yield str(held)


@pytest.mark.parametrize(("source", "name"), GIVEN)
def test_names_addresses_and_titles_stay_with_the_source(source: str, name: str) -> None:
    """The person's key is in ``person`` and nowhere else; nothing else of this is anywhere."""
    read = sources(Options(least_watched=0))[source].read
    searched = 0
    for raw, told in told_by(name):
        found = read(raw)
        searched += len(told)
        if isinstance(found, Seen):
            assert HASH.fullmatch(found.event), "what makes it one event stands there in clear"
            # Where the tab between two columns became blanks, they are one in the file.
            assert any(found.person in (one, *one.split()) for one in told)
            assert not ADDRESS.search(found.person)
        text = f"{found.activity} {found.venue}" if isinstance(found, Seen) else found.reason
        # A text of one or two letters stands in any other.
        leaked = [one for one in told if len(one) > 2 and one in text]
        assert not leaked, leaked
        assert not ADDRESS.search(text)
    assert searched, "nothing private stands in this sample: that tests nothing"
