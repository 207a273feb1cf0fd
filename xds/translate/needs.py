"""What a gateway needs by itself: the clusters of services that its listeners call, whatever tenants there are.

`listeners` says that it uses them, so they are on a proxy before the listener is; `xds.builder` counts them as those
of a tenant.
"""

from tenants.documents import Gateway
from tenants.references import called
from xds.translate.built import ClusterSpec


def gateway_needs(gateway: Gateway) -> frozenset[ClusterSpec]:
    """The clusters of the services that the Gateway document itself names."""
    return frozenset(ClusterSpec(key.id) for key, _loc in called(gateway))
