"""envoy-data-plane's discovery messages, as the oracle for bytes that we write ourselves. It warns of its own use of
pydantic when it is imported, and warnings are errors here.
"""

import warnings

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryResponse, DiscoveryResponse, Resource

__all__ = ["DeltaDiscoveryResponse", "DiscoveryResponse", "Resource"]
