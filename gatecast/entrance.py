"""Who operators must be, from the settings of the process: the `Access` of its API. `gatecast.serve` calls it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from gatecast.access import ANYBODY, LOCAL, Access
from gatecast.bearers import Jwts, Provider, Tokens, judges
from gatecast.config import Settings
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.sources.webhook import signed
from tenants.store import Store
from xds.identity import Trust


@dataclass(frozen=True, slots=True)
class Entrance:
    """How requests are judged, with the tokens that are remembered, and the keys of the identity provider if any."""

    access: Access
    tokens: Tokens
    fetcher: Fetcher | None = None

    async def run(self) -> None:
        """Keep the keys of the identity provider fresh, until cancelled."""
        if self.fetcher is not None:
            await self.fetcher.run()
        else:
            await asyncio.Event().wait()


def entrance(settings: Settings, store: Store) -> Entrance:
    """What the settings ask of operators. Whoever shows credentials is judged by them, also where nobody need."""
    tokens, jwts = Tokens(store.tokens.verify), _jwts(settings)
    unnamed = LOCAL if settings.alone else ANYBODY if settings.insecure and not settings.named else None
    secret = settings.registry_secret.get_secret_value() if settings.registry_secret else ""
    by_secret = partial(signed, secret) if secret else None
    access = Access(unnamed, judges(tokens, jwts, secret), tokens.known, store.audit.record, by_secret)
    return Entrance(access, tokens, jwts.fetcher if jwts else None)


def trust(settings: Settings) -> Trust | None:
    """Which gateways a proxy's certificate may read; None where proxies show none."""
    if settings.xds_client_ca is None:
        return None
    return Trust(dict(settings.xds_clients), settings.xds_trust_domain or "")


def _jwts(settings: Settings) -> Jwts | None:
    if settings.oidc_issuer is None:
        return None
    named = {"roles": dict(settings.oidc_roles)} if settings.oidc_roles else {}
    provider = Provider(
        settings.oidc_issuer, settings.oidc_audience, settings.oidc_role_claim, name=settings.oidc_name_claim, **named
    )
    fetcher = Fetcher(_nobody)
    fetcher.want(frozenset({provider.source}))
    return Jwts(provider, fetcher)


async def _nobody(_changes: Mapping[Source, State]) -> None:
    """The keys are looked up when a token comes."""
