"""``leap acls``: what each user may do in Kafka."""

import asyncio
from collections.abc import Iterable
from typing import Literal

from leap.connect import reach_kafka
from leap.errors import CONFIG, CommandError
from leap.options import Where
from leap.terminal import err, print_json
from streams.rights import RightsError, give, given, rights
from streams.settings import Settings

_NOWHERE = Where()


def acls(action: Literal["apply", "check"], *, json: bool = False, where: Where = _NOWHERE) -> int:
    """Give each user the rights that are missing (`apply`), or say what is missing or too much (`check`, exit code 78).

    To be called as a user who may alter the cluster; no worker may. Who may do what: docs/rights.md. Nothing is ever
    taken away: what is too much is named, for you to remove.

    Example: `LEAP_KAFKA_USER=admin leap acls apply`

    Parameters
    ----------
    action
        apply or check.
    json
        Print one JSON document.
    """
    missing, too_much = asyncio.run(_acls(where.settings(), apply=action == "apply"))
    if json:
        print_json({"given" if action == "apply" else "missing": missing, "too_much": too_much})
    else:
        said = "given" if action == "apply" else "[red]missing[/]"
        for line in [*(f"{said}: {right}" for right in missing), *(f"[red]too much[/]: {line}" for line in too_much)]:
            err.print(line, soft_wrap=True)
        if not missing and not too_much:
            err.print("every user has the rights of docs/rights.md, and no other")
    return CONFIG if too_much or (missing and action == "check") else 0


async def _acls(settings: Settings, *, apply: bool) -> tuple[list[str], list[str]]:
    """Return what was missing, and what is too much."""
    await reach_kafka(settings, topics=False)
    wanted = rights(settings)
    try:
        there = await given(settings)
        missing = wanted - there
        if apply:
            await give(settings, sorted(missing))
    except RightsError as error:
        raise CommandError(f"Kafka at {settings.kafka}: {error}", CONFIG) from error
    return _lines(missing), _lines(there - wanted)


def _lines(some: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"{user}: {' '.join(what)}" for user, *what in sorted(some)]
