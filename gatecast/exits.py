"""Exit codes of the command line (they do not depend on `-o`), and the errors that stand for them."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any

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


class Answered(Refused):
    """A server refused, in its own words: `code` is stable, `details` are JSON."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.details = status, code, details


class Away(Unavailable):
    """A server cannot answer now, and says why: as `Answered`, for a status of 5xx."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.details = status, code, details


STATUSES: Mapping[int, Exit] = MappingProxyType(
    {
        401: Exit.ACCESS,
        403: Exit.ACCESS,
        404: Exit.NOT_FOUND,
        409: Exit.CONFLICT,
        412: Exit.CONFLICT,
        428: Exit.CONFLICT,
    }
)
"""What a status of HTTP comes to; any other is an error, 5xx are `Away`."""

TABLE: tuple[tuple[type[Exception], Exit], ...] = (
    (Usage, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNREACHABLE),
    (TimeoutError, Exit.TIMED_OUT),
)


def exit_of(error: Exception) -> Exit:
    """The exit code an error stands for."""
    status = getattr(error, "status", 0)  # of `Answered`, and of `kong_sync.answers.KongRefused`
    if isinstance(error, Refused) and status:
        return STATUSES.get(status, Exit.ERROR)
    return next((code for kind, code in TABLE if isinstance(error, kind)), Exit.ERROR)
