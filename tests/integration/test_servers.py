"""The local servers start, answer real clients, and come back where they were."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.servers import (
    ApacheKafka,
    EmbeddedBroker,
    EmbeddedValkey,
    ServerError,
    kafka_available,
)


async def create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, number: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(number)]
    finally:
        await consumer.stop()


async def test_records_of_the_session_broker_come_back_in_order(kafka: str, topic_prefix: str) -> None:
    values = [b"one", b"two", b"three"]
    await create_topic(kafka, f"{topic_prefix}smoke")
    await produce(kafka, f"{topic_prefix}smoke", values)

    assert await read(kafka, f"{topic_prefix}smoke", 3) == values


@pytest.mark.skipif(not kafka_available(), reason="needs Java and Maven")
async def test_apache_kafka_keeps_port_and_records_when_killed(tmp_path: Path) -> None:
    # The broker that comes back is let in when its former self has not been heard of for this long.
    settings = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    with ApacheKafka(tmp_path, settings=settings) as kafka:
        address = kafka.address
        await create_topic(address, "kept")
        await produce(address, "kept", [b"before"])
        kafka.kill()
        assert not kafka.running

        assert kafka.start() == address
        await produce(address, "kept", [b"after"])
        assert await read(address, "kept", 2) == [b"before", b"after"]


async def test_embedded_broker_is_empty_after_a_restart_on_the_same_port(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        address = broker.address
        await create_topic(address, "lost")
        await produce(address, "lost", [b"before"])

        assert broker.restart() == address
        await create_topic(address, "lost")
        await produce(address, "lost", [b"after"])
        assert await read(address, "lost", 1) == [b"after"]


def test_valkey_keeps_what_it_appended_to_its_file_when_killed(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        EmbeddedValkey(tmp_path, options=options) as valkey,
        redis.Redis.from_url(valkey.url) as client,
    ):
        client.set("key", "value")
        valkey.kill()
        valkey.start()

        assert client.get("key") == b"value"


@pytest.mark.parametrize("run", [1, 2])
def test_each_test_gets_an_empty_database(redis_db: str, run: int) -> None:
    with redis.Redis.from_url(redis_db) as client:
        assert client.dbsize() == 0
        client.set("key", run)


def test_two_servers_share_no_port(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "a") as one, EmbeddedValkey(tmp_path / "b") as other:
        assert one.port != other.port
        assert one.pid != other.pid


def test_a_server_that_ends_says_so_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path, options=["--no-such-option", "1"])

    with pytest.raises(ServerError, match=r"(?s)ended with code 1 .*no-such-option"):
        server.start()
    assert not server.running


def test_a_server_that_does_not_answer_is_killed_and_named(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    server = EmbeddedValkey(tmp_path, binary=str(silent))

    with pytest.raises(ServerError, match=r"valkey on .* did not answer within 0.2 s"):
        server.start(timeout=0.2)
    assert not server.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_server_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from deploy.servers import EmbeddedValkey\n"
        "server = EmbeddedValkey(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.port, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL

    with redis.Redis(port=int(parent.stdout)) as client:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                return
            time.sleep(0.05)
    pytest.fail("the server outlived its parent by 5 s")
