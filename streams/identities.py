"""Who it was, as every intake process knows it: the claims of ``leap.identities``, looked up by the day of the event.

Cards and accounts are given to somebody else in time, so an event counts for whoever held the key on its day, not for
who holds it now.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from schemas import identities
from schemas.identities import Claim, IdentityError, Terms
from streams import metrics
from streams.admin import Offsets
from streams.identity_table import FOR_EVER, SINCE_EVER, Found, IdentityTable
from streams.reader import consumer, follow, read_to_end
from streams.settings import Settings
from windows.civil import CivilDays, number_of

_AT_ONCE = 2_000
_LOOK_EVERY = 0.05


class Hashing:
    """The keyed hashes of sources' own keys: under today's key, and under the one before, if it still counts."""

    def __init__(self, settings: Settings) -> None:
        """Take the keys of the settings."""
        secrets = (settings.identity_key, settings.identity_key_before)
        self._keyed = [
            hashlib.blake2b(key=hashlib.sha256(secret.get_secret_value().encode()).digest(), digest_size=8)
            for secret in secrets
            if secret is not None
        ]

    def of(self, source: str, person: str) -> list[int]:
        """Return a key's hashes, today's first. Blanks around it and upper or lower case make no other key."""
        text = f"{source}\0{person.strip().casefold()}".encode("utf-8", "surrogatepass")
        found = []
        for keyed in self._keyed:
            digest = keyed.copy()
            digest.update(text)
            found.append(int.from_bytes(digest.digest(), "big"))
        return found


class IdentityView:
    """The claims, kept up to date; empty before :meth:`start` returns."""

    def __init__(self, settings: Settings, days: CivilDays) -> None:
        """Prepare; nothing is connected yet."""
        self._topic = settings.topics.identities.name
        self._days = days
        self._hashing = Hashing(settings)
        self._kafka = consumer(settings, "identities")
        self._offsets = Offsets(settings, "identities")
        self._partitions: list[TopicPartition] = []
        self._taking = False
        self.table = IdentityTable()
        self.changes = 0
        """How many records have been taken up: whoever waits for an identity looks again when it rises."""

    async def start(self, progress: Callable[[], None]) -> None:
        """Connect and read what there is; ``progress`` is called all the while (millions of claims take minutes)."""
        await self._offsets.start()
        await self._kafka.start()
        self._partitions = await self._offsets.partitions([self._topic])
        async for _, records in read_to_end(self._kafka, self._partitions):
            progress()
            await self._take(records)
        self.table.merge()

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()
        await self._offsets.stop()

    async def follow(self) -> None:
        """Take up what comes, for ever."""
        await follow(self._kafka, self._take)

    async def catch_up(self) -> None:
        """Wait until everything that is on the topic by now has been taken up; :meth:`follow` must be running."""
        ends = await self._offsets.ends(self._partitions)
        # A partition may end behind its last record, so what counts is where the consumer stands.
        while self._taking or any([await self._kafka.position(tp) < end for tp, end in ends.items()]):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)

    async def _take(self, records: Sequence[Any]) -> None:
        self._taking = True
        for start in range(0, len(records), _AT_ONCE):
            for record in records[start : start + _AT_ONCE]:
                self.take(record.key, record.value)
            await asyncio.sleep(0)
        self._taking = False
        metrics.identities.set(len(self.table))

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take up one record. What is no claim changes nothing; the waiting room says so."""
        try:
            claim, terms = identities.read(key, value)
        except IdentityError:
            return
        self.changes += 1
        hold(self.table, claim, terms)

    def refusal(self, key: bytes | None, value: bytes | None) -> str | None:
        """Return why a record that has been taken up does not hold, or not on all its days; None if it does."""
        try:
            claim, terms = identities.read(key, value)
        except IdentityError as error:
            return str(error)
        return REFUSED if terms is not None and contested(self.table, claim, terms) else None

    def look_up(self, source: str, seen: Sequence[tuple[str, float]]) -> list[bytes | None]:
        """Return who held each key at the time of its event; None where nobody did, as far as is known."""
        if not seen:
            return []
        days = self._days.days_of(np.array([at for _, at in seen], np.float64))
        hashes = np.array([self._hashing.of(source, person) for person, _ in seen], np.uint64)
        found = self.table.find(hashes[:, 0], days)
        for column in range(1, hashes.shape[1]):
            found = self._older(found, self.table.find(hashes[:, column], days))
        students = self.table.students
        return [None if index < 0 else students[index] for index in found.student.tolist()]

    def _older(self, one: Found, other: Found) -> Found:
        """Return, key by key, the older claim: a key is the same one under either hash."""
        nobody, somebody = one.student < 0, other.student >= 0
        take = somebody & (nobody | (other.claimed < one.claimed))
        for i in np.flatnonzero(somebody & ~nobody & (other.claimed == one.claimed)):
            take[i] = self.table.students[other.student[i]] < self.table.students[one.student[i]]
        return Found(np.where(take, other.student, one.student), np.where(take, other.claimed, one.claimed))


REFUSED = "claim: on some of its days an older claim of another student has this key"


def hold(table: IdentityTable, claim: Claim, terms: Terms | None) -> None:
    """Put a claim into a table, or take it out if it is withdrawn (no terms)."""
    student, (first, last) = claim.student.encode(), days_of(claim.first, terms.last if terms else None)
    if terms is None:
        table.drop(claim.hash, student, first)
    else:
        table.put(claim.hash, student, first, last, terms.claimed)


def contested(table: IdentityTable, claim: Claim, terms: Terms) -> bool:
    """Say whether an older claim of another student stands against one."""
    return table.rival(claim.hash, claim.student.encode(), *days_of(claim.first, terms.last), terms.claimed)


def days_of(first: date | None, last: date | None) -> tuple[int, int]:
    """Return the days of a claim as a table has them."""
    return SINCE_EVER if first is None else number_of(first), FOR_EVER if last is None else number_of(last)
