"""The errors of the HTTP API: a status and a stable code each. `gatecast.answers` gives them their body.

Routes raise `Error`, or let errors of the floors below rise: a row of `ERRORS` says what those come to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from gatecast.admission import Busy
from tenants.errors import GatecastError, Problem, Refused, Unavailable
from tenants.store import Defect, Doubtful, Foreign, Full, KeyReused, NotFound, Stale, StillRunning

CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "bad_request",
        404: "not_found",
        405: "method_not_allowed",
        409: "conflict",
        413: "too_large",
        415: "unsupported_media_type",
        422: "invalid_parameter",
        500: "internal",
        503: "unavailable",
    }
)
"""The code of a status for which nothing says a more exact one."""


@dataclass(frozen=True, slots=True)
class Fail:
    """What an error comes to over HTTP."""

    status: int
    code: str
    message: str
    details: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class Error(Refused):
    """A route refuses: with this status and code."""

    def __init__(
        self, status: int, code: str, message: str, details: Sequence[Mapping[str, Any]] = (), **headers: str
    ) -> None:
        super().__init__(message)
        self.fail = Fail(status, code, message, details, {name.replace("_", "-"): one for name, one in headers.items()})


LATER = {"retry-after": "1"}
ERRORS: tuple[tuple[type[GatecastError], int, str, Mapping[str, str]], ...] = (
    (NotFound, 404, "not_found", {}),
    (Foreign, 409, "foreign", {}),
    (KeyReused, 422, "idempotency_key_reused", {}),
    (StillRunning, 409, "still_running", LATER),
    (Busy, 429, "busy", LATER),
    (Full, 507, "store_full", {}),
    (Doubtful, 503, "doubtful", {}),
    (Unavailable, 503, "unavailable", LATER),
    (Defect, 500, "internal", {}),
    (Refused, 422, "refused", {}),
    (GatecastError, 500, "internal", {}),
)
"""By type, the most special first. `Stale` and refused documents have more to say: `of_error`."""

MESSAGES: Mapping[str, str] = MappingProxyType({"internal": "this is a defect of gatecast; its log has more"})


def of_error(error: GatecastError) -> Fail:
    """What an error of the floors below comes to."""
    if isinstance(error, Error):
        return error.fail
    if isinstance(error, Stale):
        return _stale(error)
    if problems := getattr(error, "problems", ()):
        return Fail(422, "invalid_documents", str(error), problem_details(problems))
    status, code, headers = next(row[1:] for row in ERRORS if isinstance(error, row[0]))
    return Fail(status, code, MESSAGES.get(code, str(error)), headers=headers)


def problem_details(problems: Sequence[Problem]) -> tuple[dict[str, Any], ...]:
    """Problems as the details of an error; those that let nothing in first."""
    ordered = sorted(problems, key=lambda one: one.severity != "error")
    return tuple(asdict(one) for one in ordered[:100])


def _stale(error: Stale) -> Fail:
    details = ({"expected": error.expected, "current": error.current},)
    if error.key is None:
        return Fail(409, "stale_revision", str(error), details)
    current = {} if error.current == "absent" else {"etag": f'"{error.current}"'}
    return Fail(412, "stale", str(error), details, current)
