"""Logging: JSON lines on standard error, or readable ones on a terminal.

No record carries a student or a record's content.
"""

import logging
import sys

import structlog

# Local variables would carry students and whole records into the log.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The last one is where mode logs what our subclass of Faust's consumer does.
    for chatty in ("faust", "mode", "aiokafka", "streams.record_batches"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
