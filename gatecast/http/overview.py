"""Routes about the server as a whole: its state, and what is wrong with the settings."""

from fastapi import APIRouter, Response

from gatecast import views
from gatecast.about import version
from gatecast.answers import answer
from gatecast.http.asking import Cursor, Limit
from gatecast.plane import Plane
from tenants.documents import KINDS


def routes(plane: Plane) -> APIRouter:
    """Of this plane."""
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
                documents=views.counts(plane.catalog, KINDS), problems=len(plane.problems()),
                clients=len(hub.clients), gateways=tuple(sorted(hub.snapshots)),
            )
        )  # fmt: skip

    return router
