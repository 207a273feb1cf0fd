"""Waits until proxies have a revision, and shows who has it. `apply --wait` and its like, and `wait` call it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from gatecast.exits import Exit
from gatecast.output import clean, counted, paint
from gatecast.progress import progress
from gatecast.remote import Server

CLIENT: Final = {"node": str, "gateway": str, "state": str, "detail": str}
ROLLOUT: Final = {"revision": int, "done": bool, "clients": [CLIENT]}
TURN: Final = 20.0
"""Seconds of one question: who sits between closes a connection that is silent for long."""

COLOURS: Final[Mapping[str, str]] = {"pending": "yellow", "refused": "red"}


def rollout(
    server: Server, revision: int, timeout: float, clock: Callable[[], float] = time.monotonic
) -> tuple[dict[str, Any], Exit]:
    """Where the clients stand with a revision once all have it or refused it, or after `timeout` seconds."""
    end, left = clock() + timeout, timeout
    path = f"/api/v1/revisions/{revision}/rollout"
    with progress(f"waiting for revision {revision} on proxies") as advance:
        while True:
            turn = min(TURN, left)
            found: dict[str, Any] = server.get(path, ROLLOUT, longer=turn, wait=f"{turn:.3f}s")
            states = Counter(one["state"] for one in found["clients"])
            advance(states["has"])
            left = max(0.0, end - clock())
            if found["done"] or not (left and states["pending"]):
                return found, _code(states, done=found["done"])


def _code(states: Mapping[str, int], *, done: bool) -> Exit:
    if done:
        return Exit.FINE
    return Exit.ERROR if states["refused"] and not states["pending"] else Exit.TIMED_OUT


def text(found: Mapping[str, Any]) -> str:
    """A line for each client that has it not, and one that sums up."""
    clients = found["clients"]
    late = [one for one in clients if one["state"] != "has"]
    lines = [
        f"  {paint(one['state'], COLOURS.get(one['state'], 'white'))} {clean(one['node'])} of gateway"
        f" {clean(one['gateway'])}: {clean(one['detail'])}"
        for one in sorted(late, key=lambda one: (one["state"] != "refused", one["node"]))
    ]
    if not clients:
        return f"revision {found['revision']} is in force; no proxy is connected"
    have = f"{len(clients) - len(late)} of {counted(len(clients), 'proxy stream')}"
    return "\n".join([*lines, f"revision {found['revision']} is on {have}"])
