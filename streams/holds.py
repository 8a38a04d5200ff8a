"""Topics of which a role deals with no batch for now: what is read of them waits, and no more is fetched.

Nothing that waits is acknowledged, so positions stay where they are; the other topics go on.
"""

import asyncio


class Holds:
    """The topics that are held. Said by the role's own code, heeded by :class:`streams.role.Streaming`."""

    def __init__(self) -> None:
        """Begin without any."""
        self._held: set[str] = set()
        self._ajar: set[str] = set()
        self._changed = asyncio.Event()

    def __contains__(self, topic: object) -> bool:
        """Say whether a topic is held."""
        return topic in self._held

    def hold(self, topic: str) -> None:
        """Let no further batch of a topic go; one in hand ends."""
        self._held.add(topic)
        self._ajar.discard(topic)

    def let_one(self, topic: str) -> None:
        """Let one batch of a held topic go: one that waits, or the next that comes."""
        if topic in self._held:
            self._ajar.add(topic)
            self.look_again()

    def release(self, topic: str) -> None:
        """Let every batch of a topic go again."""
        self._held.discard(topic)
        self._ajar.discard(topic)
        self.look_again()

    def fetched(self, topic: str) -> bool:
        """Say whether more of a topic is to be fetched."""
        return topic not in self._held or topic in self._ajar

    def passes(self, topic: str) -> bool:
        """Say whether a batch may go now; whoever was told so must deal with it."""
        if topic not in self._held:
            return True
        if topic in self._ajar:
            self._ajar.discard(topic)
            return True
        return False

    def look_again(self) -> None:
        """Wake whoever waits in :meth:`changed`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait until there is a reason to look again."""
        await self._changed.wait()
