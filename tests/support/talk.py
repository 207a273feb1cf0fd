"""Words for tests that talk to a stream machine: `talk.snapshot(CDS="a b")`, `talk.sotw(...)`, `talk.delta(...)`,
`talk.said(...)`.

A resource is written as `name` or `name=content`; its version follows from the content.
"""

from collections.abc import Iterable

from xds.snapshot import Resource, Snapshot, resource
from xds.stream import Adjust, Answer, Ask, Replace, Stream


def one(kind: str, text: str, *, uses: Iterable[str] = (), companion: str = "") -> Resource:
    """The resource that `name=content` stands for."""
    name, _, content = text.partition("=")
    used = frozenset(uses) | ({companion} if companion else frozenset())
    return resource(kind, name, f"{name}:{content}".encode(), uses=used, companion=companion)


def snapshot(before: Snapshot | None = None, /, **kinds: str | list[Resource]) -> Snapshot:
    """The snapshot in which each named kind consists of just these resources; kinds not named stay as they were."""
    start = before or Snapshot.empty("edge")
    changes: dict[str, dict[str, Resource | None]] = {}
    for kind, given in kinds.items():
        rows = [one(kind, text) for text in given.split()] if isinstance(given, str) else given
        gone: dict[str, Resource | None] = dict.fromkeys(start.resources[kind])
        changes[kind] = {**gone, **{row.name: row for row in rows}}
    return start.next(changes)


def stream(start: Snapshot, *, delta: bool, **options: object) -> Stream:
    """A new stream on `start`."""
    return Stream(start, delta=delta, **options)  # type: ignore[arg-type]


def sotw(kind: str, names: str = "", *, nonce: str = "", version: str = "", error: str | None = None) -> Ask:
    """A DiscoveryRequest."""
    return Ask(kind, Replace(tuple(names.split()), version), nonce, error)


def delta(
    kind: str, more: str = "", less: str = "", *, nonce: str = "", known: dict[str, str] | None = None,
    error: str | None = None,
) -> Ask:  # fmt: skip
    """A DeltaDiscoveryRequest."""
    return Ask(kind, Adjust(tuple(more.split()), tuple(less.split()), known or {}), nonce, error)


class Talk:
    """A stream and a clock. Answers are shown as `KIND: a b -c` (`-` marks a removal), their nonces are kept."""

    def __init__(self, machine: Stream) -> None:
        self.machine = machine
        self.now = 0.0
        self.nonces: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.last: list[Answer] = []

    def ask(self, ask: Ask) -> list[str]:
        """Say something; what is answered."""
        self.machine.receive(ask, self.now)
        return self.answers()

    def publish(self, newer: Snapshot) -> list[str]:
        """Publish; what is pushed."""
        self.machine.publish(newer)
        return self.answers()

    def wait(self, seconds: float) -> list[str]:
        """Let time pass; what is sent then."""
        self.now += seconds
        return self.answers()

    def ack(self, kind: str) -> list[str]:
        """ACK the last answer of a kind, with the names of the last request where it is SotW."""
        return self.ask(self._reply(kind, None))

    def nack(self, kind: str, error: str = "no") -> list[str]:
        """NACK the last answer of a kind."""
        return self.ask(self._reply(kind, error))

    def answers(self) -> list[str]:
        self.last = list(self.machine.answers(self.now))
        for answer in self.last:
            self.nonces[answer.kind] = answer.nonce
            self.versions[answer.kind] = answer.version
        return [shown(answer) for answer in self.last]

    def _reply(self, kind: str, error: str | None) -> Ask:
        interest = self.machine.interests[kind]
        if self.machine.delta:
            return delta(kind, nonce=self.nonces[kind], error=error)
        star = ["*"] if interest.wildcard and not interest.legacy else []
        names = " ".join([*star, *sorted(interest.names)])
        return sotw(kind, names, nonce=self.nonces[kind], version=self.versions[kind], error=error)


def shown(answer: Answer) -> str:
    """An answer as text: `CDS: a b -c`."""
    names = [row.name for row in answer.batch.resources] + [f"-{name}" for name in answer.removed]
    return f"{answer.kind}: {' '.join(names)}".rstrip()
