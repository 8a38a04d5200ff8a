"""The command ``leap``. Each command is a file in :mod:`leap.commands`, imported only when it is called."""

import logging
import sys

from cyclopts import App, CycloptsError, Group, Parameter

from leap import __version__
from leap.errors import INTERRUPTED, OK, USAGE, CommandError
from leap.terminal import err

HELP = """\
LEAP engagement stream: turns student activity into daily engagement ratings and alerts for a person to review.

A rating decides nothing: it tells a person where to look.

New here? `leap demo` shows all of it on this machine, with real anonymised data.
"""

EXIT_CODES = """\
Exit codes: 0 done; 1 a check failed; 2 wrong usage; 69 Kafka or Redis is unreachable (the message has the address); \
70, 75 a worker ended itself (its supervisor starts it again); 78 settings, policy, topics,\
 credentials or rights are wrong.

Settings come from the environment (LEAP_KAFKA, LEAP_REDIS, ...) or from a file named by LEAP_ENV_FILE:
see docs/settings.md.
"""

COMMANDS = {
    "Try it": {
        "demo": "Play two weeks of a real course through the whole pipeline.",
        "up": "Start everything on this machine, with the real clock.",
    },
    "Look": {
        "show": "Show what is known of a student, and what explains it.",
        "status": "Show how far each role is, and how fresh each source.",
    },
    "Run": {
        "worker": "Run one role, or all of them.",
        "gateway": "Take records over HTTP.",
        "topics": "Make the topics, or check them.",
        "acls": "Give Kafka's users their rights, or check them.",
        "identities": "Say which student has which key at a source.",
        "sources": "Pause a source, and let it go on.",
        "dead-letters": "List records that could not be used, and send them again.",
        "ingest": "Send a source system's export file, and say what is in it.",
        "timetable": "Load teaching events, or cancel them.",
        "replay": "Send a file's rows to a source topic.",
        "rebuild": "Write Redis again from Kafka.",
        "parity": "Check that Redis and Kafka agree.",
    },
    "Develop": {
        "schemas": "Write what is made from the code: schemas, pages.",
        "bench": "Measure throughput and latency on this machine.",
        "chaos": "Let faults strike, and check what is left.",
        "load": "Send events at a rate and measure what becomes of them.",
    },
}
"""Every command by what it is for. The summaries stand here so that listing them need not import them all."""


def build(*, listing: bool) -> App:
    """Return the command line. ``listing``: no command is named, so summaries do instead of the commands' own help."""
    app = App(
        name="leap",
        help=HELP,
        help_epilogue=EXIT_CODES,
        help_format="markdown",
        version=__version__,
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for number, (purpose, commands) in enumerate(COMMANDS.items()):
        group = Group(purpose, sort_key=number)
        for name, summary in commands.items():
            own = {"help": summary} if listing else {}
            module = name.replace("-", "_")
            app.command(f"leap.commands.{module}:{module}", name=name, group=group, **own)
    return app


def run(tokens: list[str]) -> int:
    """Run one command line; returns the exit code."""
    # Until a command says otherwise, no library writes to the terminal.
    logging.getLogger().addHandler(logging.NullHandler())
    names = {name for commands in COMMANDS.values() for name in commands}
    try:
        return build(listing=names.isdisjoint(tokens))(tokens) or OK
    except CycloptsError:  # already said to the user
        return USAGE
    except CommandError as error:
        err.print(f"[red]leap:[/] {_escaped(error)}", soft_wrap=True)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        return OK


def _escaped(error: CommandError) -> str:
    return str(error).replace("[", r"\[")


def main() -> None:
    """Entry point of the command line."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
