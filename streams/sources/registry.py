"""All source systems that there is an adapter for, by name."""

from collections.abc import Iterable
from functools import partial
from zoneinfo import ZoneInfo

from schemas.policy import read_policies
from streams.settings import Settings
from streams.sources import (
    Options,
    Source,
    events,
    events_by_identity,
    faser,
    hub,
    library,
    listen_again,
    moodle,
    oulad,
    pc_labs,
    reading_lists,
    tap_ins,
    zoom,
)


def options_of(settings: Settings, zone: str) -> Options:
    """Return what the settings and the policy's zone say of what an institution's systems send."""
    return Options(ZoneInfo(zone), settings.moodle_dates, settings.least_watched, settings.remote_labs)


def installed(settings: Settings) -> dict[str, Source]:
    """Return every source system as intake has it, for whoever says beforehand what intake will make of a record.

    Raises:
        PolicyError: the policies, which name the zone, cannot be used.
    """
    return sources(options_of(settings, read_policies(settings.policies).zone))


def keyed(names: Iterable[str]) -> list[str]:
    """Return which of these sources know people by keys of their own, and need identities. Options change none."""
    known = sources(Options())
    return [name for name in names if name in known and not known[name].knows_students]


def sources(options: Options) -> dict[str, Source]:
    """Return every source system, its adapter set up for an institution."""
    zone = options.zone
    return {
        "oulad": Source(oulad.read, knows_students=True),
        "events": Source(events.read, knows_students=True),
        "events-by-identity": Source(events_by_identity.read),
        "moodle": Source(moodle.adapter(options)),
        "faser": Source(faser.read),
        "zoom": Source(zoom.read),
        "library": Source(partial(library.read, zone=zone)),
        "tap-ins": Source(partial(tap_ins.read, zone=zone)),
        "pc-labs": Source(partial(pc_labs.read, zone=zone, remote=options.remote_labs)),
        "listen-again": Source(partial(listen_again.read, zone=zone, least_watched=options.least_watched)),
        "reading-lists": Source(partial(reading_lists.read, zone=zone)),
        "hub": Source(partial(hub.read, options=options)),
    }
