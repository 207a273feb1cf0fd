"""Routes for probes and for Prometheus: nobody is asked who he is."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gatecast import answers
from gatecast.http.described import fails
from gatecast.plane import Plane

LIVE = ("/livez", "/health/live")
READY = ("/readyz", "/health/ready", "/healthz", "/startupz")


def routes(plane: Plane) -> APIRouter:
    """Probes of this plane."""
    router = APIRouter(tags=["health"])

    async def live() -> dict[str, str]:
        """The loop turns."""
        return {"status": "alive"}

    async def ready() -> Response:
        """Streams are accepted: a snapshot exists and the server does not shut down. The store may be away."""
        hub = plane.hub
        if hub.draining:
            return answers.failure(503, "the server is shutting down", "draining")
        if not hub.ready:
            return answers.failure(503, "settings are still being loaded", "loading")
        return Response('{"status":"ready"}', media_type="application/json")

    for path in LIVE:
        router.add_api_route(path, live)
    for path in READY:
        router.add_api_route(path, ready, responses=fails(503))
    return router


def numbers(registry: CollectorRegistry) -> APIRouter:
    """Metrics of this registry."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
