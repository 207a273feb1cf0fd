"""What can go wrong with a call, switched on for the k-th call from now. Used by tests through `Double.faults`.

double.faults.on(3, Fault(status=500))                       the third write fails, nothing was done
double.faults.on(1, Fault(cut=True, done=True))              done, and the connection is cut: nobody knows
double.faults.on(2, Fault(delay=5.0), methods=EVERY)         the second call of any kind is slow
"""

from collections.abc import Set
from dataclasses import dataclass, field

from kong_double import refusals
from kong_double.wire import Headers, Request, Response, as_json

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
EVERY = WRITES | {"GET", "HEAD"}
SAID = {
    409: refusals.taken({}).body,
    429: {"message": "Currently loading previous configuration"},
    500: {"message": "An unexpected error occurred"},
}
"""What Kong says with a status; anything else is a page of a proxy in front of it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`done`: the request is carried out all the same. `cut`: no answer. `status` 0: the true answer. Seconds."""

    status: int = 0
    headers: Headers = ()
    delay: float = 0.0
    cut: bool = False
    done: bool = False

    def answer(self, true: Response | None) -> Response | None:
        """What is told; None cuts the connection."""
        if self.cut:
            return None
        if not self.status:
            return true
        if self.status in SAID:
            return as_json(self.status, SAID[self.status], *self.headers)
        page = f"<html><head><title>{self.status}</title></head><body>nginx</body></html>"
        return Response(self.status, (("Content-Type", "text/html"), *self.headers), page.encode())

    @property
    def carried_out(self) -> bool:
        return self.done or not (self.status or self.cut)


@dataclass
class _Armed:
    left: int
    times: int
    methods: Set[str]
    fault: Fault


@dataclass(eq=False)
class Faults:
    """`hit` counts those that came to pass."""

    hit: int = 0
    _armed: list[_Armed] = field(default_factory=list)

    def on(self, call: int, fault: Fault, *, methods: Set[str] = WRITES, times: int = 1) -> None:
        """The `call`-th call from now with one of these methods, and the `times - 1` after it."""
        self._armed.append(_Armed(call, times, methods, fault))

    def clear(self) -> None:
        self._armed.clear()

    def next(self, request: Request) -> Fault:
        """What happens to this call."""
        found = Fault()
        for one in self._armed:
            if request.method not in one.methods:
                continue
            one.left -= 1
            if one.left <= 0 and one.times > 0:
                one.times -= 1
                self.hit += 1
                found = one.fault
        return found
