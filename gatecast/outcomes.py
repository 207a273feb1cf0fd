"""What comes of changes and of sources: the values that `gatecast.ledger` answers with."""

from dataclasses import dataclass

from gatecast.resource_diffs import ResourceChange
from tenants.documents import Key
from tenants.errors import Problem, Refused
from tenants.store import Answer, Change, KeptOut


class Invalid(Refused):
    """A document would have an error, so nothing was written. `problems` has what is wrong, warnings too."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        errors = [one for one in problems if one.severity == "error"]
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        super().__init__(f"nothing was written: {errors[0]}{more}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change came to. `revision` is the newest one, also where nothing was `made`.

    `problems`: warnings, and for a dry run the errors that would refuse it. `resources`: what proxies would be sent; of
    dry runs alone. `pinned`: names that files and registries may not write from now on; `pins`: how many names were
    unpinned. With `replayed`, `answer` is that to the first request with the same Idempotency-Key, and nothing else
    counts.
    """

    revision: int
    made: bool = False
    changes: tuple[Change, ...] = ()
    kept_out: tuple[KeptOut, ...] = ()
    problems: tuple[Problem, ...] = ()
    resources: tuple[ResourceChange, ...] | None = None
    answer: Answer | None = None
    replayed: bool = False
    pins: int = 0
    pinned: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceState:
    """How an automatic source does. Times are seconds since the epoch; None: never, or nobody knows.

    `kept_out`: how many of its documents it may not write, because they are pinned, or another's.
    """

    name: str
    kind: str
    last_success: float | None = None
    last_error: str = ""
    documents: int = 0
    next: float | None = None
    kept_out: int = 0


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync came to."""

    revision: int
    sources: tuple[SourceState, ...]
