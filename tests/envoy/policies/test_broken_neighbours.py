"""Five hundred tenants with broken settings beside good ones: each is closed and told so, and nobody else notices."""

from collections.abc import Callable

import edges
import idps
import pytest
import tokens
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MANY = 500
SECRET = idps.key("leaked", "RS256").secret()
LOGIN = {"issuer": "https://login.example.com"}
SHORT = {"kty": "RSA", "n": "AQAB", "e": "Aw"}


def certificate(name: str) -> edges.Json:
    files = {"certificate": {"file": f"{name}.pem"}, "key": {"file": f"{name}.key"}}
    return {"kind": "Certificate", "id": name, "tenant": name, "hosts": [edges.host(name)], **files}


BREAKS: dict[str, Callable[[str], list[edges.Json]]] = {
    "keys that nobody has": lambda name: [edges.tenant(name, jwt=LOGIN | {"audiences": [name]})],
    "keys of its own that nobody has": lambda name: [edges.tenant(name, jwt={"issuer": f"https://{name}.example.com"})],
    "a private key": lambda name: [edges.tenant(name, jwt=LOGIN | {"jwks": {"keys": [SECRET]}})],
    "no key": lambda name: [edges.tenant(name, jwt=LOGIN | {"jwks": {"keys": [SHORT]}})],
    "a claim without a token": lambda name: [edges.tenant(name, jwt={"tenant_claim": "tenant"})],
    "an organisation that is not there": lambda name: [edges.tenant(name, more={"organisation": name})],
    "a host of another": lambda name: [edges.tenant(name, more={"hosts": [edges.host("guarded")]})],
    "a server that is not there": lambda name: [edges.tenant(name, authz={"service": name})],
    "a server that speaks no gRPC": lambda name: [edges.tenant(name, authz={"service": "echo"})],
    "a certificate that is not there": lambda name: [edges.tenant(name, jwt={"issuer": 5}), certificate(name)],
}  # fmt: skip


def broken() -> dict[str, list[edges.Json]]:
    ways = list(BREAKS.values())
    return {f"broken-{n}": ways[n % len(ways)](f"broken-{n}") for n in range(MANY)}


async def test_broken_settings_of_many_hurt_nobody_else(edge: edges.Edge) -> None:
    idp = idps.Idp("ES256", port=1)
    idp.add()
    await tokens.known(edge, idp)
    guard = tokens.policy(idp, tenant_claim="tenant")
    await edge.put(edges.tenant("guarded", jwt=guard), edges.tenant("plain"))
    said = {**edge.named("guarded"), **tokens.bearer(idp.token(tenant="guarded"))}
    listeners, made = edge.served.sent("LDS"), broken()
    async with upstreams.load(edge.url(), rate=200, headers=said) as load:
        await load.more(20)
        await edge.served.apply(edges.text(one for documents in made.values() for one in documents))
        told = " ".join(edge.served.problems())
        silent = [name for n, name in enumerate(made) if n % len(BREAKS) > 1 and f"Tenant/{name}" not in told]
        await edge.served.apply(edges.text([edges.tenant("plain", jwt=guard)]))

        async def guarded() -> bool:
            return await edge.statuses("plain") == [401]

        await edge.until(guarded, "the change of a good tenant")
        statuses = {name: (await edge.ask(name)).status_code for name in made}
        await load.more(20)
    assert load.failures == []
    assert silent == []
    assert set(statuses.values()) <= {401, 404, 503}, statuses
    assert edge.served.sent("LDS") == listeners
    assert await edge.statuses("plain", headers=tokens.bearer(idp.token(tenant="plain"))) == [200]
