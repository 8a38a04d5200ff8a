"""Whether sources run or are paused (``leap.source-states``, compacted, keyed by the source's name).

The last record of a source says it; a source without one runs.
"""

from typing import Annotated, Literal

import msgspec

from schemas.decoding import decoder
from schemas.log import Seconds
from schemas.reasons import why

VERSION = 1
_LARGEST = 1024

Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 47)]


class SourceStateError(ValueError):
    """A record is no state of a source; the message says why, without quoting it."""


class SourceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a source does now, since when (seconds since 1970), and who said so.

    ``unusable`` of ``of`` records: what the breaker judged by. A source that is paused again keeps its ``since``.
    """

    version: int
    state: Literal["paused", "running"]
    by: Literal["breaker", "operator"]
    since: Seconds
    unusable: Number = 0
    of: Number = 0


encode = msgspec.json.Encoder().encode
"""A state to a record's value."""

_decode = decoder(SourceState)


def read(key: bytes | None, value: bytes | None) -> tuple[str, SourceState | None]:
    """Return what a record says: a source's name and its state, or None: nothing is known of it, so it runs.

    Raises:
        SourceStateError: it cannot be used.
    """
    try:
        source = (key or b"").decode()
    except UnicodeDecodeError:
        source = ""
    if not source:
        raise SourceStateError("key: not the name of a source")
    if value is None:
        return source, None
    if len(value) > _LARGEST:
        raise SourceStateError(f"value of {len(value)} bytes: at most {_LARGEST}")
    try:
        state = _decode(value)
    except msgspec.DecodeError as error:
        raise SourceStateError(why(error)) from None
    if state.version != VERSION:
        raise SourceStateError("version: not known to this release")
    return source, state
