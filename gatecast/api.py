"""The operators' HTTP API. Read-only so far; calls that write will stand beside these. Assembled by `gatecast.serve`.

All handlers are `async def`: they run in the loop that owns what they read, and each costs about what it shows.
"""

import time
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from gatecast import answers, views
from gatecast.about import version
from gatecast.answers import answer
from gatecast.plane import Plane
from tenants.documents import KINDS as DOCUMENTS
from xds.hub import Client
from xds.kinds import KINDS
from xds.snapshot import Snapshot

Limit = Annotated[int, Query(ge=1, le=1000, description="items a page")]
Cursor = Annotated[str, Query(max_length=512, description="`next_cursor` of the page before")]
ERRORS: dict[int | str, dict[str, Any]] = {404: {"model": views.Failure}, 422: {"model": views.Failure}}


def app(
    plane: Plane,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    *,
    local: bool = False,
) -> ASGIApp:
    """The application. `clock` must be the clock of the stream machines; `local`: it is on loopback."""
    made = FastAPI(
        title="gatecast", version=version(), docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        description="What every proxy holds, what it refused, and what is wrong with the settings.",
    )  # fmt: skip
    answers.install(made)
    made.include_router(_health(plane))
    made.include_router(_numbers(registry))
    for router in (_clients(plane, clock, wall), _snapshots(plane), _problems(plane)):
        made.include_router(router, prefix="/api/v1", responses=ERRORS)
    return answers.Envelope(answers.LocalHosts(made) if local else made)


def _health(plane: Plane) -> APIRouter:
    router = APIRouter(tags=["health"])

    async def live() -> dict[str, str]:
        """The loop turns."""
        return {"status": "alive"}

    async def ready() -> Response:
        """Streams are accepted: a snapshot exists and the server does not shut down."""
        hub = plane.hub
        if hub.draining:
            return answers.failure(503, "the server is shutting down", "draining")
        if not hub.ready:
            return answers.failure(503, "settings are still being loaded", "loading")
        return Response('{"status":"ready"}', media_type="application/json")

    for path in ("/livez", "/health/live"):
        router.add_api_route(path, live)
    for path in ("/readyz", "/health/ready", "/healthz", "/startupz"):
        router.add_api_route(path, ready, responses={503: {"model": views.Failure}})
    return router


def _numbers(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _clients(plane: Plane, clock: Callable[[], float], wall: Callable[[], float]) -> APIRouter:
    router = APIRouter(tags=["clients"])
    hub = plane.hub

    @router.get("/clients", response_model=views.Clients)
    async def clients(limit: Limit = 100, cursor: Cursor = "", node: str = "", gateway: str = "") -> Response:
        """Open streams in the order they came; `node` and `gateway` narrow the list."""
        after = int(cursor) if cursor.isascii() and cursor.isdecimal() else 0
        found = [c for c in hub.clients.values() if node in ("", c.node.id) and gateway in ("", c.gateway)]
        rest = list(islice((c for c in found if c.number > after), limit + 1))
        shown = tuple(views.client_view(c, clock(), wall()) for c in rest[:limit])
        more = shown[-1].id if len(rest) > limit else None
        return answer(views.Clients(total=len(found), clients=shown, next_cursor=more))

    @router.get("/clients/{id:path}", response_model=views.ClientView)
    async def client(id: str) -> Response:
        """One stream, by its number or by the id of its node if that has one stream only."""
        return answer(views.client_view(_find(list(hub.clients.values()), id), clock(), wall()))

    return router


def _find(clients: list[Client], id: str) -> Client:
    found = [one for one in clients if str(one.number) == id] or [one for one in clients if one.node.id == id]
    if not found:
        raise HTTPException(404, f"no client {id!r} is connected")
    if len(found) > 1:
        numbers = ", ".join(str(one.number) for one in found[:10])
        raise HTTPException(409, f"node {id!r} has {len(found)} streams; ask for one by its number: {numbers}")
    return found[0]


def _snapshots(plane: Plane) -> APIRouter:
    router = APIRouter(tags=["snapshots"])
    hub = plane.hub

    def shown(gateway: str) -> Snapshot:
        if gateway not in hub.snapshots:
            raise HTTPException(404, f"no gateway {gateway!r}; there are: {', '.join(sorted(hub.snapshots)) or 'none'}")
        return hub.snapshots[gateway]

    def known(kind: str) -> str:
        if kind.upper() not in KINDS:
            raise HTTPException(404, f"no type {kind!r}; there are: {', '.join(KINDS)}")
        return kind.upper()

    @router.get("/snapshots", response_model=views.Snapshots)
    async def snapshots() -> Response:
        """The newest snapshot of every gateway: counts and versions."""
        pages = (views.snapshot_view(one, hub.published_at[name]) for name, one in sorted(hub.snapshots.items()))
        return answer(views.Snapshots(revision=plane.catalog.revision, snapshots=tuple(pages)))

    @router.get("/snapshots/{gateway}", response_model=views.SnapshotView)
    async def snapshot(gateway: str) -> Response:
        """The newest snapshot of one gateway."""
        return answer(views.snapshot_view(shown(gateway), hub.published_at[gateway]))

    @router.get("/snapshots/{gateway}/{type}", response_model=views.Resources)
    async def resources(gateway: str, type: str, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """The resources of one type, by name, without their contents."""
        return answer(views.resources_view(shown(gateway), known(type), limit, cursor))

    @router.get("/snapshots/{gateway}/{type}/{name:path}", response_model=views.ResourceDetail)
    async def resource(gateway: str, type: str, name: str) -> Response:
        """One resource with its content."""
        one = shown(gateway).get(known(type), name)
        if one is None:
            raise HTTPException(404, f"gateway {gateway!r} has no {type.upper()} resource {name!r}")
        return answer(views.resource_view(one))

    return router


def _problems(plane: Plane) -> APIRouter:
    router = APIRouter(tags=["settings"])

    @router.get("/problems", response_model=views.Problems)
    async def problems(limit: Limit = 100, cursor: Cursor = "", tenant: str = "") -> Response:
        """What is wrong with the documents, by file and line; `tenant` narrows the list."""
        first = int(cursor) if cursor.isascii() and cursor.isdecimal() else 0
        found = [one for one in plane.problems() if tenant in ("", one.tenant)]
        page = tuple(views.problem_view(one) for one in found[first : first + limit])
        more = str(first + limit) if len(found) > first + limit else None
        revision = plane.catalog.revision
        return answer(views.Problems(revision=revision, total=len(found), problems=page, next_cursor=more))

    @router.get("/status", response_model=views.Status)
    async def status() -> Response:
        """The server in one look."""
        hub = plane.hub
        return answer(
            views.Status(
                ready=hub.ready and not hub.draining, revision=plane.catalog.revision, version=version(),
                documents=views.counts(plane.catalog, DOCUMENTS), problems=len(plane.problems()),
                clients=len(hub.clients), gateways=tuple(sorted(hub.snapshots)),
            )
        )  # fmt: skip

    return router
