"""The broker and the Redis of a run: real ones, to be killed, filled and started again."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.servers import ApacheKafka, EmbeddedValkey
from tests.chaos import faults as kinds

BROKER = {
    # Workers are taken for dead after two seconds, so that a run has many rebalances and little waiting.
    "group.min.session.timeout.ms": "1000",
    # The broker that comes back is let in when its former self has not been heard of for this long.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.segment.delete.delay.ms": "1000",
}
DISK = "size=768m"


class Servers:
    """The broker and the Redis of a run, to be killed and started again."""

    def __init__(self) -> None:
        # A file system of their own, so that it can be full; only root may mount one. It is nowhere where others clean up:
        # after a run that was killed it is still there.
        self.disk = Path(tempfile.mkdtemp(prefix="leap-chaos-"))
        self._mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(self.disk))
        self.kafka = ApacheKafka(self.disk / "kafka", settings=BROKER, heap="512m")
        # What Redis has is on its disk at once, so that killing it loses nothing; that it can lose is a fault of its own.
        options = ("--appendonly", "yes", "--appendfsync", "everysec")
        self.redis = EmbeddedValkey(self.disk / "redis", binary=shutil.which("redis-server"), options=options)

    @contextlib.contextmanager
    def running(self):  # type: ignore[no-untyped-def]
        """Start both, stop both."""
        try:
            with self.kafka, self.redis:
                yield self
        finally:
            if self._mounted:
                _run("umount", "--lazy", str(self.disk))
            shutil.rmtree(self.disk, ignore_errors=True)

    def can(self, fault: kinds.Fault) -> bool:
        """Whether a fault can be had here."""
        return self._mounted or fault.name != "disk full"


def _run(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
