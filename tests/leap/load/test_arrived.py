"""When a load run gives up waiting: when nothing changes any more, and not because a later role has more to do."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from leap.load import run as module

Lags = dict[str, int]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a run wait while the roles are behind as given, 20 s from one to the next; returns what it noted."""
    now = 0.0

    async def wait(*seen: Lags) -> dict[str, Any]:
        looks: Iterator[Lags] = iter(seen)

        async def read_lags(*_: Any) -> list[Any]:
            return [SimpleNamespace(role=role, records=records) for role, records in next(looks).items()]

        async def sleep(_: float) -> None:
            nonlocal now
            now += 20.0

        monkeypatch.setattr("leap.load.run.read_lags", read_lags)
        monkeypatch.setattr("leap.load.run.asyncio.sleep", sleep)
        monkeypatch.setattr("leap.load.run.time.monotonic", lambda: now)
        run = SimpleNamespace(
            installation=SimpleNamespace(settings=None), sampler=SimpleNamespace(under_way=()), more={}, phase="sending"
        )
        await module._arrived(SimpleNamespace(run=run, offsets=None, redis=None))  # type: ignore[arg-type]
        return run.more

    return wait


async def test_what_one_role_leaves_to_the_next_is_no_standstill(waited: Any) -> None:
    growing = [{"engagement": 900 - n, "readmodel": 3 * n} for n in range(0, 900, 100)]

    assert await waited(*growing, {"engagement": 0, "readmodel": 5}, {"engagement": 0, "readmodel": 0}) == {}


async def test_when_nothing_changes_for_a_minute_it_says_what_is_left(waited: Any) -> None:
    noted = await waited(*[{"engagement": 0, "readmodel": 1_000}] * 10)

    assert noted == {"gave_up": "nothing moved for 60 s: readmodel 1,000 records behind"}
