"""What the embedded broker of ``leap demo`` and ``leap up`` does not do as Apache Kafka does: declared once.

``docs/embedded-broker.md`` is made from it, and the contract tests run on both brokers: what stands here must fail on
the embedded one, everything else must work. So it is noticed when a release of it can do more, or less.
"""

from typing import NamedTuple


class Deviation(NamedTuple):
    """What the embedded broker does instead of what Apache Kafka does, and what that means for us."""

    instead: str
    for_us: str


DEVIATIONS = {
    "a_producer_can_be_idempotent": Deviation(
        "`InitProducerId` fails",
        "our producer is not idempotent there: a retry may double a record, which the fences downstream make harmless",
    ),
    "offsets_are_found_by_time": Deviation(
        "`ListOffsets` by a time gives no offset of that time",
        "the clock takes the end instead of what stood there at midnight: it may wait for more, never for less",
    ),
    "the_broker_names_the_end_itself": Deviation(
        "the end of a partition is told as the beginning of its last batch, plus one",
        "ends are taken from what a fetch says (`streams/admin.py`, `streams/reader.py`)",
    ),
    "a_group_can_be_asked_by_the_admin_api": Deviation(
        "the connection closes when a group's offsets are asked for as admin clients do",
        "committed offsets are asked for as a member would that never joins",
    ),
    "who_reads_is_seen_from_outside": Deviation(
        "an unknown error when a group's members are asked for", "`leap status` does not say who reads"
    ),
    "a_note_is_kept_beside_a_committed_offset": Deviation(
        "the metadata of a commit is accepted and forgotten",
        "if intake dies while waiting records are tried again, one that becomes known just then may not count",
    ),
    "an_offset_that_is_gone_leads_to_the_first_one": Deviation(
        "a fetch beyond the end is not answered with an error",
        "a reader that is ahead of a broker that was emptied waits; there everything starts empty together",
    ),
    "a_fetch_is_answered_as_soon_as_there_is_something": Deviation(
        "a fetch that waits is looked at again only when half of its wait is over",
        "fetches wait 0.02 s there instead of 0.5 s",
    ),
    "the_broker_says_when_it_took_a_source_record": Deviation(
        "`message.timestamp.type=LogAppendTime` is accepted and not heeded",
        "a source's own time stamps judge what is early: for a demo good enough",
    ),
    "a_compacted_topic_takes_no_record_without_a_key": Deviation(
        "a record without a key is taken", "nothing of ours writes one, and recovery refuses one"
    ),
    "a_record_beyond_the_largest_size_is_refused": Deviation(
        "`max.message.bytes` is not heeded", "only the producer's own limit holds"
    ),
}
"""By the name of the contract test in ``tests/contract/test_brokers.py``, without ``test_``."""
