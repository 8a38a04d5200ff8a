import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.servers import free_port
from leap.errors import CONFIG, OK
from leap.options import load_settings
from leap.supervisor import Supervisor
from streams.settings import Settings

ROOT = Path(__file__).parents[2]


def settings(**more: object) -> Settings:
    """Nobody answers at that address, so that roles wait for Kafka."""
    return load_settings(kafka="127.0.0.1:1", profile="embedded", **more)


async def appears(text: str, log: Path, times: int = 1) -> None:
    await until(lambda: log.exists() and log.read_text().count(text) >= times)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.05)


async def test_a_role_whose_configuration_is_wrong_ends_all(tmp_path: Path) -> None:
    supervisor = Supervisor(
        settings(policies=tmp_path / "none"), {"roster": free_port(), "intake": free_port()}, log=tmp_path / "log"
    )

    assert await supervisor.run() == CONFIG
    assert supervisor.restarts == 0
    assert "none: cannot be read" in (tmp_path / "log").read_text()


async def test_a_role_that_ends_is_started_again_and_all_end_when_asked(tmp_path: Path) -> None:
    supervisor = Supervisor(settings(), {"roster": free_port()}, log=tmp_path / "log")
    running = asyncio.create_task(supervisor.run())
    await appears("waiting for Kafka", tmp_path / "log")
    first = supervisor.pid("roster")
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await appears("metrics and probes", tmp_path / "log", times=2)
    second = supervisor.pid("roster")

    assert supervisor.restarts == 1
    assert second not in {None, first}
    supervisor.stop()
    assert await asyncio.wait_for(running, 15) == OK
    assert supervisor.pid("roster") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_roles_die_with_the_supervisor(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {**os.environ, "LEAP_KAFKA": "127.0.0.1:1", "LEAP_PROFILE": "embedded", "LEAP_METRICS_PORT": "0"}
    command = [sys.executable, "-m", "leap.main", "worker", "all"]
    with log.open("wb") as output:
        parent = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=output)
    try:
        await appears("metrics and probes", log, times=5)
        children = children_of(parent.pid)
    finally:
        parent.kill()
        await parent.wait()

    assert len(children) == 5
    await until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
