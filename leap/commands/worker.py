"""``leap worker``: the roles that do the work."""

import asyncio
from typing import Annotated, Literal

from cyclopts import Parameter

from leap import logs
from leap.options import Where
from leap.supervisor import Supervisor, at_signal
from streams.settings import ROLES, Process, Role, Settings

_NOWHERE = Where()


def worker(role: Annotated[Role | Literal["all"], Parameter(help="What to run.")], *, where: Where = _NOWHERE) -> int:
    """Run one role in this process, or one process of each with `all`.

    Roles are apart so that a part that is slow holds up itself only: `roster` and `intake` bring the student records
    and the sources into the student log, `engagement` rates and alerts, `clock` closes days, `readmodel` writes Redis.
    Run several processes of a role to share its partitions.

    Each process answers `/metrics`, `/live` and `/ready` on `LEAP_METRICS_PORT`; with `all` the roles take that port
    and the following ones (0: free ones). A role that ends is started again, unless its configuration is wrong (78).

    Example: `LEAP_KAFKA=kafka:9092 LEAP_REDIS=redis://redis:6379 leap worker engagement`
    """
    settings = where.settings()
    logs.set_up()
    if role == "all":
        return asyncio.run(_all(settings))
    from leap.worker import run  # noqa: PLC0415 - Faust takes a second to import, and only a worker needs it

    return run(role, settings)


async def _all(settings: Settings) -> int:
    supervisor = Supervisor(settings, ports(settings))
    at_signal(supervisor.stop)
    return await supervisor.run()


def ports(settings: Settings) -> dict[Process, int]:
    """Return a metrics port for each role: the configured one and those after it, or 0 for free ones."""
    first = settings.metrics_port
    return {role: first + index if first else 0 for index, role in enumerate(ROLES)}
