"""A worker that cannot work says why and ends: 69 when a server does not answer, 78 when starting again would not help."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.servers import free_port
from tests.integration.conftest import Install
from tests.integration.harness import FIRST_DAY, POLICY, Worker, noon
from tests.integration.test_kills import MORNING

pytestmark = pytest.mark.timeout(300)

UNAVAILABLE, CONFIG = 69, 78


def last_words(worker: Worker) -> str:
    """Return what it said in plain text."""
    return "\n".join(line for line in worker.log.read_text().splitlines() if not line.startswith("{"))


async def test_without_a_broker_a_worker_names_the_address_and_ends(install: Install) -> None:
    """It waits as long as LEAP_START_TIMEOUT, not much longer, and exits with 69."""
    system = await install()
    nowhere = f"127.0.0.1:{free_port()}"
    roles = ("roster", "intake", "engagement", "clock")
    workers = [system.start(role, LEAP_KAFKA=nowhere, LEAP_START_TIMEOUT="2") for role in roles]

    assert await asyncio.gather(*(worker.ended(60) for worker in workers)) == [UNAVAILABLE] * 4
    for worker in workers:
        assert f"no Kafka at {nowhere} after 2 s" in last_words(worker)


async def test_without_redis_the_read_model_names_the_address_and_ends(install: Install) -> None:
    """The same, and the address comes without the password."""
    port = free_port()
    system = await install(redis=f"redis://leap-writer:hidden@127.0.0.1:{port}/0")
    worker = system.start("readmodel", LEAP_START_TIMEOUT="2")

    assert await worker.ended(60) == UNAVAILABLE
    assert f"no Redis at redis://127.0.0.1:{port}/0 after 2 s" in last_words(worker)
    assert "hidden" not in worker.log.read_text()


async def test_settings_that_cannot_work_end_a_worker_with_what_they_should_be(install: Install) -> None:
    """Missing topics, another number of partitions, no hash key, no policy, none in force: each exits with 78."""
    system = await install()
    later = system.directory / "later.toml"
    later.write_text(POLICY.replace("2020-01-01", "2999-01-01"))
    broken = system.directory / "broken.toml"
    broken.write_text(POLICY.replace("weight = 2.0", "weight = -2.0"))
    cases: list[tuple[Worker, list[str]]] = [
        (
            system.start("engagement", LEAP_PREFIX=f"{system.settings.prefix}.other"),
            [f"{system.settings.prefix}.other.student-log: missing", "leap topics create"],
        ),
        (
            system.start("engagement", LEAP_PARTITIONS="3"),
            [f"{system.topics.student_log.name}: has 2 partitions, should have 3"],
        ),
        (system.start("intake", LEAP_HASH_KEY=None, LEAP_PROFILE="apache"), ["LEAP_HASH_KEY"]),
        (system.start("intake", LEAP_HASH_KEY="", LEAP_PROFILE="apache"), ["LEAP_HASH_KEY"]),
        (system.start("readmodel", LEAP_REDIS="127.0.0.1:6379"), ["LEAP_REDIS", "127.0.0.1:6379"]),
        (system.start("intake", LEAP_SOURCES='["events", "moodel"]'), ["no adapter for moodel", "events"]),
        (system.start("engagement", LEAP_POLICIES=str(system.directory / "none")), ["none", "cannot be read"]),
        (system.start("engagement", LEAP_POLICIES=str(broken)), ["broken.toml", "activities.moodle_login.weight"]),
        (
            system.start("clock", LEAP_POLICIES=str(later), LEAP_SIMULATED_CLOCK="false"),
            ["no policy is in force", "2999-01-01"],
        ),
    ]

    for worker, expected in cases:
        assert await worker.ended() == CONFIG, worker.tail()
        for words in expected:
            assert words in last_words(worker)


async def test_a_topic_with_other_settings_ends_a_worker_with_what_they_should_be(
    install: Install, apache: None
) -> None:
    """Somebody made the log compacted: 78, with what is and what should be."""
    system = await install()
    client = AIOKafkaAdminClient(bootstrap_servers=system.settings.kafka)
    await client.start()
    name = system.topics.student_log.name
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": "compact"})])
    await client.close()
    worker = system.start("engagement")

    assert await worker.ended() == CONFIG
    assert f"{name}: cleanup.policy is compact, should be delete" in last_words(worker)
    assert f"{name}: message.timestamp.type is CreateTime, should be LogAppendTime" in last_words(worker)


async def test_a_policy_that_changed_under_its_version_ends_a_worker(install: Install) -> None:
    """State made with one content of a policy, a file with another: 78, with both; also when a close names another."""
    system = await install(partitions=1)
    await system.to_log(system.entries(["s0000"], MORNING))
    await system.close(FIRST_DAY)
    first = system.start("engagement")
    await system.caught_up("engagement")
    first.terminate()
    assert await first.ended() == 0

    changed = system.directory / "changed"
    changed.mkdir()
    (changed / "test.1.toml").write_text(POLICY.replace("high = 8.0", "high = 9.0"))
    second = system.start("engagement", LEAP_POLICIES=str(changed))
    assert await second.ended() == CONFIG
    assert "policy test.1 has changed" in last_words(second)
    assert "a new version" in last_words(second)

    next_day = FIRST_DAY.replace(day=FIRST_DAY.day + 1)
    closing = system.closing(next_day)
    await system.to_log_everywhere(
        type(closing)(closing.day, "test.1", "0123456789abcdef", noon(next_day, 23).timestamp() + 7200)
    )
    third = system.start("engagement")
    assert await third.ended() == CONFIG
    assert "0123456789abcdef" in last_words(third)
    assert await system.behind("engagement") == 1, "the close that it cannot follow is acknowledged"
