"""The ledger can fail: a figure that is not the planted one is named, and the command ends with 1."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from leap.demo.sources import measure, run
from leap.demo.sources.days import Days
from leap.demo.sources.ledger import FATES, Difference, Ledger, differences
from leap.demo.sources.measure import Measured, engagement_agrees, views_agree
from leap.demo.sources.plan import Plan, make
from leap.demo.sources.planting import Planted, Shipment, Shown
from leap.errors import CHECK_FAILED, OK, USAGE
from leap.main import run as leap
from leap.views import Day
from schemas import log
from schemas.topics import Topics
from windows.civil import CivilDays

NOON = datetime.fromisoformat("2026-11-25T12:00:00Z").timestamp()
DAY = 86_400.0


def ledger(**fates: int) -> Ledger:
    made = Ledger()
    made.sent["zoom"] = sum(fates.values())
    for fate, number in fates.items():
        made.add("zoom", fate, number)  # type: ignore[arg-type]
    return made


def test_equal_ledgers_do_not_differ() -> None:
    assert differences(ledger(counted=3, repeated=1), ledger(counted=3, repeated=1)) == []


@pytest.mark.parametrize("fate", FATES)
def test_a_figure_that_is_not_the_planted_one_is_named(fate: str) -> None:
    planted, measured = ledger(**dict.fromkeys(FATES, 5)), ledger(**dict.fromkeys(FATES, 5))
    planted.add("zoom", fate)  # type: ignore[arg-type]

    assert differences(planted, measured) == [Difference("zoom", fate, 6, 5)]
    assert str(differences(planted, measured)[0]) == f"zoom: {fate}: expected 6, measured 5"


def test_a_record_that_is_nowhere_is_a_difference_of_its_own() -> None:
    """Also if the plan were wrong in the same way."""
    lost = ledger(counted=4)
    lost.sent["zoom"] = 5

    assert differences(lost, lost) == [Difference("zoom", "sum of the fates", 5, 4)]


def test_a_source_that_nobody_planted_is_a_difference() -> None:
    measured = ledger(counted=1)
    measured.add("leap.identities", "dead_letters")

    assert Difference("leap.identities", "dead_letters", 0, 1) in differences(ledger(counted=1), measured)


def test_engagement_s_own_figures_are_compared() -> None:
    counted, late = (("outcome", "counted"),), (("outcome", "late"),)
    beyond, repeated = (("outcome", "late_beyond"),), (("outcome", "repeated"),)
    name = "leap_activities_total"
    samples: dict[tuple[str, Any], float] = {
        (name, counted): 7.0,
        (name, late): 2.0,
        (name, beyond): 1.0,
        (name, repeated): 4.0,
    }

    assert engagement_agrees(ledger(counted=4, late=3, repeated=4), samples) == []
    found = engagement_agrees(ledger(counted=5, late=3, repeated=4), samples)
    assert found == [Difference("engagement's metrics", "counted", 8, 7)]


def activity(at: float, once: int, offset: int, source: str = "leap.source.zoom-0", **more: Any) -> log.ActivityRecord:
    return log.ActivityRecord("zoom", at, log.Position(source, offset), NOON, once=once, **more)


def test_activities_of_the_log_are_told_apart() -> None:
    entries: list[Any] = [
        activity(NOON, 1, 0),
        activity(NOON, 1, 1),
        activity(NOON - DAY, 1, 2),  # the same on another day is another
        activity(NOON - DAY, 1, 3),
        activity(NOON, 2, 3),  # a process that died had sent this position already
        activity(NOON, 3, 0, "leap.unmatched-1"),
        activity(NOON, 6, 4, attendance=9),
        activity(NOON, 7, 5, attendance=9),  # one more evidence
        log.DayClosed("2026-11-25", "p", "c", NOON + DAY),
        activity(NOON, 4, 6),
        activity(NOON + DAY, 5, 7),
    ]
    records = [
        ConsumerRecord("leap.student-log", 0, n, int(NOON * 1000), 0, b"s", log.encode(entry), None, 0, 0, [])
        for n, entry in enumerate(entries)
    ]
    found = Ledger()

    measure._Log(Topics(), CivilDays("Europe/London"), {("leap.unmatched-1", 0): "hub"}).take(records, found)

    assert found.line("zoom") | {"sent": 0} == dict.fromkeys(("sent", *FATES), 0) | {
        "counted": 3,
        "repeated": 3,
        "late": 2,
    }
    assert found.line("hub")["counted"] == 1


async def test_views_show_every_activity_on_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    days = (Day("2026-11-24", {"zoom": 1}, None), Day("2026-11-25", {"tap_in": 2}, None))

    async def read_views(*_: Any) -> dict[str, Any]:
        return {"s1": SimpleNamespace(days=days)}

    monkeypatch.setattr(measure, "read_views", read_views)
    right = Counter({Shown("s1", "2026-11-24", "zoom"): 1, Shown("s1", "2026-11-25", "tap_in"): 2})
    before = Counter({Shown("s1", "2026-10-25", "library_loan"): 1})
    other = Counter({Shown("s2", "2026-11-25", "zoom"): 1})

    async def compared(shown: Counter[Shown]) -> list[Difference]:
        return await views_agree(None, SimpleNamespace(prefix="leap"), ["s1", "s2"], shown)  # type: ignore[arg-type]

    assert await compared(right + before) == [], "a view has no more than its days"
    assert await compared(right + other) == [Difference("the view of s2", "zoom on 2026-11-25", 1, 0)]
    right[Shown("s1", "2026-11-25", "tap_in")] = 1
    assert await compared(right) == [Difference("the view of s1", "tap_in on 2026-11-25", 1, 2)]


@pytest.mark.parametrize("there", [1, 2])
def test_what_the_gateway_was_not_sure_of_may_be_there_once_more(there: int) -> None:
    records = (Planted(b'{"a":1}', "counted", Shown("s1", "2026-11-25", "zoom")), Planted(b'{"b":1}', "ignored"))
    shipment = Shipment("hub", "xapi", records, tuple(record.what for record in records))  # type: ignore[misc]
    plan = Plan(None, (shipment,))  # type: ignore[arg-type]
    ways = SimpleNamespace(doubtful=[(shipment, record, record.what) for record in records])
    measured = Measured(values={"hub": Counter({b'{"id":"x","a":1}': there, b'{"b":1}': there})})

    found = run._expected(plan, ways, measured)  # type: ignore[arg-type]

    more = there - 1
    assert found.line("hub") == dict.fromkeys(FATES, 0) | {
        "sent": 2 + 2 * more,
        "counted": 1,
        "repeated": more,
        "ignored": 1 + more,
    }


@pytest.mark.parametrize("lies", [False, True], ids=["as planted", "one expectation changed"])
def test_the_command_ends_with_1_if_a_figure_is_not_as_planted(
    lies: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make(Days("Europe/London", NOON), seed=1)
    planted, measured = plan.ledger(), plan.ledger()
    if lies:
        planted.add("library", "repeated")
        planted.add("library", "late", -1)

    @asynccontextmanager
    async def accounted(*_: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(outcome=run.Outcome(plan, planted, measured, tuple(differences(planted, measured))))

    monkeypatch.setattr(run, "accounted", accounted)
    assert leap(["demo", "--sources", "--once", "--json"]) == (CHECK_FAILED if lies else OK)
    said = capsys.readouterr()
    document = json.loads(said.out.splitlines()[-1])
    assert document["sources"] == measured.as_json()
    assert document["total"] == measured.total()
    named = {
        (found["source"], found["column"]): (found["expected"], found["measured"]) for found in document["differences"]
    }
    should, have = planted.line("library"), measured.line("library")
    columns = ("repeated", "late") if lies else ()
    assert named == {("library", column): (should[column], have[column]) for column in columns}
    assert ("library: repeated" in said.err) == lies

    assert leap(["demo", "--sources", "--once"]) == (CHECK_FAILED if lies else OK)
    text = capsys.readouterr().out
    assert ("planted" in text) == lies
    assert "listen-again" in text


@pytest.mark.parametrize("option", [["--pace", "1"], ["--start", "2026-10-12"], ["--ratings", "ratings.csv"]])
def test_options_of_the_course_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert leap(["demo", "--sources", *option]) == USAGE
    assert option[0] in capsys.readouterr().err
