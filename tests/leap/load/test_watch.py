"""What the processes' metrics say over a run, also when one of them is started again."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from redis.asyncio import Redis

from leap.load.watch import Watch


class Process:
    """The metrics of an engagement process, as one start of it shows them."""

    def __init__(self, port: int, started: float) -> None:
        self.registry = CollectorRegistry()
        Gauge("process_start_time_seconds", "-", registry=self.registry).set(started)
        self.activities = Counter("leap_activities", "-", ["outcome"], registry=self.registry)
        self.lag = Gauge("leap_lag_records", "-", ["partition"], registry=self.registry)
        self.ready = Gauge("leap_ready", "-", ["role"], registry=self.registry)
        self.server, self.thread = start_http_server(port, "127.0.0.1", self.registry)

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def nowhere() -> Redis:
    return Redis(port=1)


async def test_what_a_process_counted_before_it_was_started_again_counts_on(nowhere: Redis) -> None:
    first = Process(0, started=1.0)
    port = first.server.server_port
    first.ready.labels("engagement").set(1)
    first.activities.labels("counted").inc(70)
    first.lag.labels("0").set(3)
    first.lag.labels("1").set(4)
    watch = Watch([f"http://127.0.0.1:{port}/metrics"], nowhere)
    look = await watch.look()
    assert look.lag == {"engagement": 7}
    assert {"engagement", "generator"} == set(look.rss_mb)
    first.end()
    await watch.look()
    assert watch.activities()["counted"] == 70

    second = Process(port, started=2.0)
    second.activities.labels("counted").inc(5)
    look = await watch.look()
    second.end()

    # It does not say yet which role it is: it is the one that was there.
    assert set(look.rss_mb) == {"engagement", "generator"}
    assert watch.activities() == {"counted": 75, "repeated": 0, "fenced": 0}
    assert watch.restarts == 1
