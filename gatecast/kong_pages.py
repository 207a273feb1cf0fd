"""The small HTTP port of a sidecar: probes and metrics. Called by `gatecast.kong`."""

from typing import Any, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Watched(Protocol):
    """What is looked at."""

    registry: CollectorRegistry

    @property
    def unready(self) -> str: ...


def app(on: Watched) -> Starlette:
    """The pages of a sidecar."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> Response:
        why = on.unready
        said: dict[str, Any] = {"status": "waiting", "why": why} if why else {"status": "ready"}
        return JSONResponse(said, 503 if why else 200)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(on.registry), media_type=CONTENT_TYPE_LATEST)

    pages = {"/livez": live, "/readyz": ready, "/metrics": metrics}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])
