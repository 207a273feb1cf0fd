"""How exactly the proxies of a gateway do what a policy says. Catalogs are told it, and hold documents to it."""

from typing import Any

from kong_sync.plugins import ROWS as KONG
from tenants.documents import Gateway
from xds.translate.parity import EXACT, parity


def exactness(policy: str, value: Any, gateway: Gateway) -> str:
    """ "" if Envoy does exactly what is written, and Kong where there is one too."""
    found = parity(policy, value, gateway)
    if found != EXACT:
        return str(found)
    in_kong = KONG[policy].parity if gateway.kong else str(EXACT)
    return "" if in_kong == str(EXACT) else f"{in_kong} (in Kong)"
