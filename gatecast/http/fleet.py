"""Routes about proxies: who is connected, and what the newest snapshots hold."""

from collections.abc import Callable
from itertools import islice

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from gatecast import views
from gatecast.answers import answer
from gatecast.http.asking import Cursor, Limit
from gatecast.http.described import fails
from gatecast.plane import Plane
from xds.hub import Client
from xds.kinds import KINDS
from xds.snapshot import Snapshot


def clients(plane: Plane, clock: Callable[[], float], wall: Callable[[], float]) -> APIRouter:
    """Open streams. `clock` is that of the stream machines."""
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

    @router.get("/clients/{id:path}", response_model=views.ClientView, responses=fails(404, 409))
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


def snapshots(plane: Plane) -> APIRouter:
    """What proxies should hold."""
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

    @router.get("/snapshots/{gateway}", response_model=views.SnapshotView, responses=fails(404))
    async def snapshot(gateway: str) -> Response:
        """The newest snapshot of one gateway."""
        return answer(views.snapshot_view(shown(gateway), hub.published_at[gateway]))

    @router.get("/snapshots/{gateway}/{type}", response_model=views.Resources, responses=fails(404))
    async def resources(gateway: str, type: str, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """The resources of one type, by name, without their contents."""
        return answer(views.resources_view(shown(gateway), known(type), limit, cursor))

    @router.get("/snapshots/{gateway}/{type}/{name:path}", response_model=views.ResourceDetail, responses=fails(404))
    async def resource(gateway: str, type: str, name: str) -> Response:
        """One resource with its content; values that are secrets are not shown."""
        one = shown(gateway).get(known(type), name)
        if one is None:
            raise HTTPException(404, f"gateway {gateway!r} has no {type.upper()} resource {name!r}")
        return answer(views.resource_view(one))

    return router
