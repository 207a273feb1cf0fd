"""Which clusters a tenant's routes need. Called by `routes`.

Tenants share the cluster of a service, unless one sets limits of its own towards it.
"""

from dataclasses import dataclass
from functools import lru_cache

from tenants.effective import Backend, RouteView, TenantView
from xds.translate.built import ClusterSpec
from xds.translate.jwt import Provider


@dataclass(frozen=True, slots=True)
class Needs:
    """What a tenant's table needs beside itself."""

    clusters: frozenset[ClusterSpec] = frozenset()
    providers: frozenset[Provider] = frozenset()


Specs = tuple[tuple[tuple[ClusterSpec, int], ...], ...]
"""For each route, its clusters and their shares."""


def specs_of(view: TenantView) -> Specs:
    """The clusters of each route; a suspended tenant needs none."""
    if view.tenant.status == "suspended":
        return ()
    return _told_apart(view, tuple(_specs(view, route) for route in view.routes))


def _specs(view: TenantView, route: RouteView) -> tuple[tuple[ClusterSpec, int], ...]:
    limits, outlier = route.policies.circuit_breaker, route.policies.outlier
    if limits is None and outlier is None:
        return _common(route.backends)
    owner = view.tenant.id if "circuit_breaker" in route.own or "outlier" in route.own else ""
    return tuple((ClusterSpec(one.service, owner, limits, outlier), one.weight) for one in route.backends)


@lru_cache(maxsize=4096)
def _common(backends: tuple[Backend, ...]) -> tuple[tuple[ClusterSpec, int], ...]:
    return tuple((ClusterSpec(one.service), one.weight) for one in backends)


def _told_apart(view: TenantView, found: Specs) -> Specs:
    """Of several own clusters of one service, the one with the tenant's general limits keeps the plain name."""
    owned = {spec for one in found for spec, _weight in one if spec.owner}
    if len(owned) < 2:
        return found
    several = {spec.service for spec in owned if sum(other.service == spec.service for other in owned) > 1}
    plain = (view.policies.circuit_breaker, view.policies.outlier)

    def named(spec: ClusterSpec) -> ClusterSpec:
        further = spec in owned and spec.service in several and (spec.circuit_breaker, spec.outlier) != plain
        return ClusterSpec(spec.service, spec.owner, spec.circuit_breaker, spec.outlier, further)

    return tuple(tuple((named(spec), weight) for spec, weight in one) for one in found)
