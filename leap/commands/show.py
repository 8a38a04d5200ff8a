"""``leap show``: one student, as the read model has them."""

import asyncio
from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from leap.connect import redis_client
from leap.errors import CHECK_FAILED, CONFIG, CommandError
from leap.options import Where
from leap.terminal import ACTIVITY_NAMES, BAND_NAMES, BAND_STYLES, bar, out, print_json
from leap.views import View, read_views
from schemas.policy import Policy, PolicyError, PolicySet, read_policies
from schemas.redis_keys import NOT_RATED, Keys
from sinks.store import safe_url
from streams.settings import Settings

_NOWHERE = Where()


def show(
    student: str,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
    where: Where = _NOWHERE,
) -> None:
    """Show what is known of a student: rating, the seven days by activity, open alerts, and what explains them.

    It reads Redis, as a dashboard does. The weights are those of the policy file, if it is here (`LEAP_POLICIES`).

    Example: `leap show 28400 --redis redis://127.0.0.1:6379/0`

    Parameters
    ----------
    student
        The student's id.
    """
    settings = where.settings()
    policies = _policies(settings)
    view = asyncio.run(_read(student, settings))
    policy = _policy(policies, view)
    if json:
        print_json({**view.as_json(), "weights": None if policy is None else _weights(policy)})
        return
    zone = ZoneInfo(policies.zone)
    _print_head(view, zone)
    _print_days(view, policy)
    _print_alerts(view)
    _print_freshness(view, policy, zone)


def _policies(settings: Settings) -> PolicySet:
    try:
        return read_policies(settings.policies)
    except PolicyError as error:
        raise CommandError(str(error), CONFIG) from error


async def _read(student: str, settings: Settings) -> View:
    async with redis_client(settings) as redis:
        found = (await read_views(redis, Keys(settings.prefix), [student])).get(student)
    if found is None:
        raise CommandError(f"no student {student} in the read model at {safe_url(settings.redis)}", CHECK_FAILED)
    return found


def _policy(policies: PolicySet, view: View) -> Policy | None:
    """Return the policy that the rating was made by, if its file is here."""
    try:
        return policies[view.explained["policy"]] if view.explained else None
    except KeyError:
        return None


def _weights(policy: Policy) -> dict[str, Any]:
    return {name: rule.model_dump() for name, rule in policy.activities.items()}


def _print_head(view: View, zone: ZoneInfo) -> None:
    place = " / ".join(filter(None, (view.department, view.course)))
    out.print(Text.assemble((f"Student {view.student}", "bold"), f"   {place}"))
    since = datetime.fromisoformat(view.since).astimezone(zone)
    window = f", the mean day score of the window to {_date(view.window_end)}" if view.window_end else ""
    score = "" if view.score is None else f" {view.score:.1f}{window}"
    out.print(
        Text.assemble("Rating    ", _band(view.rating), f" ({_words(view.reason)})" if view.reason else "", score)
    )
    out.print(f"Since     {since:%a} {_date(since.date().isoformat())}, {since:%H:%M}")
    if view.closed_day is not None:
        score = "" if view.closed_score is None else f" {view.closed_score:.1f}"
        out.print(
            Text.assemble("Official  ", _band(view.closed_rating), score, f", at the close of {_date(view.closed_day)}")
        )


def _print_days(view: View, policy: Policy | None) -> None:
    """Print a line an activity and a column a day; weights beside them, and each day's score below."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Activity", no_wrap=True)
    table.add_column("Weight", justify="right")
    table.add_column("Full at", justify="right")
    for day in view.days:
        on = date.fromisoformat(day.day)
        table.add_column(f"{on:%a} {on.day}", justify="right", min_width=5, no_wrap=True)
    for activity, name in ACTIVITY_NAMES.items():
        rule = policy.activities.get(activity) if policy else None
        counts = [day.counts.get(activity, 0) for day in view.days]
        weighs = rule is not None and rule.weight is not None
        evidence = [f"{rule.weight:g}", str(rule.target)] if rule and weighs else ["-", "-"]
        shown = [str(count) if count else "·" for count in counts]
        table.add_row(name, *evidence, *shown, style="" if any(counts) else "dim")
    table.add_section()
    scores = ["open" if day.score is None else f"{day.score:.0f}" for day in view.days]
    table.add_row("Day score", "", "", *scores, style="bold")
    table.add_row("", "", "", *(Text(bar((day.score or 0) / 100, 5), "cyan on grey15") for day in view.days))
    out.print()
    out.print(table)


def _print_alerts(view: View) -> None:
    standing = [alert for alert in view.alerts if alert["state"] == "opened"]
    out.print()
    out.print("[bold]Open alerts[/] (for a person to review; none of them decides anything)")
    for alert in standing:
        out.print(f"  {_words(alert['kind'])}, since the close of {_date(alert['opened_for'])}{_because(alert)}")
    if not standing:
        out.print("  none")


def _because(alert: dict[str, Any]) -> str:
    if alert.get("idle_days") is not None:
        return f": {alert['idle_days']} days without any activity then"
    if alert.get("score") is not None:
        return f": {BAND_NAMES[alert['rating'] or NOT_RATED].lower()}, {alert['score']:.1f}"
    return ""


def _print_freshness(view: View, policy: Policy | None, zone: ZoneInfo) -> None:
    out.print()
    active = max((day.day for day in view.days if day.counts), default=view.last_active)
    if view.recorded_at:
        taken = datetime.fromisoformat(view.recorded_at).astimezone(zone)
        out.print(f"Freshness  last activity on {_date(active)}; it came in on {taken:%d %b %Y at %H:%M:%S}")
    else:
        out.print("Freshness  no activity has come in")
    if view.stale:
        out.print(f"           [yellow]behind, so this is provisional: {_listed(view.stale)}[/]")
    if view.explained:
        cause = _words(view.explained["cause"]).lower()
        here = "" if policy else " (its file is not here: LEAP_POLICIES)"
        owner = f"; {policy.policy.owner} answers for it" if policy else ""
        out.print(
            f"Evidence   policy {view.explained['policy']}{here}{owner}. The last change came by: {cause}",
            soft_wrap=True,
        )


def _listed(stale: dict[str, str]) -> str:
    return ", ".join(f"{feed} since {_date(since)}" for feed, since in stale.items())


def _band(rating: str | None) -> Text:
    name = rating or NOT_RATED
    return Text(BAND_NAMES[name], f"bold {BAND_STYLES[name]}")


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ").capitalize()


def _date(day: str | None) -> str:
    return "-" if day is None else f"{date.fromisoformat(day):%-d %b %Y}"
