"""Records of engagement's topics, as the read model understands them."""

from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import TopicPartition

from schemas.activities import CODES
from schemas.cloudevents import VERSION, Headers, headers
from schemas.outputs import BANDS, REASONS
from schemas.state import (
    KEY_MARKER,
    KEY_ONCE,
    KEY_PARTITION,
    KEY_ROSTER,
    CodecError,
    PartitionRow,
    Row,
    blank_rows,
    encode_partition,
    encode_rows,
)
from schemas.topics import Topics
from schemas.version import version
from sinks.records import STAGE, Batch, Reader
from tests.fuzz.mutation import record

WINDOW, LONGEST, ANCHOR = 7, 14, 20_731  # 2026-10-05
TOPICS = Topics()


def read(topic: str, *messages: tuple[bytes | None, bytes | None, Headers], partition: int = 0) -> Batch:
    made = [record(offset, *message, 1000) for offset, message in enumerate(messages)]
    return Reader(TOPICS).read([(TopicPartition(topic, partition), made)])


def row(**values: Any) -> Row:
    one = blank_rows(1, WINDOW, LONGEST, ANCHOR)
    one["version"] = version(1, 10)
    for name, value in values.items():
        one[name] = value
    return one


def state(key: bytes, rows: Row) -> tuple[bytes, bytes, Headers]:
    return key, encode_rows(rows, WINDOW, LONGEST)[0], []


def view(batch: Batch, student: str = "s1") -> dict[str, Any]:
    fields = batch.standings[student].fields
    found: dict[str, Any] = dict(zip(fields[::2], fields[1::2], strict=True))
    return found | orjson.loads(found["doc"])


def test_a_rated_row_becomes_a_view() -> None:
    rows = row(
        rating=BANDS.index("good"),
        score=41.25,
        since_at=1_790_000_000.5,
        window_end=ANCHOR + 1,
        closed_rating=BANDS.index("low"),
        closed_score=12.5,
        last_active=ANCHOR + 1,
        recorded_at=1_790_000_000,
        enrolled=7,
    )
    rows["spells"][0][1] = ANCHOR
    rows["spells"][0][4] = ANCHOR - 1

    batch = read(TOPICS.engagement.name, state(b"s1", rows), partition=3)

    assert view(batch) | {"days": [], "doc": ""} == {
        "rating": "good",
        "reason": "",
        "score": "41.25",
        "since": "2026-09-21T14:13:20.500Z",
        "closed_day": "2026-10-05",
        "closed_rating": "low",
        "partition": "3",
        "enrolled": "7",
        "doc": "",
        "days": [],
        "closed_score": 12.5,
        "window_end": "2026-10-06",
        "last_active": "2026-10-06",
        "recorded_at": "2026-09-21T14:13:20.000Z",
        "open": [
            {"kind": "no_activity", "step": 2, "opened_for": "2026-10-05"},
            {"kind": "low_engagement", "step": 1, "opened_for": "2026-10-04"},
        ],
    }
    assert (batch.standings["s1"].taken_at, batch.standings["s1"].enrolled) == (1_790_000_000, 7)


def test_rows_of_several_partitions_keep_their_partition_and_their_own_fields() -> None:
    """They are decoded together, and what cannot be read is told with its partition."""
    messages = {
        4: [state(b"s1", row(rating=0, score=1.0)), state(b"s2", row(rating=1, score=2.0))],
        9: [state(b"s3", row(rating=2, score=3.0)), state(b"\xff", row())],
    }

    batch = Reader(TOPICS).read(
        (TopicPartition(TOPICS.engagement.name, n), [record(i, *message, 1000) for i, message in enumerate(some)])
        for n, some in messages.items()
    )

    shown = {student: view(batch, student) for student in batch.standings}
    assert {student: (view["partition"], view["score"]) for student, view in shown.items()} == {
        "s1": ("4", "1.0"),
        "s2": ("4", "2.0"),
        "s3": ("9", "3.0"),
    }
    assert [(letter.partition, letter.offset) for letter in batch.letters] == [(9, 1)]


def test_a_row_that_is_not_rated_says_why() -> None:
    batch = read(TOPICS.engagement.name, state(b"s1", row(reason=REASONS.index("placement"))))

    shown = view(batch)
    assert (shown["rating"], shown["reason"], shown["score"]) == ("not_rated", "placement", "")
    assert (shown["last_active"], shown["recorded_at"], shown["open"]) == (None, None, [])
    assert batch.standings["s1"].taken_at == 0


@pytest.mark.parametrize(
    ("slot", "first", "last"),
    [(None, "2026-09-29", "2026-10-05"), (7, "2026-09-30", "2026-10-06"), (8, "2026-10-01", "2026-10-07")],
)
def test_seven_days_end_with_the_last_active_one_and_not_before_the_last_closed(
    slot: int | None, first: str, last: str
) -> None:
    rows = row()
    rows["counts"][0, 3, CODES["tap_in"]] = 2  # 2026-10-02
    if slot is not None:
        rows["counts"][0, slot, CODES["zoom"]] = 1

    days = view(read(TOPICS.engagement.name, state(b"s1", rows)))["days"]

    assert (days[0]["day"], days[-1]["day"], len(days)) == (first, last, 7)
    assert {d["day"]: d["counts"] for d in days}["2026-10-02"] == {"tap_in": 2}
    assert days[-1]["counts"] == ({} if slot is None else {"zoom": 1})


def test_of_several_rows_the_highest_version_counts_even_if_it_came_first() -> None:
    batch = read(
        TOPICS.engagement.name,
        state(b"s1", row(version=version(1, 9))),
        state(b"s1", row(version=version(1, 11))),
        state(b"s1", row(version=version(1, 10))),
    )

    assert batch.standings["s1"].version == version(1, 11)


def test_rows_of_different_windows_stand_side_by_side() -> None:
    other = blank_rows(1, 5, 9, ANCHOR)
    other["version"] = 12
    batch = read(TOPICS.engagement.name, state(b"s1", row()), (b"s2", encode_rows(other, 5, 9)[0], []))

    assert len(view(batch, "s1")["days"]) == 7
    assert len(view(batch, "s2")["days"]) == 5


def test_a_removal_is_a_row_that_says_so_or_a_tombstone_with_its_version() -> None:
    carried = [(VERSION, b"77")]
    batch = read(
        TOPICS.engagement.name,
        state(b"s1", row(removed=1, recorded_at=5.0)),
        state(b"s2", row()),
        (KEY_ROSTER + b"s2", None, carried),
        (b"s2", None, [(VERSION, b"%d" % version(1, 77))]),
    )

    assert batch.standings["s1"].kind == "removed"
    assert (batch.standings["s2"].kind, batch.standings["s2"].version) == ("removed", version(1, 77))
    assert not batch.rosters


def test_the_roster_gives_department_and_course_and_nothing_else() -> None:
    entry = {"student": "s1", "department": "cs", "priority": True, "absences": [{"first": "2026-10-01"}]}
    batch = read(TOPICS.engagement.name, (KEY_ROSTER + b"s1", (42).to_bytes(8, "little") + orjson.dumps(entry), []))

    assert batch.rosters["s1"][:3] == ("s1", 42, ("department", "cs", "course", ""))


def test_the_partitions_row_gives_the_last_closed_day_and_feeds_that_are_behind() -> None:
    meta = PartitionRow(99, 1, ANCHOR, ANCHOR - 9, True, {}, {}, {"moodle": ANCHOR})
    batch = read(TOPICS.engagement.name, (KEY_PARTITION, encode_partition(meta), []), partition=2)

    assert batch.closed[2] == (2, version(1, 99), "2026-10-05", '{"moodle":"2026-10-05"}')
    meta.closed = False
    batch = read(TOPICS.engagement.name, (KEY_PARTITION, encode_partition(meta), []))
    assert batch.closed[0].day == ""


def test_once_keys_and_markers_say_nothing() -> None:
    batch = read(TOPICS.engagement.name, (KEY_ONCE + b"20731/1-2", b"x" * 8, []), (KEY_MARKER, b"", []))

    assert batch == Batch()


@pytest.mark.parametrize(
    "value", [b"", b"\x01", b"\x02\x01\x07\x0e" + b"x" * 40, b"\x01\x01\x0e\x07", b"\x01\x01\x07\x0e"]
)
def test_a_row_of_an_unknown_codec_ends_the_process(value: bytes) -> None:
    with pytest.raises(CodecError):
        read(TOPICS.engagement.name, (b"s1", value, []))


def test_only_closed_days_are_days() -> None:
    day = {"student": "s1", "day": "2026-10-05", "version": 5, "counts": {}, "score": 1.0, "policy": "p"}
    batch = read(
        TOPICS.days.name,
        (b"s1", orjson.dumps(day), headers("day", "/x", "1")),
        (b"s1", orjson.dumps(day | {"activity": "zoom"}), headers("late-activity", "/x", "2")),
        (b"partition-0", orjson.dumps({"partition": 0, "day": "2026-10-05"}), headers("closed-day", "/x", "3")),
    )

    (entry,) = batch.days.values()
    assert (entry.student, entry.name, entry.version, entry.oldest) == ("s1", "2026-10-05", 5, "2026-08-06")
    assert not batch.letters


def test_a_rating_change_gets_an_id_that_is_the_same_each_time() -> None:
    body = {"student": "s1", "rating": None, "previous": "high", "cause": "roster", "department": "cs", "course": None}
    record = (b"s1", orjson.dumps(body | {"version": version(3, 500)}), headers("rating", "/x", "1"))
    (first, second) = read(TOPICS.ratings.name, record, record).ratings

    assert (first.id, second.id) == ("3-1", "3-2")
    fields = dict(zip(first.fields[::2], first.fields[1::2], strict=True))
    assert (fields["rating"], fields["previous"], fields["course"], fields["at"]) == ("not_rated", "high", "", "1000")


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"student":"s1"}', b'{"student":"\xff"}'])
def test_what_cannot_be_read_is_put_aside_byte_for_byte_and_the_rest_goes_on(value: bytes) -> None:
    good = {"student": "s1", "day": "2026-10-05", "version": 5}
    kind = headers("day", "/x", "1")
    batch = read(TOPICS.days.name, (b"s0", value, kind), (b"s1", orjson.dumps(good), kind))

    (letter,) = batch.letters
    assert (letter.topic, letter.partition, letter.offset) == (TOPICS.days.name, 0, 0)
    assert (letter.stage, letter.key, letter.value, letter.headers) == (STAGE, b"s0", value, kind)
    assert "s1" not in letter.reason
    assert list(batch.days) == [("s1", "2026-10-05")]


def test_an_alert_is_known_by_its_name() -> None:
    alert = {"student": "s1", "alert": "no_activity_7.2026-10-05", "version": 9, "state": "opened"}
    batch = read(
        TOPICS.alerts.name,
        (b"s1/a", orjson.dumps(alert | {"closed_day": "2026-10-05"}), headers("alert", "/x", "1")),
        (b"s1/b", None, []),
    )

    (entry,) = batch.alerts.values()
    assert (entry.name, entry.version, entry.oldest) == ("no_activity_7.2026-10-05", 9, "2026-07-07")
    assert msgspec.json.decode(entry.doc)["state"] == "opened"


DAY = {"student": "s1", "day": "2026-10-05", "version": 5}
ALERT = {"student": "s1", "alert": "a", "closed_day": "2026-10-05", "version": 5, "state": "closed"}
RATING = {"student": "s1", "rating": "low", "previous": None, "cause": "close", "department": None, "course": None}


@pytest.mark.parametrize(
    ("topic", "kind", "value"),
    [
        (TOPICS.days, "day", orjson.dumps(DAY | {"day": "0001-01-01"})),
        (TOPICS.days, "day", orjson.dumps(DAY)[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        (TOPICS.days, "day", b'{"x":{"version":99},"student":"s1","day":"2026-10-05","version":5}'),
        (TOPICS.days, "day", b'{"student":"s1","day":"2026-10-05","version": 5}'),
        (TOPICS.alerts, "alert", orjson.dumps(ALERT).replace(b":", b": ")),
        (TOPICS.alerts, "alert", orjson.dumps(ALERT | {"closed_day": "0001-01-01"})),
        (TOPICS.ratings, "rating", orjson.dumps(RATING | {"version": -1})),
        (TOPICS.ratings, "rating", b'{"version":' + b"9" * 30 + orjson.dumps(RATING).replace(b"{", b",", 1)),
        (TOPICS.ratings, "rating", orjson.dumps(RATING | {"version": 5, "rating": "excellent"})),
    ],
)
def test_what_ended_the_process_or_redis_scripts_is_put_aside(topic: Any, kind: str, value: bytes) -> None:
    """Days before all days, versions that are no version, and JSON in which the scripts would find something else."""
    (letter,) = read(topic.name, (b"s1", value, headers(kind, "/x", "1"))).letters

    assert letter.value == value


@pytest.mark.parametrize(
    "change",
    [
        {"rating": 5, "score": 1.0},
        {"rating": 1, "score": float("nan")},
        {"reason": 99},
        {"anchor": 2**31 - 1},
        {"last_active": -5},
        {"spells": 2**31 - 1},
        {"since_at": float("inf")},
        {"recorded_at": float("nan")},
        {"older": -1.0},
    ],
    ids=str,
)
def test_a_row_with_what_none_of_ours_ever_wrote_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match="out of range"):
        read(TOPICS.engagement.name, state(b"s1", row(**change)))


@pytest.mark.parametrize("value", [b"\xff" * 8 + b"{}", b"\x00" * 7])
def test_a_roster_entry_of_no_version_is_put_aside(value: bytes) -> None:
    """One beyond all others would have stood in Redis for ever."""
    batch = read(TOPICS.engagement.name, (KEY_ROSTER + b"s1", value, []))

    assert len(batch.letters) == 1
    assert not batch.rosters


@pytest.mark.parametrize("key", [None, b"", KEY_ROSTER])
def test_a_state_record_of_nobody_is_put_aside(key: bytes | None) -> None:
    (letter,) = read(TOPICS.engagement.name, (key, b"x" * 20, [])).letters

    assert letter.key == key
