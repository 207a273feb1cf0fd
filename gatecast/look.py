"""One look at a running server: what it says of itself, its store, sources, proxies, settings and keys, as one value.

`gatecast status` shows it. What a server does not tell (it has no store, the store is away) is told as such, and is no
reason to show nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from gatecast.commands.clients import BAD, CLIENT
from gatecast.commands.pins import PINS
from gatecast.commands.revisions import REVISION
from gatecast.commands.sync import SOURCE
from gatecast.exits import Answered, Away
from gatecast.output import counted
from gatecast.remote import Server

STATUS: Final = {
    "ready": bool, "revision": int, "version": str, "documents": dict, "problems": int, "clients": int,
    "gateways": [str],
}  # fmt: skip
PROBLEM: Final = {"severity": str, "code": str, "kind": str, "id": str, "path": str, "message": str}
SERIES: Final = re.compile(r"^(gatecast_\w+)(?:\{(.*)\})? (\S+)$", re.M)
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
NAMED: Final = 5
"""Problems and proxies that are named; the command for each shows all."""
NO_STORE: Final = "no_store"

ABOUT: Final = ("id", "node", "gateway")
ABOUT_TYPE: Final = ("type", "state", "rejected", "tenants", "error", "answered_age")

KEYS: Final = (
    ("missing", "error", "has no keys: its tokens are refused"),
    ("kept", "warning", "cannot be fetched: its last keys serve"),
)
"""States of key sets that somebody should know of."""

Data = dict[str, Any]


def look(server: Server) -> Data:
    """Everything that `gatecast status` tells; what is wrong under `faults`. Raises `Unavailable` if nobody answers."""
    status: Data = server.get("/api/v1/status", STATUS)
    numbers = server.text("/metrics")
    last, store = _asked(lambda: server.get("/api/v1/revisions", {"revisions": [REVISION]}, limit=1)["revisions"])
    sources, _ = _asked(lambda: server.get("/api/v1/sources", {"sources": [SOURCE]})["sources"])
    pins, _ = _asked(lambda: server.get("/api/v1/pins", PINS)["pins"])
    proxies = list(server.pages("/api/v1/clients", "clients", CLIENT))
    seen = {
        "server": server.url,
        **{name: status[name] for name in ("version", "ready", "revision", "documents", "gateways")},
        "store": {**store, "last": last[0] if last else None},
        "sources": sources,
        "clients": dict(Counter(one["state"] for one in proxies)),
        "unwell": [one for client in proxies if client["state"] in BAD for one in _unwell(client)],
        "problems": {"total": status["problems"], **counts(numbers, "gatecast_problems", "severity")},
        "first_problems": _problems(server) if status["problems"] else [],
        "key_sets": counts(numbers, "gatecast_key_sources", "state"),
        "pins": len(pins) if pins is not None else None,
    }
    faults = list(_faults(seen))
    return {"fine": not any(one["severity"] == "error" for one in faults), "faults": faults, **seen}


def counts(text: str, name: str, label: str) -> dict[str, int]:
    """The series of one metric, by one of its labels, from Prometheus text; zeros are left out."""
    found: Counter[str] = Counter()
    for series, labels, value in SERIES.findall(text):
        if series == name and float(value):
            found[dict(LABEL.findall(labels)).get(label, "")] += int(float(value))
    return dict(found)


def _asked(ask: Callable[[], Any]) -> tuple[Any, Data]:
    """What the store answers, and how the store is: `up`, `none` (files alone), `away`, or `unknown`, and why."""
    try:
        return ask(), {"state": "up", "why": ""}
    except Away as error:
        return None, {"state": "none" if error.code == NO_STORE else "away", "why": str(error)}
    except Answered as error:
        return None, {"state": "unknown", "why": str(error)}


def _problems(server: Server) -> list[Data]:
    page = server.get("/api/v1/problems", {"problems": [PROBLEM]}, limit=100)["problems"]
    return sorted(page, key=lambda one: bool(one["severity"] != "error"))[:NAMED]


def _unwell(client: Data) -> Iterator[Data]:
    """Each type that a client refuses or does not answer, with whose setting it is."""
    for one in client["types"]:
        if one["state"] in BAD:
            yield {**{name: client[name] for name in ABOUT}, **{name: one[name] for name in ABOUT_TYPE}}


def _faults(seen: Data) -> Iterator[Data]:
    """What is wrong, the worst first: the server, what it needs, proxies, settings, keys."""
    if not seen["ready"]:
        yield _fault("the server is not ready: proxies are not served", "its log, and /readyz")
    if seen["store"]["state"] == "away":
        yield _fault(f"the store is away: {seen['store']['why']}", "the server's log")
    for one in seen["sources"] or ():
        if one["last_error"]:
            yield _fault(f"source {one['name']}: {one['last_error']}", "gatecast sync")
    for one in seen["unwell"][:NAMED]:
        yield _fault(_sick(one), f"gatecast clients {one['id']}")
    if len(seen["unwell"]) > NAMED:
        yield _fault(
            f"{len(seen['unwell']) - NAMED} more like these", "gatecast clients --state rejected --state stale"
        )
    yield from _of_settings(seen)
    for state, severity, text in KEYS:
        if count := seen["key_sets"].get(state):
            yield _fault(f"{counted(count, 'key set')} {text}", "/api/v1/problems", severity)
    if seen["pins"]:
        yield _fault(f"{counted(seen['pins'], 'document')} pinned: files and registries may not write them",
                     "gatecast pins", "warning")  # fmt: skip


def _sick(one: Data) -> str:
    place = f"{one['node']} of gateway {one['gateway']}"
    if one["state"] != "REJECTED":
        return f"{place} does not answer for {one['type']}"
    whose = f" of tenant {', '.join(one['tenants'])}" if one["tenants"] else ""
    return f"{place} rejects {one['type']} {', '.join(one['rejected']) or 'a response'}{whose}: {one['error']}"


def _of_settings(seen: Data) -> Iterator[Data]:
    from gatecast.output import detail

    for one in seen["first_problems"]:
        yield _fault(detail(one), "", one["severity"])
    if (more := seen["problems"]["total"] - len(seen["first_problems"])) > 0:
        yield _fault(f"{counted(more, 'problem')} of documents more", "/api/v1/problems",
                     "error" if seen["problems"].get("error", 0) > NAMED else "warning")  # fmt: skip


def _fault(what: str, see: str, severity: str = "error") -> Data:
    return {"severity": severity, "what": what, "see": see}
