"""The pages for source owners say what the adapters do: their examples are read, and their reasons are the adapters'."""

import json
import re
from pathlib import Path

import pytest

from schemas.topics import Topics
from streams.sources import Options, Seen
from streams.sources.registry import sources

ROOT = Path(__file__).parents[3]
NAMES = ("zoom", "library", "tap-ins", "pc-labs", "listen-again", "reading-lists", "hub")
PAGES = {name: (ROOT / "docs" / "sources" / f"{name}.md").read_text() for name in NAMES}
EXAMPLES = [
    (name, example)
    for name, page in PAGES.items()
    for example in re.findall(r"^```(?:json|tsv|xml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
]


HOW_TO_SEND = (ROOT / "docs" / "sources" / "README.md").read_text()


def test_examples_of_how_to_send_are_whole_and_name_topics_of_ours() -> None:
    for code in re.findall(r"```python\n(.*?)```", HOW_TO_SEND, re.DOTALL):
        compile(code, "README.md", "exec")
    for config in re.findall(r"```json\n(.*?)```", HOW_TO_SEND, re.DOTALL):
        assert json.loads(config)["config"]
    named = set(re.findall(r"leap\.source\.([a-z-]+)", HOW_TO_SEND))
    assert named
    assert named <= sources(Options()).keys()


def test_the_record_that_a_program_sends_is_an_activity() -> None:
    (record,) = re.findall(r"swipe = b'(.*)'", HOW_TO_SEND)

    assert isinstance(sources(Options())["tap-ins"].read(record.encode()), Seen)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_is_an_activity(name: str, example: str) -> None:
    """Who it was stands in the person's key, and not in what makes it one event."""
    found = sources(Options())[name].read(example.encode())

    assert isinstance(found, Seen)
    assert found.person not in found.event


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_every_reason_for_which_a_record_is_not_for_us_and_no_other(name: str) -> None:
    adapter = (ROOT / "streams" / "sources" / f"{name.replace('-', '_')}.py").read_text()
    named = re.findall(r"^\| `([^`]+)` \|", PAGES[name].partition("## What is not for us")[2], re.MULTILINE)
    given = set(re.findall(r'NotForUs\("([^"]+)"\)', adapter))

    assert given <= set(named)
    assert all(f'"{reason}"' in adapter for reason in named)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_the_topic(name: str) -> None:
    assert f"`{Topics().source(name).name}`" in PAGES[name]
