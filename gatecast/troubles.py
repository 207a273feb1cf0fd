"""What is wrong now, in words for people: the proxies that refuse, documents, key sets, sources. Pure.

`gatecast.serve` puts the facts together; `gatecast.notices` decides what of it is told, and when. No text here holds a
secret: problems and the words of proxies are the ones that the API shows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from tenants.errors import Problem
from tenants.keysets.problems import CODE as KEYS
from tenants.keysets.source import Source
from tenants.keysets.state import State
from xds.hub import Client

MOST = 200  # items of one subject that are named and remembered; the note has the number of all
NAMED = 20  # resources looked at for one type of one proxy: it may refuse ten thousand
WORDS = 300  # characters of what a proxy or provider says


@dataclass(frozen=True, slots=True)
class Trouble:
    """A subject that is not fine: one message speaks about all of it.

    `items`: what is wrong, in words, by a key that stays the same for as long as it lasts. `note`: how much it is.
    """

    subject: str
    items: Mapping[str, str]
    note: str


def troubles(
    clients: Iterable[Client],
    problems: Iterable[Problem],
    keys: Mapping[Source, State],
    faults: Mapping[str, str],
) -> tuple[Trouble, ...]:
    """All there are. `faults`: the sources of settings that fail, by name, each with the words why."""
    return (*_sources(faults), *_rejections(clients), *_documents(problems), *_missing(keys))


def _sources(faults: Mapping[str, str]) -> Iterator[Trouble]:
    for name, why in sorted(faults.items()):
        yield Trouble(f"source {name} fails", {name: plain(why)}, "settings stay as they were")


def _rejections(clients: Iterable[Client]) -> Iterator[Trouble]:
    """A subject for each gateway: a bad resource is refused by all of its proxies, and told once."""
    items: dict[str, dict[str, str]] = {}
    proxies: dict[str, set[str]] = {}
    for client in clients:
        if any(interest.parked for interest in client.machine.interests.values()):
            proxies.setdefault(client.gateway, set()).add(client.node.id)
            found = items.setdefault(client.gateway, {})
            found.update(_refused(client, found))
    for gateway in sorted(items):
        count = len(proxies[gateway])
        note = f"{count} {'proxy' if count == 1 else 'proxies'}; the last good version goes on"
        yield Trouble(f"gateway {gateway}: proxies refuse what they are sent", items[gateway], note)


def _refused(client: Client, known: Mapping[str, str]) -> dict[str, str]:
    """What this proxy refuses beside what is known."""
    new: dict[str, str] = {}
    for kind, interest in client.machine.interests.items():
        words = client.activity[kind].error if kind in client.activity else ""
        for name, one in islice(interest.parked.items(), NAMED):
            key = f"{kind} {name}"
            if key not in known and len(known) + len(new) < MOST:
                tenant = f" of tenant {one.owner}" if one and one.owner else ""
                new[key] = plain(f"{key}{tenant}, by {client.node.id}: {words}")
    return new


def _documents(problems: Iterable[Problem]) -> Iterator[Trouble]:
    """Errors, not warnings; what is said of key sets is told by issuer."""
    errors = [one for one in problems if one.severity == "error" and one.code != KEYS]
    items = {f"{one.kind}/{one.id} {one.path} {one.code} {one.file}": plain(str(one)) for one in islice(errors, MOST)}
    if items:
        note = f"{len(errors)} {'error' if len(errors) == 1 else 'errors'}; the last good versions are served"
        yield Trouble("documents have errors", items, note)


def _missing(keys: Mapping[Source, State]) -> Iterator[Trouble]:
    """Sets that nobody can be checked with. Those not tried yet have no problem."""
    missing = sorted(source for source, state in keys.items() if state.usable is None and state.problem)
    items = {one.name: plain(f"{one.issuer}: {keys[one].problem}") for one in missing[:MOST]}
    if items:
        note = f"{len(missing)} of {len(keys)}; requests with their tokens are answered 503"
        yield Trouble("key sets of issuers are missing", items, note)


def plain(text: str) -> str:
    """One line, not long, that steers no terminal and no mail: some of it comes from outside."""
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return line if len(line) <= WORDS else f"{line[: WORDS - 3]}..."
