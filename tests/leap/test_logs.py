"""What is left out of the log."""

import logging

from leap.logs import Repeats, set_up


def _line(name: str, at: float, message: str = "node %s is away", *args: object) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, "", 0, message, args or (1,), None)
    record.created = at
    return record


def test_a_library_that_repeats_itself_is_heard_once_in_ten_seconds() -> None:
    repeats = Repeats()
    lines = [_line("aiokafka.client", 1000.0 + 0.1 * i) for i in range(250)]

    written = [line for line in lines if repeats.filter(line)]

    assert [line.created for line in written] == [1000.0, 1010.0, 1020.0]
    assert [line.getMessage() for line in written] == [
        "node 1 is away",
        "node 1 is away (and 99 times before)",
        "node 1 is away (and 99 times before)",
    ]


def test_other_messages_and_other_loggers_are_heard() -> None:
    repeats = Repeats()

    assert repeats.filter(_line("aiokafka.client", 0.0))
    assert repeats.filter(_line("aiokafka.client", 0.0, "group %s is full"))
    assert repeats.filter(_line("aiokafka.producer", 0.0))
    assert not repeats.filter(_line("aiokafka.client", 0.0))


def test_our_own_lines_are_all_written() -> None:
    repeats = Repeats()

    assert all(repeats.filter(_line("streams.intake", 0.0)) for _ in range(3))


def test_what_is_set_up_leaves_repeats_out() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up("WARNING")
        assert [type(left_out) for handler in root.handlers for left_out in handler.filters] == [Repeats]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
