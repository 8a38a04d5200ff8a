"""Logging: JSON lines on standard error, or readable ones on a terminal.

No record carries a student or a record's content.
"""

import logging
import math
import sys

import structlog

# Local variables would carry students and whole records into the log.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_LIBRARIES = ("faust", "mode", "aiokafka", "streams.record_batches")
"""Loggers of libraries. The last one is where mode logs what our subclass of Faust's consumer does."""

_APART = 10.0
"""Seconds between two lines of a library that say the same."""


class Repeats(logging.Filter):
    """Leaves out what a library says again and again, and says later how often.

    While the broker is away aiokafka says some 40 lines a second in every role that sends, and whatever else a log of
    that hour has to tell is not found among them.
    """

    def __init__(self) -> None:
        """Begin without having heard anything."""
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        """When each message (of a logger, without its arguments) was let through, and how many since were not."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written: all of ours, and of a library's that say the same one in ten seconds."""
        if not record.name.startswith(_LIBRARIES):
            return True
        message = record.name, str(record.msg)
        said, left_out = self._said.get(message, (-math.inf, 0))
        if record.created - said < _APART:
            self._said[message] = said, left_out + 1
            return False
        self._said[message] = record.created, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} times before)", ()
        return True


def set_up(level: str = "INFO") -> None:
    """Send everything (ours, Faust's, aiokafka's) through one handler."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tracebacks if not sys.stderr.isatty() else structlog.dev.set_exc_info,
    ]
    # On a terminal tracebacks come without local variables, too.
    last = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
