"""Records are built as plain dicts for speed; every one of them has exactly the form that the schema says."""

from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel

from schemas.cloudevents import CONTENT_TYPE, ID, SOURCE, SPEC_VERSION, TYPE
from schemas.outputs import Alert, ClosedDay, Day, LateActivity, Rating
from tests.agents.campus import Campus, policy

DAY = timedelta(days=1)
FIRST = date(2026, 10, 5)


def fits(model: type[BaseModel], record: dict[str, Any]) -> None:
    model.model_validate(record)
    assert record.keys() <= model.model_fields.keys()
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert required <= record.keys()


def test_days_ratings_and_alerts_fit_their_schema() -> None:
    rules = {"alerts": {"no_activity": {"days": [2]}, "low_engagement": {"at_or_below": "partial"}}}
    campus = Campus(FIRST, policy(**rules))
    campus.enrol("s", department="D", course="C")
    campus.enrol("idle", part_time=True)
    campus.act("s", FIRST)
    campus.close_through(FIRST, FIRST + 9 * DAY)
    campus.act("s", FIRST + 8 * DAY, "moodle_course", 3)
    campus.act("s", FIRST)
    campus.enrol("s", department="E")
    kinds: dict[str, type[BaseModel]] = {"cause": ClosedDay, "activity": LateActivity}
    for record in campus.days:
        fits(next((model for name, model in kinds.items() if name in record), Day), record)
    for record in campus.ratings:
        fits(Rating, record)
    for record in campus.alerts:
        fits(Alert, record)
    assert {r["cause"] for r in campus.ratings} >= {"roster", "close"}
    assert {a["kind"] for a in campus.alerts} == {"no_activity", "low_engagement"}
    assert any(d.get("restated") for d in campus.days)
    assert campus.ratings[-1]["left_department"] == "D"


def test_every_record_is_a_cloudevent_with_an_id_of_its_own() -> None:
    campus = Campus(FIRST)
    campus.enrol("s")
    campus.act("s", FIRST)
    now = campus.at(FIRST + DAY, 1)
    from schemas import log  # noqa: PLC0415

    ours = campus.policies.on(FIRST)
    draft = campus.step(log.DayClosed(FIRST.isoformat(), ours.version, ours.checksum, now), appended=now)
    sent = draft.effects.days + draft.effects.ratings
    ids = [dict(headers)[ID] for _, _, headers in sent]
    assert len(set(ids)) == len(ids) == 3
    for _, _, headers in sent:
        assert {SPEC_VERSION, TYPE, SOURCE, CONTENT_TYPE, ID} == dict(headers).keys()
