"""Judges who a caller of the xDS server is: THE place. Every service of `xds.server` asks before it sends anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xds.hub import Hub
from xds.identity import Names, Trust, names
from xds.wire import Node


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """`trust`: which gateways a certificate may read. None: nobody is asked, for only who may gets this far."""

    hub: Hub
    trust: Trust | None = None

    def refusal(self, context: Any, gateway: str) -> str:
        """Why the caller may not read this gateway; "" if it may. `context` is that of the call."""
        if self.trust is None:
            return ""
        shown = context.auth_context().get("x509_pem_cert", ())
        said = names(shown[0]) if shown else Names()
        return "" if self.trust.admits(said, gateway) else self.trust.refusal(said, gateway)

    def stranger(self, context: Any, node: Node) -> str:
        """The same for a node, of whatever gateway it is; of none there is nothing to read."""
        gateway = self.hub.gateway(node)
        return self.refusal(context, gateway) if gateway is not None else ""

    def sees(self, context: Any) -> Callable[[str], bool]:
        """Which gateways the caller may read."""
        seen = {name for name in self.hub.snapshots if not self.refusal(context, name)}
        return seen.__contains__
