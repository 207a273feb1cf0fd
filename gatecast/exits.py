"""Exit codes of the command line (they do not depend on `-o`), and the errors that stand for them."""

from enum import IntEnum

from tenants.errors import Refused, Unavailable


class Exit(IntEnum):
    """What a script may rely on."""

    FINE = 0
    ERROR = 1
    USAGE = 2
    FINDINGS = 3
    NOT_FOUND = 4
    CONFLICT = 5
    ACCESS = 6
    UNREACHABLE = 7
    TIMED_OUT = 8


class Usage(Refused):
    """The process was told something wrong: by a flag, a variable of the environment, or its configuration file."""


class NotFound(Refused):
    """What was asked for does not exist."""


class Conflict(Refused):
    """What was asked for is not clear, or not possible beside what there is."""


TABLE: tuple[tuple[type[Exception], Exit], ...] = (
    (Usage, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNREACHABLE),
    (TimeoutError, Exit.TIMED_OUT),
)


def exit_of(error: Exception) -> Exit:
    """The exit code an error stands for."""
    return next((code for kind, code in TABLE if isinstance(error, kind)), Exit.ERROR)
