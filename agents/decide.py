"""Engagement's decisions: from the student log's records to days, ratings, alerts and the state's rows.

No I/O, no clock.

:func:`decide` works a batch out on copies of a partition's columns (:class:`Draft`). Its ``effects`` are what to send,
and its ``commit()`` puts the rows back once that is delivered. Same log and same policies give the same days, ratings,
alerts and state, whatever the batch cuts: a batch is counted at once, and only the rows whose rating changes or whose
closed days are restated are worked out again record by record.
"""

from collections.abc import Iterable
from datetime import date
from itertools import groupby

from agents import closing, counting, enrolment, retraction
from agents.draft import Draft
from agents.items import Item, Items
from agents.partition import Partition, PolicyMismatchError
from schemas import log
from windows.civil import FIRST, LAST, number_of
from windows.daily import OPEN_DAYS

_MOST_STALE = 256
"""Feeds that can be stale at the same time, in the partition's one row."""


def decide(partition: Partition, batch: Items) -> Draft:
    """Work a batch out. Nothing of the partition changes before the draft's ``commit``.

    Raises:
        PolicyMismatchError: a close names a policy that is not ours.
    """
    draft = Draft(partition, batch)
    start = 0
    for kind, n in _runs(draft):
        stop = start + n
        if kind is log.ActivityRecord:
            counting.count(draft, slice(start, stop))
        elif kind is log.Retraction:
            for i in range(start, stop):
                retraction.take_back(draft, i)
        elif kind is log.StudentRecord:
            enrolment.enrol(draft, slice(start, stop))
        else:
            for item in draft.batch.singly(slice(start, stop)):
                _control(draft, item)
        start = stop
    draft.write_changelog()
    return draft


def _runs(draft: Draft) -> Iterable[tuple[type, int]]:
    """Return the runs of records of one kind, in order."""
    if len(draft.batch.kinds) == 1:
        return [(type(draft.records[0]), len(draft.records))]
    return [(kind, len(list(same))) for kind, same in groupby(map(type, draft.records))]


def _control(draft: Draft, item: Item) -> None:
    record = item.record
    if isinstance(record, log.FeedState):
        if record.state == "fresh":
            draft.meta.stale.pop(record.feed, None)
        elif record.feed in draft.meta.stale or len(draft.meta.stale) < _MOST_STALE:
            # Not later than the broker's clock: a feed that turns stale in years would hold alerts until then.
            since = min(record.recorded_at, item.appended)
            draft.meta.stale.setdefault(record.feed, draft.context.civil.day_of(since))
        else:
            draft.reject(item.offset, f"feed: {_MOST_STALE} are stale already")
    elif isinstance(record, log.DayClosed):
        day = _day_number(record.day)
        if day is None:
            draft.reject(item.offset, "day: there is no such day")
            return
        if day <= draft.meta.anchor or item.appended < draft.context.civil.end_of(day):
            return
        if day - draft.meta.anchor > closing.MOST_DAYS:
            draft.reject(item.offset, closing.TOO_FAR.format("day"))
            return
        ours = draft.rules.policy(day)
        if (record.policy, record.checksum) != (ours.version, ours.checksum):
            msg = (
                f"the close of {record.day} was written under policy {record.policy} ({record.checksum}); "
                f"this worker would use {ours.version} ({ours.checksum}): give all processes the same policy files"
            )
            raise PolicyMismatchError(msg)
        closing.close_through(
            draft, day, cause="clock", offset=item.offset, at=record.recorded_at, behind=record.behind
        )


def _day_number(iso: str) -> int | None:
    """Return a close's day; None if the calendar has no such day, or none that could close."""
    try:
        day = number_of(date.fromisoformat(iso))
    except ValueError:
        return None
    return day if FIRST <= day < LAST - OPEN_DAYS - 1 else None
