"""The gateway as it runs: what it answered success for is on the topic byte for byte, and a broker that is away costs nothing.

One broker of its own, because it is stopped and killed.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.servers import ApacheKafka, kafka_available
from tests.integration.conftest import Install
from tests.integration.harness import ROOT, Installation, Worker
from tests.streams.gateway.conftest import SECRET
from tests.streams.gateway.test_webhooks import JOINED, zoom

TOKEN = "token-0123456789"
SOURCES = ("events", "zoom", "moodle", "tap-ins")
CREDENTIALS = f"""
[[credential]]
source = "zoom"
kind = "hmac"
secrets = ["{SECRET}"]

[[credential]]
source = "moodle"
kind = "basic"
user = "moodle"
secrets = ["{TOKEN}-moodle"]
""" + "".join(
    f"""
[[credential]]
source = "{source}"
kind = "bearer"
secrets = ["{TOKEN}-{source}"]
"""
    for source in ("events", "moodle", "tap-ins")
)
PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
ANSWERED_WITHIN = 4.0
"""3 s, and what a busy machine adds."""


@pytest.fixture
def broker(tmp_path: Path):
    # Killed, it may come back once its old session is over: 9 s, if nothing is said.
    with ApacheKafka(tmp_path / "kafka", settings={"broker.session.timeout.ms": "3000"}) as kafka:
        yield kafka


@pytest_asyncio.fixture
async def installation(broker: ApacheKafka, tmp_path: Path) -> AsyncIterator[Installation]:
    directory = tmp_path / "installation"
    directory.mkdir()
    async with Installation(broker.address, "apache", "leap", directory, sources=SOURCES) as made:
        yield made


def start(installation: Installation, **more: str) -> Worker:
    """Start `leap gateway` as a process, on free ports; `more` are settings (`LEAP_...`)."""
    credentials = installation.directory / "gateway.toml"
    credentials.write_text(CREDENTIALS)
    settings = installation.settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAP_")} | {
        "LEAP_KAFKA": settings.kafka,
        "LEAP_PROFILE": settings.profile,
        "LEAP_PREFIX": settings.prefix,
        "LEAP_SOURCES": json.dumps(settings.sources),
        "LEAP_METRICS_PORT": "0",
        "LEAP_GATEWAY_PORT": "0",
        "LEAP_GATEWAY_CREDENTIALS": str(credentials),
        **more,
    }
    logfile = installation.directory / "gateway.log"
    with logfile.open("wb") as out:
        command = [sys.executable, "-m", "leap.main", "gateway"]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    worker = Worker("gateway", process, logfile, logfile.with_suffix(".mark"), {})
    installation.workers.append(worker)
    installation.private |= {TOKEN, SECRET, "Jill", "jchill"}
    return worker


@pytest.mark.timeout(200)
@pytest.mark.skipif(not kafka_available(), reason="needs Java and Maven")
async def test_what_was_answered_with_success_is_there_and_an_outage_loses_nothing(
    installation: Installation, broker: ApacheKafka
) -> None:
    gateway = start(installation)

    async def ready() -> bool:
        return (await gateway.get("/ready"))[0] == 200

    await installation.until(lambda: gateway.listening, "the gateway listens")
    await installation.until(ready, "the gateway is ready")
    taken: list[bytes] = []
    refused: list[bytes] = []

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.listening}", timeout=30.0) as client:

        async def send(number: int) -> int:
            body = JOINED + b" " * number  # each its own bytes
            began = time.monotonic()
            answer = await client.post("/webhooks/zoom", content=body, headers=zoom(body, at=time.time()))
            took = time.monotonic() - began
            assert answer.status_code in {204, 503}, answer.text
            assert took < ANSWERED_WITHIN, f"{answer.status_code} after {took:.1f} s"
            (taken if answer.status_code == 204 else refused).append(body)
            return answer.status_code

        async def stored() -> list[bytes]:
            return [record.value or b"" for record in await installation.read(installation.topics.source("zoom").name)]

        # While all is well: there before the answer.
        assert await asyncio.gather(*(send(number) for number in range(40))) == [204] * 40
        assert sorted(await stored()) == sorted(taken)

        # A broker that is silent, then one that is gone.
        with broker.stopped():
            assert set(await asyncio.gather(*(send(number) for number in range(40, 60)))) == {503}
        broker.kill()
        assert set(await asyncio.gather(*(send(number) for number in range(60, 80)))) == {503}

        async def not_ready() -> bool:
            return (await gateway.get("/ready"))[0] == 503

        await installation.until(not_ready, "the gateway says that Kafka does not answer", timeout=30.0)
        assert (await gateway.get("/live"))[0] == 200, "a dependency that is down is no reason to start it again"
        await asyncio.to_thread(broker.restart)
        await installation.until(ready, "the gateway is ready again")

        # Senders try again what was not answered with success.
        again, refused = refused, []
        for body in again:
            assert await send(len(body) - len(JOINED)) == 204

    found = await stored()
    assert set(taken) <= set(found), "what was answered with success is lost"
    assert set(found) == set(taken)
    assert await gateway.metric("leap_gateway_records_total", source="zoom") == len(taken)
    assert "/webhooks/zoom" not in gateway.log.read_text(), "requests are logged, with addresses"
    gateway.terminate()
    assert await gateway.ended(30.0) == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_every_example_for_a_source_owner_works(install: Install) -> None:
    """And a file is judged as the institution has set its systems up."""
    installation = await install(sources=SOURCES)
    gateway = start(installation, LEAP_MOODLE_DATES="%d.%m.%Y %H:%M")
    await installation.until(lambda: gateway.listening, "the gateway listens")
    (installation.directory / "attendance.tsv").write_text("STUDENT_ID\tEVENT_ID\n28400\tCS101-1\n")

    told: list[str] = []

    for example, source in zip(EXAMPLES, ("moodle", "moodle", "events", "tap-ins"), strict=True):
        told.append(source)
        token = f"{TOKEN}-{source}"
        environment = {"GATEWAY": f"http://127.0.0.1:{gateway.listening}", "TOKEN": token, "PASSWORD": token}
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", example.replace("curl", "curl --silent --show-error --fail-with-body")],
            env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **environment},
            cwd=installation.directory,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(await installation.read(installation.topics.source(source).name)) == told.count(source)

    report = b"Time,Event name,Description\n05.10.2026 11:15,User has logged in,The user with id '23' has logged in.\n"
    headers = {"Authorization": f"Bearer {TOKEN}-moodle", "Content-Type": "text/csv"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.listening}") as client:
        answer = await client.post("/files/moodle", content=report, headers=headers)
    assert answer.json() == {"source": "moodle", "accepted": 1, "rejected": 0, "reasons": [], "warnings": []}


@pytest.mark.parametrize("credentials", [None, "secrets = 1"])
async def test_without_credentials_it_does_not_start(tmp_path: Path, credentials: str | None) -> None:
    """Before Kafka is asked for: this needs none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAP_")}
    if credentials is not None:
        file = tmp_path / "gateway.toml"
        file.write_text(credentials)
        environment["LEAP_GATEWAY_CREDENTIALS"] = str(file)

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leap.main", "gateway"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 78
    assert done.stderr.startswith("leap gateway: LEAP_GATEWAY_CREDENTIALS")
    assert "Traceback" not in done.stderr
