"""Which clusters a tenant's routes need. Called by `routes`.

Tenants share the cluster of a service, unless one sets limits of its own towards it.
"""

from tenants.effective import RouteView, TenantView
from xds.translate.built import ClusterSpec

Specs = tuple[tuple[tuple[ClusterSpec, int], ...], ...]
"""For each route, its clusters and their shares."""


def specs_of(view: TenantView) -> Specs:
    """The clusters of each route; a suspended tenant needs none."""
    if view.tenant.status == "suspended":
        return ()
    found = tuple(
        tuple((_spec(view, route, backend.service), backend.weight) for backend in route.backends)
        for route in view.routes
    )
    return _told_apart(view, found)


def _spec(view: TenantView, route: RouteView, service: str) -> ClusterSpec:
    limits, outlier = route.policies.circuit_breaker, route.policies.outlier
    if limits is None and outlier is None:
        return ClusterSpec(service)
    own = "circuit_breaker" in route.own or "outlier" in route.own
    return ClusterSpec(service, view.tenant.id if own else "", limits, outlier)


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
