"""Where the keys of an issuer come from. Translation names sources, `tenants.keysets.fetcher` fetches them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A key set to fetch: at `uri`, or (uri "") found through OpenID discovery at the `issuer`.

    `local`: addresses on loopback and link-local are allowed; a gateway says so (`allow_local_endpoints`).
    """

    issuer: str
    uri: str = ""
    local: bool = False
