"""Documents to Envoy messages: pure functions, one tenant at a time. `xds.builder` and the CLI call these alone.

`listeners(gateway)`, `tenant(view)`, `cluster(service, spec)` and `endpoints(service)` build resources that are not
encoded yet (`Built`). `unsupported(view)` and `unsupported_service(service)` say what a document asks for and Envoy is
not told.
"""

from xds.translate.built import Built, ClusterSpec
from xds.translate.clusters import cluster, endpoints
from xds.translate.listeners import listeners
from xds.translate.routes import tenant
from xds.translate.support import unsupported, unsupported_service

__all__ = [
    "Built",
    "ClusterSpec",
    "cluster",
    "endpoints",
    "listeners",
    "tenant",
    "unsupported",
    "unsupported_service",
]
