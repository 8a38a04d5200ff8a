"""All source systems that there is an adapter for, by name."""

from streams.sources import Options, Source, events, faser, moodle, oulad


def sources(options: Options) -> dict[str, Source]:
    """Return every source system, its adapter set up for an institution."""
    return {
        "oulad": Source(oulad.read, knows_students=True),
        "events": Source(events.read, knows_students=True),
        "moodle": Source(moodle.adapter(options)),
        "faser": Source(faser.read),
    }
