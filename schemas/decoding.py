"""JSON decoders that fail in one way only.

A decoder of msgspec also raises RecursionError (a value nested ten thousand deep), UnicodeDecodeError and TypeError (no
value at all). What ends a process must not depend on what somebody writes into a record.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")


def only_decode_errors(decode: Callable[[Any], _T]) -> Callable[[bytes | None], _T]:
    """Return a decoder that raises msgspec.DecodeError (ValidationError is one) and nothing else."""

    def decode_or_say_why(raw: bytes | None) -> _T:
        try:
            return decode(raw)
        except RecursionError:
            reason = "nested too deeply"
        except UnicodeDecodeError:
            reason = "not UTF-8"
        except TypeError:
            reason = "no value"
        # Not from within: the first error holds the record.
        raise msgspec.DecodeError(reason)

    return decode_or_say_why


def decoder(kind: type[_T]) -> Callable[[bytes | None], _T]:
    """Return the decoder of a type."""
    return only_decode_errors(msgspec.json.Decoder(kind).decode)
