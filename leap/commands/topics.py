"""``leap topics``: the topics of an installation."""

import asyncio
from typing import Literal

from leap.connect import reach_kafka
from leap.errors import CONFIG, CommandError
from leap.options import Where
from leap.terminal import err, out, print_json
from streams.admin import TopicsError, check_topics, create_topics
from streams.settings import Settings

_NOWHERE = Where()


def topics(action: Literal["create", "check"], *, json: bool = False, where: Where = _NOWHERE) -> int:
    """Make the topics that are missing (`create`), or say what is wrong with them (`check`, exit code 78).

    Workers never make topics: they check them at start. Which topics there are, and with what settings: docs/topics.md.

    Example: `leap topics create --kafka kafka:9092`

    Parameters
    ----------
    action
        create or check.
    json
        Print one JSON document.
    """
    settings = where.settings()
    return asyncio.run(_create(settings, json=json) if action == "create" else _check(settings, json=json))


async def _create(settings: Settings, *, json: bool) -> int:
    await reach_kafka(settings, topics=False)
    try:
        made = await create_topics(settings)
    except TopicsError as error:
        raise CommandError(str(error), CONFIG) from error
    if json:
        print_json({"made": made})
    for name in [] if json else made:
        out.print(f"made {name}")
    if not made:
        err.print("every topic is there already")
    return await _check(settings, json=False)


async def _check(settings: Settings, *, json: bool) -> int:
    await reach_kafka(settings, topics=False)
    problems: list[str] = []
    try:
        await check_topics(settings)
    except TopicsError as error:
        problems = str(error).splitlines()
    if json:
        print_json({"problems": problems})
    for problem in [] if json else problems:
        err.print(f"[red]{problem}[/]", soft_wrap=True)
    if not problems:
        err.print(f"{len(list(settings.topics))} topics are as they should be")
    return CONFIG if problems else 0
