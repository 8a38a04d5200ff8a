"""All source systems that there is an adapter for, by name."""

from streams.sources import Options, Source, events, events_by_identity, oulad


def sources(options: Options) -> dict[str, Source]:  # noqa: ARG001
    """Return every source system, its adapter set up for an institution."""
    return {
        "oulad": Source(oulad.read, knows_students=True),
        "events": Source(events.read, knows_students=True),
        "events-by-identity": Source(events_by_identity.read),
    }
