"""What translation hands out to `xds.builder`.

`Built` is a resource that is not encoded yet. `ClusterSpec` says when two uses of a service share a cluster.
"""

import hashlib
import json
from dataclasses import dataclass

from google.protobuf.message import Message

from tenants.policies import CircuitBreaker, Outlier


@dataclass(frozen=True, slots=True)
class Built:
    """One resource. `kind` is a row of `xds.kinds`, `owner` the tenant it belongs to alone ("": shared).

    `uses`: for RDS the clusters its routes send to and the token providers they demand, for SRDS the route
    configuration it names, for ECDS the parts it has (`xds.kinds`). `companion`: for a cluster whose endpoints come by
    EDS, the name of that EDS resource.
    """

    kind: str
    name: str
    message: Message
    uses: frozenset[str] = frozenset()
    companion: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A service with the limits that hold for some of its users. Equal specs share one cluster.

    `owner` is the tenant that set the limits itself. `further` marks the specs of one owner beyond its first.
    """

    service: str
    owner: str = ""
    circuit_breaker: CircuitBreaker | None = None
    outlier: Outlier | None = None
    further: bool = False

    @property
    def name(self) -> str:
        """`orders`, or a tenant's own `orders@acme`, which no new limit renames, or by content `orders~1f0c9b2e`."""
        if self.owner:
            own = f"{self.service}@{self.owner}"
            return f"{own}~{self._content()}" if self.further else own
        if self.circuit_breaker is None and self.outlier is None:
            return self.service
        return f"{self.service}~{self._content()}"

    def _content(self) -> str:
        said = [one and one.model_dump(mode="json") for one in (self.circuit_breaker, self.outlier)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
