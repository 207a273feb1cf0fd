"""Decides what comes into force when documents change. Pure; called by `Catalog.apply`.

It begins with the hope that everything wanted comes into force at once, so that changes that need each other (two
tenants that swap hosts, a route and the service it needs) are accepted together whatever their order. Then it checks
every document that changed or waits or depends on one that did; what fails goes back to its last good version, and what
that hurts is checked again. Nothing goes back twice in a round, so it ends. What still waits for something that moved
gets another round; beyond the second, only if the last one brought something into force, so that ends too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from immutables import Map

from tenants.checks import GATEWAYS, Finding, Token, check, contested
from tenants.documents import Document, Gateway, Key, Organisation, Route, Service
from tenants.errors import Problem
from tenants.faults import Fault
from tenants.index import Books, targets
from tenants.reading import Given
from tenants.references import exclusive, local_endpoint
from tenants.served import SHELVES, Served

_RANK = {kind: rank for rank, kind in enumerate(SHELVES)}
_BESIDE, _CONTESTED = 0, 1  # the two passes: rules beside others, then what only one can have


@dataclass(frozen=True, slots=True)
class Settled:
    """What is in force now, the books, the names whose document differs from before, and the number of checks."""

    now: Served
    books: Books
    changed: frozenset[Key]
    checked: int


def settle(before: Served, books: Books, dirty: frozenset[Key]) -> Settled:
    """Bring into force what can be."""
    now = Served(before.gateways, before.services, before.organisations, before.routes, before.tenants)
    moved: set[Key] = set()
    checked, first = 0, True
    while dirty:
        one = _Round(now, books)
        one.run(dirty)
        changed = {key for key in one.group if now.get(key) != one.now.get(key)}
        dirty = one.woken(changed | one.back if first else changed)
        now, books, checked, first = one.now, one.books, checked + one.checked, False
        moved |= changed
    return Settled(now, books, frozenset(key for key in moved if before.get(key) != now.get(key)), checked)


def shape(gateway: Gateway | None) -> object:
    """The part of a gateway its tenants' settings depend on."""
    return gateway and (gateway.tenant, gateway.tenants, gateway.organisations, gateway.policies)


@dataclass(slots=True)
class _Round:
    """One round. It owns its fields until `run` is done; `now` and `before` are what the rules look at."""

    before: Served
    books: Books
    now: Served = field(init=False)
    group: set[Key] = field(default_factory=set)
    back: set[Key] = field(default_factory=set)
    last: dict[Key, Given | None] = field(default_factory=dict)
    findings: dict[Key, dict[int, tuple[Finding, ...]]] = field(default_factory=dict)
    queue: list[tuple[int, int, Key]] = field(default_factory=list)
    queued: set[tuple[int, Key]] = field(default_factory=set)
    checked: int = 0

    def __post_init__(self) -> None:
        self.now = self.before

    def holders(self, token: str) -> tuple[Key, ...]:
        """Who claims this, in order."""
        return tuple(sorted(self.books.holders.get(token, ())))

    def run(self, dirty: Iterable[Key]) -> None:
        """Hope, check, go back, and write down what came of it."""
        self.group = self._reach(dirty)
        for key in sorted(self.group):
            entry = self.books.entry(key)
            self.last[key] = entry.served
            self._put(key, entry.wanted)
        for key in self.group:
            self._ask(key)
        while self.queue:
            step, _rank, key = heappop(self.queue)
            self.queued.discard((step, key))
            if key not in self.back:
                self._look(step, key)
        for key in sorted(self.group):
            self._write(key)

    def woken(self, moved: set[Key]) -> frozenset[Key]:
        """Who waits for something that moved and has not come into force."""
        tokens: set[Token] = set()
        for key in moved:
            old, new = self.before.get(key), self.now.get(key)
            tokens |= {key} if old != new else set()
            for document in (old, _document(self.books.entry(key).wanted)):
                tokens |= _given_up(document, new)
        tokens |= {GATEWAYS} if any(key.kind == "Gateway" for key in moved) else set()
        waiting = {
            key for token in tokens for key in self.books.waiters.get(token, ()) if key not in moved or token != key
        }
        return frozenset(key for key in waiting if key not in self.group or self._unsettled(key))

    def _unsettled(self, key: Key) -> bool:
        entry = self.books.entry(key)
        return bool(self.books.flawed.get(key)) and not (entry.claims and entry.claims[0].given is None)

    def _reach(self, dirty: Iterable[Key]) -> set[Key]:
        """The documents to look at: those spoken about, and whoever waits for or depends on what they would change."""
        reached: set[Key] = set()
        stack = list(dirty)
        while stack:
            key = stack.pop()
            if key in reached:
                continue
            reached.add(key)
            old, new = self.before.get(key), _document(self.books.entry(key).wanted)
            if old != new:
                stack += self._affected(key, old, new)
        return reached

    def _affected(self, key: Key, old: Document | None, new: Document | None) -> Iterator[Key]:
        tokens: set[Token] = {key}
        tokens |= set(exclusive(old) if old else ()) ^ set(exclusive(new) if new else ())
        yield from (other for other in targets(old) - targets(new) if not self.books.entry(other).claims)
        if key.kind == "Gateway":
            tokens.add(GATEWAYS)
        for token in tokens:
            yield from self.books.waiters.get(token, ())
        yield from self._dependents(key, old, new)

    def _dependents(self, key: Key, old: Document | None, new: Document | None) -> Iterator[Key]:
        """Whose check reads this document without waiting for it."""
        some = old or new
        if isinstance(some, Gateway):
            yield from self._of_kind("Gateway")
            if shape(old) != shape(new):  # type: ignore[arg-type]
                yield from self._of_kind("Organisation", "Route", "Tenant")
        elif isinstance(some, Organisation) and _policies(old) != _policies(new):
            yield from self.books.users.get(key, ())
            yield from self._of_kind("Route")
        elif isinstance(some, Route) and _policies(old) != _policies(new):
            yield from self._of_kind("Tenant")

    def _of_kind(self, *kinds: str) -> list[Key]:
        return [key for key in self.books.entries if key.kind in kinds]

    def _put(self, key: Key, given: Given | None) -> None:
        self.now = self.now.changed(key, _document(given))
        self.books = self.books.serve(key, given)

    def _ask(self, key: Key, step: int = _BESIDE) -> None:
        if key in self.group and key not in self.back and (step, key) not in self.queued:
            self.queued.add((step, key))
            heappush(self.queue, (step, _RANK[key.kind], key))

    def _look(self, step: int, key: Key) -> None:
        entry = self.books.entry(key)
        found: tuple[Finding, ...] = ()
        if not entry.claims:
            found = self._still_used(key) if step == _BESIDE else ()
        elif entry.claims[0].given is not None:
            document = entry.claims[0].given.document
            self.checked += step == _BESIDE
            found = check(document, self) if step == _BESIDE else contested(document, self)
            if step == _BESIDE and exclusive(document):
                self._ask(key, _CONTESTED)
        self.findings.setdefault(key, {})[step] = found
        if any(finding.severity == "error" for finding in found):
            self._go_back(key)

    def _still_used(self, key: Key) -> tuple[Finding, ...]:
        users = sorted(self.books.users.get(key, ()))
        if not users or self.last[key] is None:
            return ()
        more = f" and {len(users) - 1} more" if len(users) > 1 else ""
        message = (
            f"the document was removed and {users[0]}{more} still refers to it; it stays in force until nobody does"
        )
        return (Finding(Fault("GC211", (), message, f"change {users[0]} first, or put the document back"), (key,)),)

    def _go_back(self, key: Key) -> None:
        self.back.add(key)
        hoped, last = self.now.get(key), self.last[key]
        if hoped == _document(last):
            return
        self._put(key, last)
        hurt = (
            set(self.books.users.get(key, ()))
            | targets(_document(last))
            | set(self._dependents(key, hoped, _document(last)))
        )
        if _crosses(hoped) or _crosses(_document(last)):
            hurt |= set(self._of_kind("Gateway", "Service"))
        for other in hurt:
            self._ask(other)
        for token in exclusive(last.document) if last else ():
            for other in self.holders(token):
                self._ask(other, _CONTESTED)

    def _write(self, key: Key) -> None:
        entry = self.books.entry(key)
        found = [finding for step in sorted(self.findings.get(key, {})) for finding in self.findings[key][step]]
        given = entry.claims[0].given if entry.claims else entry.served
        problems: list[Problem] = list(entry.own_problems(key))
        problems += [given.problem(finding.fault, finding.severity) for finding in found] if given else []
        waits: set[Token] = {token for finding in found for token in finding.waits}
        if given and any(finding.severity == "error" for finding in found):
            waits |= {GATEWAYS, *targets(given.document), *exclusive(given.document)}
        self.books = self.books.settle(key, tuple(problems), frozenset(waits))


def _document(given: Given | None) -> Document | None:
    return given.document if given else None


def _given_up(old: Document | None, new: Document | None) -> set[Token]:
    """What the old version claims or refers to and the new one does not."""
    if old is None or old is new:
        return set()
    kept = set(exclusive(new)) | targets(new) if new else set()
    return (set(exclusive(old)) | targets(old)) - kept


def _policies(document: Document | None) -> object:
    return getattr(document, "policies", Map())


def _crosses(document: Document | None) -> bool:
    """Whether gateways and services must look at each other: the rule on local endpoints goes both ways."""
    return isinstance(document, Gateway) or (isinstance(document, Service) and local_endpoint(document) is not None)
