"""From the proxy to the upstreams: forwarding with retries and time-outs, and active health checks.

Used by `double` where there are sockets. As in Kong, a connection that fails is tried elsewhere for any method, an
answer that does not come in time only for those that may be repeated.
"""

import asyncio
import time
from collections.abc import Callable

from kong_double.plane import Forward, Plane
from kong_double.refusals import Json
from kong_double.wire import Request, Response, exchange

REPEATABLE = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
PACE = 0.05
"""Seconds between two looks at whether a probe is due."""


async def forward(plane: Plane, found: Forward) -> Response:
    """The upstream's answer, or Kong's own about it."""
    tried: set[str] = set()
    address = found.address
    for left in reversed(range((found.service["retries"] or 0) + 1)):
        request = found.request
        if address != found.address and not found.passage.match.route["preserve_host"]:  # type: ignore[union-attr]
            request = request.with_header("Host", address)
        answer, outcome = await _once(found, address, request)
        if found.upstream:
            plane.balancer.report(found.upstream, address, outcome)
        if answer is not None:
            return answer
        tried.add(address)
        address = plane.address(found, tried) or address
        if not left or (outcome == "timeouts" and found.request.method not in REPEATABLE):
            return _failed(found, str(outcome))
    raise AssertionError("there is always a first try")


async def _once(found: Forward, address: str, request: Request) -> tuple[Response | None, int | str]:
    """One try: the answer if there was one, and what the health checks count."""
    service = found.service
    try:
        answer = await exchange(
            address,
            request,
            connect=(service["connect_timeout"] or 60000) / 1000,
            read=(service["read_timeout"] or 60000) / 1000,
        )
    except TimeoutError:
        return None, "timeouts"
    except (OSError, asyncio.IncompleteReadError):
        return None, "tcp_failures"
    return answer, answer.status


def _failed(found: Forward, outcome: str) -> Response:
    if outcome == "timeouts":
        return found.passage.error(504, "The upstream server is timing out")
    return found.passage.error(502, "An invalid response was received from the upstream server")


async def probe_all(plane: Callable[[], Plane]) -> None:
    """Active health checks of every upstream that asks for them, until cancelled."""
    last: dict[tuple[str, str], float] = {}
    while True:
        await asyncio.sleep(PACE)
        now = plane()
        due = [(one, target) for one, target in _checked(now) if _due(now, one, target, last)]
        await asyncio.gather(*(_probe(now, one, target) for one, target in due))


def _checked(plane: Plane) -> list[tuple[Json, str]]:
    tables = plane.view.tables
    return [
        (one, target["target"])
        for one in tables["upstreams"].values()
        for target in plane.lookup.rows(tables, "targets", "upstream", one["id"])
        if any(one["healthchecks"]["active"][side]["interval"] for side in ("healthy", "unhealthy"))
    ]


def _due(plane: Plane, upstream: Json, target: str, last: dict[tuple[str, str], float]) -> bool:
    active, well = upstream["healthchecks"]["active"], plane.balancer.pulse(upstream, target).well
    every = active["healthy" if well else "unhealthy"]["interval"]
    mark, now = (upstream["name"], target), time.monotonic()
    if not every or now - last.get(mark, 0.0) < every:
        return False
    last[mark] = now
    return True


async def _probe(plane: Plane, upstream: Json, target: str) -> None:
    active = upstream["healthchecks"]["active"]
    request = Request("GET", active["http_path"], (("Host", target), ("Connection", "close")))
    outcome: int | str
    try:
        outcome = (await exchange(target, request, connect=active["timeout"], read=active["timeout"])).status
    except TimeoutError:
        outcome = "timeouts"
    except (OSError, asyncio.IncompleteReadError):
        outcome = "tcp_failures"
    plane.balancer.report(upstream, target, outcome, active=True)
