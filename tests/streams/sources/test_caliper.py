"""Caliper events, as any sensor of 1.1 or 1.2 may send them."""

import json
from typing import Any

import pytest

from streams.sources import Unusable
from streams.sources.caliper import Event, event

ACTOR, PAGE = "https://example.edu/users/554433", "https://example.edu/terms/201601/courses/7/sections/1/pages/2"


def navigated(**changes: Any) -> dict[str, Any]:
    """Return an event of 1.2 with whole entities; a change to None takes the field away."""
    whole = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": "urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f11",
        "type": "NavigationEvent",
        "profile": "GeneralProfile",
        "actor": {"id": ACTOR, "type": "Person", "name": "Jo Doe"},
        "action": "NavigatedTo",
        "object": {"id": PAGE, "type": "WebPage", "name": "Week 2"},
        "eventTime": "2026-10-05T09:15:00.000Z",
        "edApp": "https://example.edu",
        "group": {"id": "https://example.edu/terms/201601/courses/7/sections/1", "type": "CourseSection"},
    } | changes
    return {name: held for name, held in whole.items() if held is not None}


def read(body: dict[str, Any]) -> Event | Unusable:
    return event(json.dumps(body).encode())


def test_an_event_of_1_2_says_who_what_and_when() -> None:
    assert read(navigated()) == Event(
        id="urn:uuid:5f2f8e0e-66d6-4c5b-9e0e-1f5c3a7f0f11",
        type="NavigationEvent",
        action="NavigatedTo",
        actor=ACTOR,
        actor_type="Person",
        object=PAGE,
        group="https://example.edu/terms/201601/courses/7/sections/1",
        at=1_791_191_700.0,
    )


def test_thinned_entities_say_the_same() -> None:
    """An entity that the receiver knows already may be its IRI alone."""
    thinned = read(navigated(actor=ACTOR, object=PAGE, group="https://example.edu/terms/201601/courses/7/sections/1"))
    whole = read(navigated())

    assert isinstance(thinned, Event)
    assert isinstance(whole, Event)
    assert thinned == whole._replace(actor_type=None)


def test_an_event_of_1_1_has_no_profile() -> None:
    older = navigated(profile=None) | {"@context": "http://purl.imsglobal.org/ctx/caliper/v1p1"}

    assert read(older) == read(navigated())


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            {"type": None, "@type": "http://purl.imsglobal.org/caliper/v1/NavigationEvent"},
            "type: no event type of Caliper 1.1 or 1.2",
        ),
        ({"action": None}, "action: no text"),
        ({"actor": {"type": "Person"}}, "actor: no id"),
        ({"actor": []}, "actor: no id"),
        ({"object": ""}, "object: no id"),
        ({"eventTime": "yesterday"}, "eventTime: not a time in ISO 8601"),
        ({"eventTime": "2026-10-05T09:15:00"}, "eventTime: a time without a zone"),
        ({"eventTime": None}, "eventTime: no time"),
    ],
)
def test_what_is_missing_is_named(broken: dict[str, Any], reason: str) -> None:
    assert read(navigated(**broken)) == Unusable(reason)
