from typing import Any, cast

import orjson
import pytest
from redis.asyncio import Redis

from leap.views import Day, UnreadableError, View, read_views
from schemas.redis_keys import Keys

KEYS = Keys("views")


@pytest.fixture
def head() -> dict[Any, Any]:
    doc = {
        "days": [{"day": "2026-10-05", "counts": {"tap_in": 2}}, {"day": "2026-10-06", "counts": {}}],
        "closed_score": 12.5,
        "window_end": "2026-10-06",
        "last_active": "2026-10-05",
        "recorded_at": "2026-10-05T10:00:00Z",
        "open": [],
    }
    return {
        "version": "281474976710698",
        "rating": "partial",
        "reason": "",
        "score": "12.5",
        "since": "2026-10-05T10:00:00Z",
        "closed_day": "2026-10-06",
        "closed_rating": "not_rated",
        "partition": "3",
        "doc": orjson.dumps(doc).decode(),
        "department": "cs",
        "course": "",
    }


async def read(url: str, head: dict[Any, Any], **closed: str) -> View | None:
    async with Redis.from_url(url) as redis:
        await redis.hset(KEYS.view("s"), mapping=head)
        if closed:
            await redis.hset(KEYS.closed(3), mapping=cast("dict[Any, Any]", closed))
        await redis.hset(KEYS.days("s"), "2026-10-05", orjson.dumps({"score": 25.0}))
        return (await read_views(redis, KEYS, ["s", "nobody"])).get("s")


async def test_a_view_is_put_together_from_its_keys(redis_db: str, head: dict[Any, Any]) -> None:
    view = await read(redis_db, head, day="2026-10-06", stale='{"moodle": "2026-10-05"}')

    assert view is not None
    assert (view.rating, view.closed_rating, view.score, view.closed_score) == ("partial", None, 12.5, 12.5)
    assert (view.department, view.course, view.reason) == ("cs", None, None)
    assert view.stale == {"moodle": "2026-10-05"}
    assert view.days == (Day("2026-10-05", {"tap_in": 2}, 25.0), Day("2026-10-06", {}, 0.0))


async def test_days_that_closed_after_the_view_was_written_had_no_activity(redis_db: str, head: dict[Any, Any]) -> None:
    view = await read(redis_db, head, day="2026-10-07")

    assert view is not None
    assert view.closed_day == "2026-10-07"
    assert view.days == (Day("2026-10-06", {}, 0.0), Day("2026-10-07", {}, 0.0))


async def test_before_the_first_close_every_day_is_open(redis_db: str, head: dict[Any, Any]) -> None:
    view = await read(redis_db, head)

    assert view is not None
    assert view.closed_day is None
    assert [day.score for day in view.days] == [None, None]


@pytest.mark.parametrize("change", [{"removed": "1"}, {"version": None}])
async def test_a_removed_or_unknown_student_has_no_view(
    redis_db: str, head: dict[Any, Any], change: dict[str, Any]
) -> None:
    fields = {name: value for name, value in {**head, **change}.items() if value is not None}

    assert await read(redis_db, fields) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, b"\xff{") for field in ("doc", "rating", "score", "since", "version", "closed_rating")),
        ("version", "9" * 30),
        ("doc", '{"days":[{"day":"2026-10-05","counts":{"tap_in":1e30}}]}'),
    ],
)
async def test_what_somebody_else_wrote_is_said_to_be_unreadable(
    redis_db: str, head: dict[Any, Any], field: str, value: Any
) -> None:
    """It ended with a traceback, or with numbers that no JSON could be made of."""
    doc = orjson.loads(head["doc"])
    value = orjson.dumps(doc | orjson.loads(value)) if isinstance(value, str) and field == "doc" else value
    with pytest.raises(UnreadableError, match="leap rebuild"):
        await read(redis_db, head | {field: value})
