"""Versions: one 63-bit number that orders everything a student-log record caused.

``version = epoch << 48 | offset`` of the record of the student log that was the cause. Within a partition (and so for
one student) versions only rise; consumers and Redis compare versions and nothing else. The epoch rises when topics
are made anew or repartitioned, because offsets then start again at 0.

>>> version(1, 42)
281474976710698
>>> offset_of(version(1, 42)), epoch_of(version(1, 42))
(42, 1)
"""

EPOCH_SHIFT = 48
OFFSET_MASK = (1 << EPOCH_SHIFT) - 1
MAX_EPOCH = (1 << 15) - 1
MAX_VERSION = MAX_EPOCH << EPOCH_SHIFT | OFFSET_MASK


def version(epoch: int, offset: int) -> int:
    """Return the version of what the log record at ``offset`` caused.

    Raises:
        ValueError: the epoch is not in 0 .. 32767 or the offset not in 0 .. 2**48 - 1.
    """
    if not 0 <= epoch <= MAX_EPOCH or not 0 <= offset <= OFFSET_MASK:
        msg = f"version out of range: epoch {epoch}, offset {offset}"
        raise ValueError(msg)
    return epoch << EPOCH_SHIFT | offset


def offset_of(value: int) -> int:
    """Return the log offset in a version."""
    return value & OFFSET_MASK


def epoch_of(value: int) -> int:
    """Return the epoch in a version."""
    return value >> EPOCH_SHIFT
