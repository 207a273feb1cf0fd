"""Documents to Envoy messages: pure functions, one tenant at a time. `xds.builder` and the CLI call these alone.

`listeners(gateway)`, `unnamed(gateway)`, `tenant(view)`, `cluster(service, spec)`, `endpoints(service)` and
`shard(name, providers, keys)` build resources that are not encoded yet (`Built`). `gateway_needs(gateway)` are the
clusters that a gateway needs by itself. `unsupported(view)` says what a document asks for and Envoy is not told.
`secrets` has what TLS needs.
"""

from xds.translate.built import Built, ClusterSpec
from xds.translate.clusters import cluster, endpoints
from xds.translate.jwt import CLAIM_SHARD, SHARD_NAMES, Provider, claimed, shard
from xds.translate.listeners import listeners
from xds.translate.needs import gateway_needs
from xds.translate.preflights import unnamed
from xds.translate.routes import tenant
from xds.translate.support import unsupported
from xds.translate.uses import Needs

__all__ = [
    "CLAIM_SHARD",
    "SHARD_NAMES",
    "Built",
    "ClusterSpec",
    "Needs",
    "Provider",
    "claimed",
    "cluster",
    "endpoints",
    "gateway_needs",
    "listeners",
    "shard",
    "tenant",
    "unnamed",
    "unsupported",
]
