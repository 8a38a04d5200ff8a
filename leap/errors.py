"""What a command tells its user when it cannot do its work: a message with place and reason, and an exit code."""

import os

OK = os.EX_OK
CHECK_FAILED = 1
USAGE = 2
UNREACHABLE = os.EX_UNAVAILABLE
SOFTWARE = os.EX_SOFTWARE
CONFIG = os.EX_CONFIG
INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; ``code`` becomes the process's exit code and nobody sees a traceback."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        """Take the message for the user and the exit code."""
        super().__init__(message)
        self.code = code
