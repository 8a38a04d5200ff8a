"""Who may write what decides who can be believed; who may read what decides who can see a student."""

from collections import defaultdict

from streams.rights import rights, users
from streams.settings import Settings

SETTINGS = Settings(prefix="leap", sources=("events", "oulad"))
TOPICS = {topic.name.removeprefix("leap.") for topic in SETTINGS.topics}


def by_topic(operation: str) -> dict[str, set[str]]:
    """Return who may do something, a topic."""
    found = defaultdict(set)
    for user, what, resource, name in rights(SETTINGS):
        if what == operation and resource == "Topic":
            found[name.removeprefix("leap.")].add(user.removeprefix("leap-"))
    return dict(found)


def test_every_topic_has_the_writers_of_the_design_and_no_other() -> None:
    """A source owner writes its own source; only intake, roster and clock the log that decides; one role each result."""
    assert by_topic("Write") == {
        "source.events": {"source-events", "gateway", "letters"},
        "source.oulad": {"source-oulad", "gateway", "letters"},
        "source-states": {"intake", "operator"},
        "students": {"records", "letters"},
        "identities": {"directory"},
        "timetable": {"timetabling"},
        "unmatched": {"intake"},
        "student-log": {"roster", "intake", "clock"},
        "engagement": {"engagement"},
        "days": {"engagement"},
        "ratings": {"engagement"},
        "alerts": {"engagement"},
        "dead-letters": {"roster", "intake", "engagement", "readmodel", "letters"},
        "clock": {"clock"},
    }


def test_every_topic_has_the_readers_that_need_it_and_no_other() -> None:
    assert by_topic("Read") == {
        "source.events": {"intake", "operator"},
        "source.oulad": {"intake", "operator"},
        "source-states": {"intake", "operator"},
        "students": {"roster", "intake", "letters"},
        "identities": {"intake", "directory"},
        "timetable": {"intake"},
        "unmatched": {"intake", "operator"},
        "dead-letters": {"letters"},
        "student-log": {"engagement"},
        "engagement": {"engagement", "readmodel", "operator"},
        "days": {"readmodel", "operator"},
        "ratings": {"readmodel", "operator"},
        "alerts": {"readmodel", "operator", "case-work"},
        "clock": {"clock", "operator"},
    }


def test_each_group_has_one_user_who_reads_with_it() -> None:
    reading = {(name, user) for user, what, kind, name in rights(SETTINGS) if kind == "Group" and what == "Read"}

    assert reading == {
        (f"leap.{name}", f"leap-{name}") for name in ("roster", "intake", "engagement", "readmodel", "case-work")
    } | {("leap.waiting-room", "leap-intake")}


def test_only_a_person_makes_topics_and_outsiders_learn_nothing_of_them() -> None:
    assert by_topic("Create") == {topic: {"operator"} for topic in TOPICS}
    inside = {"roster", "intake", "engagement", "clock", "readmodel", "operator"}
    assert by_topic("Describe") == by_topic("DescribeConfigs") == dict.fromkeys(TOPICS, inside)


def test_every_user_is_explained_and_has_rights() -> None:
    assert {right.user for right in rights(SETTINGS)} == set(users(SETTINGS))
