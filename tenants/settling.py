"""Decides what comes into force when documents change. Pure; called by `Catalog.apply`.

It begins with the hope that everything wanted comes into force at once, so that changes that need each other (two
tenants that swap hosts, a route and the service it needs) are accepted together whatever their order. Then it checks
every document that changed or waits or depends on one that did; what fails goes back to its last good version, and what
that hurts is checked again. Nothing goes back twice in a round, so it ends. What still waits for something that moved
gets another round. Whoever failed only because of somebody who failed as well is tried again, alone. Beyond the second
round every further one needs one before it that brought something into force, so that ends too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from immutables import Map

from tenants.checks import check, contested
from tenants.documents import Document, Gateway, Key, Organisation, Route, Service
from tenants.errors import Problem
from tenants.exactness import Exactness, exact
from tenants.faults import Fault
from tenants.findings import GATEWAYS, Finding, Token
from tenants.index import Books, Keys, targets
from tenants.reading import Given
from tenants.references import exclusive, local_endpoint, watched
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


def settle(before: Served, books: Books, dirty: frozenset[Key], exactness: Exactness = exact) -> Settled:
    """Bring into force what can be."""
    now = Served(**{shelf: getattr(before, shelf) for shelf in SHELVES.values()})
    moved: set[Key] = set()
    retry: set[Key] = set()
    checked, first = 0, True
    while dirty or retry:
        alone = None if dirty else min(retry)
        retry.discard(alone) if alone else None
        one = _Round(now, books, exactness)
        one.run({alone} if alone else dirty, alone)
        changed = {key for key in one.group if _differ(now.get(key), one.now.get(key))}
        dirty = one.woken(changed | one.back if first else changed)
        retry = (retry | one.retry) - changed if changed or first else retry
        now, books, checked, first = one.now, one.books, checked + one.checked, False
        moved |= changed
    return Settled(now, books, frozenset(key for key in moved if _differ(before.get(key), now.get(key))), checked)


def adopt(before: Served, books: Books, dirty: frozenset[Key], exactness: Exactness = exact) -> Settled:
    """Bring all of it into force unasked, and find out what is wrong then, with it and with whatever depends on it."""
    was = Served(**{shelf: getattr(before, shelf) for shelf in SHELVES.values()})
    now, reached = was, frozenset(_Round(was, books)._reach(dirty))
    for key in sorted(dirty):
        given = books.entry(key).wanted
        now, books = now.changed(key, _document(given)), books.serve(key, given)
    settled = settle(now, books, reached, exactness)
    changed = frozenset(key for key in dirty | settled.changed if _differ(was.get(key), settled.now.get(key)))
    return Settled(settled.now, settled.books, changed, settled.checked)


def shape(gateway: Gateway | None) -> object:
    """The part of a gateway its tenants' settings depend on."""
    return gateway and (
        gateway.tenant,
        gateway.tenants,
        gateway.organisations,
        gateway.policies,
        gateway.allow_local_endpoints,
        gateway.rate_limit_service is None,
        gateway.on_demand,
        gateway.parity,
        gateway.kong,
    )


@dataclass(slots=True)
class _Round:
    """One round. It owns its fields until `run` is done; `now` and `before` are what the rules look at."""

    before: Served
    books: Books
    exactness: Exactness = exact
    now: Served = field(init=False)
    held: Map[str, Keys] = field(init=False)
    group: set[Key] = field(default_factory=set)
    back: set[Key] = field(default_factory=set)
    retry: set[Key] = field(default_factory=set)
    last: dict[Key, Given | None] = field(default_factory=dict)
    findings: dict[Key, dict[int, tuple[Finding, ...]]] = field(default_factory=dict)
    queue: list[tuple[int, int, Key]] = field(default_factory=list)
    queued: set[tuple[int, Key]] = field(default_factory=set)
    keepers: dict[str, Key] = field(default_factory=dict)
    kinds: dict[str, list[Key]] = field(default_factory=dict)
    checked: int = 0

    def __post_init__(self) -> None:
        self.now, self.held = self.before, self.books.holders

    def keeper(self, token: str) -> Key | None:
        """Who has this: whoever had it before and still claims it, else the lowest id."""
        claimants = self.books.holders.get(token)
        if not claimants:
            return None
        if (kept := self.keepers.get(token)) is None or kept not in claimants:
            had = [key for key in self.held.get(token, ()) if key in claimants]
            kept = self.keepers[token] = min(had or claimants)
        return kept

    def run(self, dirty: Iterable[Key], alone: Key | None = None) -> None:
        """Hope (for one `alone`, or for all), check, go back, and write down what came of it."""
        self.group = self._reach(dirty)
        for key in sorted(self.group):
            entry = self.books.entry(key)
            self.last[key] = entry.served
            if alone in (None, key) or entry.wanted is entry.served:
                self._put(key, entry.wanted)
            else:
                self.back.add(key)
        for key in self.group:
            self._ask(key)
        while self.queue:
            step, _rank, key = heappop(self.queue)
            self.queued.discard((step, key))
            if not self.books.entry(key).claims:
                self._let_go(key)
            elif key not in self.back:
                self._look(step, key)
        self._ask_once_more()
        for key in sorted(self.group):
            self._write(key)

    def woken(self, moved: set[Key]) -> frozenset[Key]:
        """Who waits for something that moved by another's doing, and has not come into force."""
        movers: dict[Token, set[Key]] = defaultdict(set)
        for key in moved:
            for token in self._stirred(key):
                movers[token].add(key)
        waiters = self.books.waiters
        woken = {key for token, by in movers.items() for key in waiters.get(token, ()) if by != {key}}
        return frozenset(key for key in woken if key not in self.group or self._unsettled(key))

    def _stirred(self, key: Key) -> set[Token]:
        """What others may wait for that came, went, or was hoped for in vain with this document."""
        old, new, hoped = self.before.get(key), self.now.get(key), _document(self.books.entry(key).wanted)
        tokens = _given_up(old, new) | _given_up(hoped, new)
        if old != new:
            tokens |= {key, GATEWAYS} if key.kind == "Gateway" else {key}
        return tokens

    def _unsettled(self, key: Key) -> bool:
        entry = self.books.entry(key)
        return bool(self.books.flawed.get(key)) and not (entry.claims and entry.claims[0].given is None)

    def _reach(self, dirty: Iterable[Key]) -> set[Key]:
        """The documents to look at: those spoken about, and whoever waits for or depends on what they would change."""
        reached: set[Key] = set()
        opened: set[Token] = set()  # each set of waiters is looked into once, however many stir it
        stack = list(dirty)
        while stack:
            key = stack.pop()
            if key in reached:
                continue
            reached.add(key)
            old, new = self.before.get(key), _document(self.books.entry(key).wanted)
            if old != new:
                stack += self._affected(key, old, new, opened)
        return reached

    def _affected(self, key: Key, old: Document | None, new: Document | None, opened: set[Token]) -> Iterator[Key]:
        tokens: set[Token] = {key}
        tokens |= set(exclusive(old) if old else ()) ^ set(exclusive(new) if new else ())
        yield from (other for other in targets(old) - targets(new) if not self.books.entry(other).claims)
        if key.kind == "Gateway":
            tokens.add(GATEWAYS)
        for token in tokens - opened:
            yield from self.books.waiters.get(token, ())
        opened |= tokens
        yield from self._dependents(key, old, new)

    def _dependents(self, key: Key, old: Document | None, new: Document | None) -> Iterator[Key]:
        """Whose check reads this document without waiting for it."""
        some = old or new
        if isinstance(some, Gateway):
            yield from self._of_kind("Gateway")
            if shape(old) != shape(new):  # type: ignore[arg-type]
                yield from self._of_kind("Organisation", "Route", "Tenant")
        elif isinstance(some, Organisation) and _inherited(old) != _inherited(new):
            yield from self.books.users.get(key, ())
            yield from self._of_kind("Route")
        elif isinstance(some, Route) and _inherited(old) != _inherited(new):
            yield from self._of_kind("Tenant")

    def _of_kind(self, *kinds: str) -> Iterator[Key]:
        if not self.kinds:
            for key in self.books.entries:
                self.kinds.setdefault(key.kind, []).append(key)
        for kind in kinds:
            yield from self.kinds.get(kind, ())

    def _put(self, key: Key, given: Given | None) -> None:
        self.now = self.now.changed(key, _document(given))
        self.books = self.books.serve(key, given)

    def _ask(self, key: Key, step: int = _BESIDE) -> None:
        if key in self.group and (step, key) not in self.queued:
            self.queued.add((step, key))
            rank = _RANK[key.kind] if self.books.entry(key).claims else -1  # first who stays, then who may rely on it
            heappush(self.queue, (step, rank, key))

    def _look(self, step: int, key: Key) -> None:
        given = self.books.entry(key).claims[0].given
        if given is None:
            return
        self.checked += step == _BESIDE
        found = check(given.document, self) if step == _BESIDE else contested(given.document, self)
        if step == _BESIDE and exclusive(given.document):
            self._ask(key, _CONTESTED)
        self.findings.setdefault(key, {})[step] = found
        if any(finding.severity == "error" for finding in found):
            self._go_back(key)

    def _let_go(self, key: Key) -> None:
        """A document nobody gives any more stays while one that is in force, or may come into force, refers to it."""
        used = bool(self.books.users.get(key)) and self.last[key] is not None
        if used and key not in self.back:
            self._go_back(key)
        elif not used and key in self.back:
            self.back.discard(key)
            self._put(key, None)
            for other in targets(_document(self.last[key])):
                self._ask(other)

    def _still_used(self, key: Key) -> tuple[Finding, ...]:
        one = min(self.books.users[key])
        message = f"the document was removed and {one} still refers to it; it stays in force until nobody does"
        return (Finding(Fault("GC211", (), message, f"change {one} first, or put the document back"), (key,)),)

    def _ask_once_more(self) -> None:
        """What is wrong with those that went back, now that the rest is known. If nothing is, they may try again."""
        after = _Round(self.now, self.books, self.exactness)
        for key in sorted(self.back):
            claims = self.books.entry(key).claims
            if not claims:
                self.findings[key] = {_BESIDE: self._still_used(key)}
            elif claims[0].given:
                self.checked += 1
                found = (*check(claims[0].given.document, after), *contested(claims[0].given.document, after))
                self.findings[key] = {_BESIDE: found}
                if not any(finding.severity == "error" for finding in found):
                    self.retry.add(key)

    def _go_back(self, key: Key) -> None:
        hoped, last = self.now.get(key), self.last[key]
        if hoped == _document(last):
            return  # it was in force and stays so
        self.back.add(key)
        self._put(key, last)
        for other in self._hurt(key, hoped, _document(last)):
            self._ask(other)
        for token in exclusive(last.document) if last else ():
            self.keepers.pop(token, None)
            for other in self.books.holders[token]:
                self._ask(other, _CONTESTED)

    def _hurt(self, key: Key, hoped: Document | None, last: Document | None) -> Iterator[Key]:
        """Whose verdict rested on the hope for this document."""
        yield from self.books.users.get(key, ())
        yield from targets(last)
        yield from targets(hoped)
        yield from self._dependents(key, hoped, last)
        local = isinstance(last, Service) and local_endpoint(last) is not None
        for name, gateway in self.now.gateways.items():
            if local or key in watched(gateway):
                yield Key("Gateway", name)
        if key.kind == "Gateway":
            yield from self._of_kind("Service")

    def _write(self, key: Key) -> None:
        entry = self.books.entry(key)
        found = [finding for step in sorted(self.findings.get(key, {})) for finding in self.findings[key][step]]
        given = entry.claims[0].given if entry.claims else entry.served
        problems: list[Problem] = list(entry.own_problems(key))
        problems += [given.problem(finding.fault, finding.severity) for finding in found] if given else []
        waits: set[Token] = {token for finding in found for token in finding.waits}
        waits |= watched(given.document) if given else set()
        if given and any(finding.severity == "error" for finding in found):
            waits |= {GATEWAYS, *targets(given.document), *exclusive(given.document)}
        self.books = self.books.settle(key, tuple(problems), frozenset(waits))


def _document(given: Given | None) -> Document | None:
    return given.document if given else None


def _differ(one: Document | None, other: Document | None) -> bool:
    """Nearly always they are the very same, and comparing their fields would cost more than everything around it."""
    return one is not other and one != other


def _given_up(old: Document | None, new: Document | None) -> set[Token]:
    """What the old version claims or refers to and the new one does not."""
    if old is None or old is new:
        return set()
    kept = set(exclusive(new)) | targets(new) if new else set()
    return (set(exclusive(old)) | targets(old)) - kept


def _inherited(document: Document | None) -> object:
    """What those below have of it."""
    return getattr(document, "policies", Map()), getattr(document, "parity", None)
