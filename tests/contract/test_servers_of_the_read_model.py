"""What the read model needs of its server, through its own code, on Valkey and on Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from aiokafka import TopicPartition

from deploy.servers import EmbeddedValkey
from schemas.redis_keys import CHANGES_DAYS, DAY_SECONDS, TOMBSTONE_DAYS, UNKNOWN_DAYS, Keys
from sinks.records import Batch, Closed, Entry, Rating, Roster, Standing
from sinks.store import RedisDownError, RedisRefusedError, Store, connect
from streams.settings import Settings
from tests.sinks.test_tampered_redis import batch, removal

KEYS = Keys("leap")
TP = TopicPartition("leap.ratings", 0)
ACL = Path(__file__).resolve().parents[2] / "deploy" / "redis" / "users.acl"


def settings_of(server: EmbeddedValkey, url: str | None = None) -> Settings:
    return Settings(_env_file=None, partitions=1, redis=url or f"{server.url}/0")  # type: ignore[call-arg]


@pytest.fixture
def plain(server: EmbeddedValkey) -> redis.Redis:
    """A plain client of a server that runs, is empty and can be written."""
    server.start()
    client = redis.Redis.from_url(server.url)
    client.flushall()
    client.script_flush()
    return client


@pytest_asyncio.fixture
async def store(server: EmbeddedValkey, plain: redis.Redis) -> AsyncIterator[Store]:
    """Our store on the server."""
    settings = settings_of(server)
    client = connect(settings, "contract")
    yield Store(settings, client)
    await client.aclose()
    plain.close()


async def test_a_batch_is_written_once_and_its_progress_claimed(store: Store, plain: redis.Redis) -> None:
    written = await store.write(batch(5), [TP])
    assert (written.applied, written.stale) == (6 - 1, 0)  # the close is not counted
    assert await store.claim(written.attempt, {TP: ("", "1:7")}) == [True]
    assert await store.positions([TP]) == ["1:7"]
    again = await store.write(batch(5), [TP])
    assert (again.applied, again.stale) == (0, 5)
    assert await store.claim(written.attempt, {TP: ("1:7", "1:9")}) == [False]  # another batch was written since

    assert plain.hget(KEYS.view("s1"), "rating") == b"low"
    assert plain.smembers(KEYS.department_rating("cs", "low")) == {b"s1"}


async def test_neighbouring_versions_beyond_doubles_are_told_apart(store: Store, plain: redis.Redis) -> None:
    highest = (1 << 63) - 2
    await store.write(batch(highest))

    assert (await store.write(batch(highest - 1))).applied == 0
    assert (await store.write(batch(highest + 1))).stale == 0
    assert plain.hget(KEYS.view("s1"), "version") == str(highest + 1).encode()


async def test_lifetimes_are_those_of_the_reference(store: Store, plain: redis.Redis) -> None:
    waiting = Batch()
    waiting.ratings.append(Rating("nobody", 0, 5, '{"version":5}', "1-5", ("at", "1790000000000"), 1_790_000_000_000))
    await store.write(waiting)
    await store.write(batch(5))

    def lives(key: str, days: int) -> bool:
        return days * DAY_SECONDS - 60 < int(plain.ttl(key)) <= days * DAY_SECONDS  # type: ignore[arg-type]

    assert lives(KEYS.rating("nobody"), UNKNOWN_DAYS)
    assert lives(KEYS.changes(0), CHANGES_DAYS)
    assert plain.ttl(KEYS.view("s1")) == -1
    await store.write(removal(6))
    assert lives(KEYS.view("s1"), TOMBSTONE_DAYS)


async def test_a_change_stands_on_the_stream_once(store: Store, plain: redis.Redis) -> None:
    for version in (5, 6, 5):
        await store.write(batch(version))

    assert [entry for entry, _ in plain.xrange(KEYS.changes(0))] == [b"1-5", b"1-6"]  # type: ignore[union-attr]


async def test_ten_thousand_entries_go_in_one_pipeline(store: Store, plain: redis.Redis) -> None:
    many = Batch()
    for i in range(10_000):
        student = f"s{i}"
        fields = ("rating", "low", "partition", "0", "enrolled", "1", "doc", "{}")
        many.standings[student] = Standing("row", student, 9, fields, 1)
        many.days[student, "2026-10-05"] = Entry(student, "2026-10-05", 9, '{"version":9}', "2026-08-01")

    assert (await store.write(many)).applied == 20_000
    assert plain.dbsize() == 20_000


def department(size: int, day: str, version: int = 9) -> Batch:
    """Return a department: of three students two are officially low and one high; the partition has closed the day."""
    made = Batch()
    for i in range(size):
        student, band = f"s{i}", "high" if i % 3 == 2 else "low"
        fields = ("rating", "partial", "closed_rating", band, "partition", "0", "enrolled", "1", "doc", "{}")
        made.rosters[student] = Roster(student, version, ("department", "cs", "course", "c1"))
        made.standings[student] = Standing("row", student, version, fields, 1)
    made.closed[0] = Closed(0, version, day, "{}")
    return made


async def test_figures_count_everybody_in_steps_between_which_others_are_served(
    store: Store, plain: redis.Redis
) -> None:
    """25,000 students counted in one step held Redis up for half a second, and 40 departments in one go for 20."""
    await store.write(department(3_000, "2026-10-05"))
    plain.config_resetstat()

    assert await store.publish() == "2026-10-05"
    steps = plain.info("commandstats")["cmdstat_evalsha"]["calls"]  # type: ignore[index]
    assert steps >= 3_000 / 200
    assert plain.hgetall(KEYS.cohort("cs")) == {
        b"day": b"2026-10-05",
        b"rated": b"3000",
        b"high": b"1000",
        b"good": b"0",
        b"partial": b"0",
        b"low": b"2000",
        b"very_low": b"0",
    }
    assert plain.ttl(KEYS.cohort("cs")) > 0
    assert await store.publish() is None


async def test_figures_of_a_day_are_not_written_over_those_of_a_later_one(store: Store, plain: redis.Redis) -> None:
    """Somebody who was slow to count comes back when the next day is published already, or closed."""
    official = store._official

    async def slow(code: str) -> dict[str, int]:
        counts = await official(code)
        store._official = official  # type: ignore[method-assign]
        await store.write(department(60, "2026-10-06", version=10))
        if also_published:
            assert await store.publish() == "2026-10-06"
        return counts

    for also_published in (False, True):
        plain.flushdb()
        await store.write(department(30, "2026-10-05"))
        store._official = slow  # type: ignore[method-assign,assignment]

        assert await store.publish() is None
        assert plain.get(KEYS.cohort_day) == (b"2026-10-06" if also_published else None)
        assert plain.hget(KEYS.cohort("cs"), "rated") == (b"60" if also_published else None)


async def test_of_two_who_count_the_same_day_one_publishes(store: Store, plain: redis.Redis) -> None:
    await store.write(department(30, "2026-10-05"))
    official = store._official

    async def slow(code: str) -> dict[str, int]:
        counts = await official(code)
        store._official = official  # type: ignore[method-assign]
        assert await store.publish() == "2026-10-05"
        return counts

    store._official = slow  # type: ignore[method-assign,assignment]
    assert await store.publish() is None
    assert plain.hget(KEYS.cohort("cs"), "rated") == b"30"


async def test_scripts_that_the_server_has_lost_are_loaded_again(store: Store, plain: redis.Redis) -> None:
    await store.write(batch(5))
    plain.script_flush()

    assert (await store.write(batch(6))).applied == 5


async def test_a_server_that_cannot_write_now_is_down(store: Store, server: EmbeddedValkey, plain: redis.Redis) -> None:
    """A replica, one out of memory, one in a long script: worth trying again. Then it works as before."""
    await store.write(batch(5))
    plain.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(RedisDownError, match=r"READONLY|ReadOnly"):
        await store.write(batch(6))
    plain.execute_command("REPLICAOF", "NO", "ONE")
    plain.config_set("maxmemory", "1mb")
    plain.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(RedisDownError, match=r"OOM|OutOfMemory"):
        await store.write(batch(6))
    plain.config_set("maxmemory", "0")
    plain.config_set("busy-reply-threshold", "1")
    busy = redis.Redis.from_url(server.url)
    turning = asyncio.create_task(asyncio.to_thread(_turn_until_killed, busy))
    while True:
        try:
            plain.ping()
        except redis.exceptions.ResponseError:
            break
        await asyncio.sleep(0.01)
    with pytest.raises(RedisDownError, match="BUSY"):
        await store.write(batch(6))
    plain.script_kill()
    await turning
    busy.close()

    assert (await store.write(batch(6))).applied == 5


def _turn_until_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.ResponseError):
        client.eval("while true do end", 0)


async def test_a_server_that_is_loading_is_down(store: Store, plain: redis.Redis) -> None:
    assert plain.ping()
    from redis.exceptions import BusyLoadingError  # noqa: PLC0415

    from sinks.store import translated  # noqa: PLC0415

    with pytest.raises(RedisDownError), translated():
        raise BusyLoadingError("LOADING Redis is loading the dataset in memory")


async def test_a_server_that_is_gone_is_down_and_empty_when_it_is_back(store: Store, server: EmbeddedValkey) -> None:
    await store.write(batch(5), [TP])
    server.kill()
    with pytest.raises(RedisDownError):
        await store.positions([TP])
    server.start()

    assert await store.positions([TP]) == [""]
    assert (await store.write(batch(5))).applied == 5


# -- users ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_users(server: EmbeddedValkey, tmp_path: Path) -> EmbeddedValkey:
    """A server of the same kind with the users of deploy/."""
    users = tmp_path / "users.acl"
    # Whoever starts the server asks it with a PING.
    lines = ["user default on nopass resetkeys resetchannels -@all +ping"]
    lines += [f"{line} >secret" for line in ACL.read_text().splitlines() if line.startswith("user leap")]
    users.write_text("\n".join(lines) + "\n")
    return EmbeddedValkey(tmp_path, binary=server._binary, options=("--aclfile", str(users)))


async def test_the_writer_may_do_what_the_sink_does_and_the_reader_may_not(with_users: EmbeddedValkey) -> None:
    with with_users as guarded:

        async def store_of(user: str, password: str = "secret") -> None:
            settings = settings_of(guarded, f"redis://{user}:{password}@{guarded.address}/0")
            async with connect(settings, "contract") as client:
                store = Store(settings, client)
                written = await store.write(batch(5), [TP])
                assert await store.claim(written.attempt, {TP: ("", "1:7")}) == [True]
                await client.hset(KEYS.progress, "leap.ratings-0", "no progress")
                assert await store.positions([TP]) == [""]
                assert [key async for key in store.views()] == [KEYS.view("s1")]

        await store_of("leap-writer")
        for user, password in (("leap-reader", "secret"), ("leap-writer", "wrong"), ("nobody", "secret")):
            with pytest.raises(RedisRefusedError):
                await store_of(user, password)
