"""The operators' HTTP API, assembled: the routes of `gatecast.http` behind one guard. `gatecast.serve` starts it.

All handlers are `async def`: they run in the loop that owns what they read, and each costs about what it shows.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from gatecast import answers
from gatecast.about import version
from gatecast.access import API, ENDLESS, HEALTH, Access, Guard, methods
from gatecast.events import Feed
from gatecast.faults import Error, Fail
from gatecast.http import admin, asking, documents, events, fleet, health, overview, revisions, tenancy, upkeep
from gatecast.http.described import ASKED
from gatecast.ledger import Ledger
from gatecast.plane import Plane
from xds.hub import Hub
from xds.metrics import Metrics

OPEN_ACCESS = Access()
"""Whoever asks is on this machine."""


def app(
    plane: Plane,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    *,
    ledger: Ledger | None = None,
    feed: Feed | None = None,
    access: Access = OPEN_ACCESS,
    forget: Callable[[], None] = lambda: None,
    local: bool = False,
) -> ASGIApp:
    """The application. `clock` must be the clock of the stream machines; `local`: nobody is asked who he is, because
    it is on loopback. `forget`: a token was revoked.
    """
    made = routed(plane, registry, clock, wall, ledger, feed or Feed(plane, ledger, "", wall), forget)
    guarded: ASGIApp = Guard(made, access, clock)
    return answers.Envelope(answers.Heads(answers.LocalHosts(guarded) if local else guarded, ENDLESS))


def routed(
    plane: Plane,
    registry: CollectorRegistry,
    clock: Callable[[], float],
    wall: Callable[[], float],
    ledger: Ledger | None,
    feed: Feed,
    forget: Callable[[], None],
) -> FastAPI:
    """Every route, without the guard."""

    def commits() -> Ledger:
        if ledger is None:
            raise Error(503, "no_store", "this server has no store: what it serves is in its files alone")
        return ledger

    made = FastAPI(
        title="gatecast", version=version(), docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        redirect_slashes=False,
        description="The settings of every tenant, what every proxy holds and refused, who changed what, and the way "
        "back.",
    )  # fmt: skip
    answers.install(made)
    made.add_exception_handler(405, _not_allowed)
    made.include_router(health.routes(plane))
    made.include_router(health.numbers(registry))
    for router in (
        overview.routes(plane), documents.routes(commits), tenancy.routes(plane), revisions.routes(commits),
        fleet.clients(plane, clock, wall), fleet.snapshots(plane), upkeep.routes(commits), events.routes(feed),
        admin.audit(commits), admin.tokens(commits, forget),
    ):  # fmt: skip
        made.include_router(router, prefix=API, responses=ASKED, dependencies=[Depends(asking.strict)])
    made.openapi = lambda: described(made)  # type: ignore[method-assign]
    return made


async def _not_allowed(request: Request, _error: Exception) -> Response:
    """The router knows the methods of one route; a path may have several."""
    allowed = {"allow": methods(request.url.path)}
    return answers.told(request, Fail(405, "", "this path does not take this method", headers=allowed))


def described(app: FastAPI) -> dict[str, Any]:
    """The description of the API, made once: bearer tokens, and open where `gatecast.access` says so."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        for path in (*HEALTH, "/metrics"):
            for operation in made["paths"][path].values():
                operation["security"] = []
        app.openapi_schema = made
    return app.openapi_schema


def description() -> str:
    """The description of the API as docs/openapi.json has it: of an empty server, which has all routes."""
    registry = CollectorRegistry()
    plane = Plane(Hub(Metrics(registry), wall=time.time))
    made = routed(plane, registry, time.monotonic, time.time, None, Feed(plane, None, "", time.time), lambda: None)
    return json.dumps(described(made), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(description(), end="")
