"""Where the keys of an issuer come from. Translation names sources, `tenants.keysets.fetcher` fetches them."""

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A key set to fetch: at `uri`, or (uri "") found through OpenID discovery at the `issuer`.

    `local`: addresses on loopback and link-local are allowed; a gateway says so (`allow_local_endpoints`).
    `symmetric`: shared secrets are taken too; a policy says so (`algorithms`).
    """

    issuer: str
    uri: str = ""
    local: bool = False
    symmetric: bool = False

    @property
    def name(self) -> str:
        """Says the issuer and the address, and is the same in every process: how a gateway is told of the key set."""
        return hashlib.sha256(json.dumps([self.issuer, self.uri, self.symmetric]).encode()).hexdigest()[:16]
