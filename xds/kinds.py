"""The resource types we serve: one row each. The stream machine, the snapshot, the wire and the server read this table.

Order of rows = order of answers on an aggregated stream: make before break (XP "Eventual consistency
considerations", R46). To add a type: a row here and an `xds/translate/<type>.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type.

    `complete`: a SotW response is the full state, so what it leaves out is deleted (R23; Envoy treats SRDS the same
    way).
    `legacy_wildcard`: a first request without names subscribes to everything (R26, R27).
    `needs`: kinds whose resources (named in `Resource.uses`) a client must hold before it may use ours.
    `users`: kinds whose resources may still use ours: a removal waits until this client has let go of them.
    `parts`: a resource of ours holds several things that others use one by one, by the name `<resource>/<part>`; its
    own `uses` lists them.
    `service`, `sotw`, `delta`: the gRPC service of its own and that service's streaming methods; "": it has none for
    delta, or it is on the aggregated stream alone.
    """

    name: str
    message: str
    service: str
    sotw: str
    delta: str = ""
    complete: bool = False
    legacy_wildcard: bool = False
    needs: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    parts: bool = False

    @property
    def type_url(self) -> str:
        return "type.googleapis.com/" + self.message


_ROWS = (
    Kind("CDS", "envoy.config.cluster.v3.Cluster", "envoy.service.cluster.v3.ClusterDiscoveryService",
         "StreamClusters", "DeltaClusters", complete=True, legacy_wildcard=True, users=("LDS", "RDS")),
    Kind("EDS", "envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.service.endpoint.v3.EndpointDiscoveryService",
         "StreamEndpoints", "DeltaEndpoints", users=("CDS",)),
    Kind("SDS", "envoy.extensions.transport_sockets.tls.v3.Secret", "envoy.service.secret.v3.SecretDiscoveryService",
         "StreamSecrets", "DeltaSecrets"),
    Kind("ECDS", "envoy.config.core.v3.TypedExtensionConfig",
         "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
         "StreamExtensionConfigs", "DeltaExtensionConfigs", users=("RDS",), parts=True),
    Kind("LDS", "envoy.config.listener.v3.Listener", "envoy.service.listener.v3.ListenerDiscoveryService",
         "StreamListeners", "DeltaListeners", complete=True, legacy_wildcard=True, needs=("CDS",)),
    Kind("SRDS", "envoy.config.route.v3.ScopedRouteConfiguration",
    "envoy.service.route.v3.ScopedRoutesDiscoveryService",
         "StreamScopedRoutes", "DeltaScopedRoutes", complete=True, legacy_wildcard=True),
    Kind("RDS", "envoy.config.route.v3.RouteConfiguration", "envoy.service.route.v3.RouteDiscoveryService",
         "StreamRoutes", "DeltaRoutes", needs=("CDS", "ECDS"), users=("SRDS",)),
    Kind("RLS", "ratelimit.config.ratelimit.v3.RateLimitConfig",
         "ratelimit.service.ratelimit.v3.RateLimitConfigDiscoveryService",
         "StreamRlsConfigs", complete=True, legacy_wildcard=True),
    Kind("SHARED", "gatecast.settings.v1.SharedDocument", "", "", complete=True, users=("TENANTS",)),
    Kind("TENANTS", "gatecast.settings.v1.TenantSettings", "", "", complete=True, needs=("SHARED",)),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {row.name: row for row in _ROWS}
BY_TYPE_URL: Mapping[str, Kind] = {row.type_url: row for row in _ROWS}
