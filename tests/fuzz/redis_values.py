"""What stands in Redis, read back: a view is shown or said to be unreadable, a progress holds or counts as none."""

import random
from collections.abc import Iterator

import orjson

from leap.views import Stored, UnreadableError, put_together
from schemas.redis_keys import Keys
from sinks.rebuild import _is_day, _number, _versions, _words
from sinks.store import _PROGRESS, Store
from streams.settings import Settings
from tests.fuzz.mutation import SECRET, assert_silent, bent, odd, scrambled, text

NAME = "redis"
_STORE = Store(Settings(_env_file=None), None)  # type: ignore[call-arg,arg-type]
_DAYS = [{"day": f"2026-10-0{n}", "counts": {"tap_in": n}} for n in range(1, 8)]
_DOC = {"days": _DAYS, "closed_score": 1.5, "window_end": "2026-10-07", "last_active": None}
_DOC |= {"recorded_at": "2026-10-05T10:00:00.000Z", "open": []}
_HEAD = {
    "version": "281474976710698", "rating": "low", "reason": "", "score": "5.5", "since": "2026-09-21T14:13:20.500Z",
    "closed_day": "2026-10-05", "closed_rating": "low", "partition": "0", "enrolled": "7",
    "doc": orjson.dumps(_DOC).decode(), "roster": "5", "department": "cs", "course": "",
}  # fmt: skip
_DAY = {"student": "s1", "day": "2026-10-05", "score": 4.0, "version": 5}
_ALERT = {"state": "opened", "kind": "no_activity", "opened_for": "2026-10-05", "idle_days": 7}
_RATING = {"policy": "p", "cause": "close", "version": 5}
_POSITIONS = (
    "1:5",
    "1:",
    ":",
    "",
    "2:5",
    "1:-5",
    "1:99999999999999999999",
    "x:5",
    "1:\u0661",
    "1:5 ",
    "1_0:5",
    "1:1_0",
)


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    for _ in range(inputs):
        yield _progress(rng) if rng.random() < 0.3 else _view(rng)


def _progress(rng: random.Random) -> bool:
    held = rng.choice(_POSITIONS) if rng.random() < 0.5 else scrambled(rng, b"1:12345").decode(errors="replace")
    if not _PROGRESS(held):
        return False
    offset = _STORE.offset_of(held)
    assert offset is None or 0 <= offset < 1 << 63
    return offset is not None


def _view(rng: random.Random) -> bool:
    def bent_json(good: dict) -> bytes:
        draw = rng.random()
        raw = orjson.dumps(good)
        return raw if draw < 0.4 else text(rng, bent(rng, good)) if draw < 0.8 else scrambled(rng, raw)

    head = dict(_HEAD)
    for _ in range(rng.randint(0, 2)):
        name = rng.choice(list(head))
        if rng.random() < 0.2:
            del head[name]
        else:
            head[name] = rng.choice((str(odd(rng)), scrambled(rng, head[name].encode()).decode(errors="replace")))
    head["doc"] = bent_json(_DOC).decode(errors="replace")
    days = {rng.choice(("2026-10-05", SECRET, "2026-1")): bent_json(_DAY).decode(errors="replace")}
    closed = {
        "day": rng.choice(("2026-10-05", "", "x", "9999-12-31")),
        "stale": rng.choice(("{}", '{"f":"x"}', "[]", "{")),
    }
    alerts = [bent_json(_ALERT) for _ in range(rng.randint(0, 2))]
    rating = bent_json(_RATING) if rng.random() < 0.7 else None
    assert Keys().student_of(Keys().view("s1")) == "s1"
    _versions({name.encode(): day.encode() for name, day in days.items()})
    _number(head.get("version", "").encode())
    _is_day(next(iter(days)))
    _words(head.get("department", "").encode())
    try:
        view = put_together(Stored("s1", head, rating, days, alerts, closed))
    except UnreadableError as error:
        assert_silent(str(error))
        return False
    orjson.dumps(view.as_json(), default=str)
    return True
