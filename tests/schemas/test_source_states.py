"""What stands on `leap.source-states` is a source's state, or is refused without being quoted."""

import pytest

from schemas.source_states import SourceState, SourceStateError, encode, read

STATE = SourceState(1, "paused", "breaker", 1_791_194_400.5, 73, 100)


def test_a_state_is_read_as_it_was_written() -> None:
    assert read(b"moodle", encode(STATE)) == ("moodle", STATE)
    assert read(b"moodle", None) == ("moodle", None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode(STATE)),
        (b"", encode(STATE)),
        (b"\xff", encode(STATE)),
        (b"moodle", b""),
        (b"moodle", b"[" * 100_000),
        (b"moodle", encode(STATE) + b" " * 1024),
        (b"moodle", b'{"version":2,"state":"paused","by":"breaker","since":1}'),
        (b"moodle", b'{"version":1,"state":"secret","by":"breaker","since":1}'),
        (b"moodle", b'{"version":1,"state":"paused","by":"secret","since":1}'),
        (b"moodle", b'{"version":1,"state":"paused","by":"breaker","since":"secret"}'),
        (b"moodle", b'{"version":1,"state":"paused","by":"breaker","since":1,"of":-1}'),
    ],
)
def test_what_is_none_is_refused_without_a_word_of_it(key: bytes | None, value: bytes) -> None:
    with pytest.raises(SourceStateError) as error:
        read(key, value)

    assert "secret" not in str(error.value)
