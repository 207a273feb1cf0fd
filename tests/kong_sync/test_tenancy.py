"""Who is let in as whom: tenants by header, host and claim, and no request that reaches another tenant's settings."""

import itertools
import json

import idps
import pytest
from kong_gates import Gate, Header

from kong_sync.issuers import Issuer, conflicts
from tenants.keysets.source import Source

PATH = "/api/orders/1"
TENANTS = ("acme", "beta", "gamma")
NAME = "x-tenant-id"


@pytest.fixture(scope="module")
def idp() -> idps.Idp:
    made = idps.Idp(name="main")
    made.add()
    return made


@pytest.fixture(scope="module")
def own() -> idps.Idp:
    """Another provider: gamma's own."""
    made = idps.Idp(name="own", path="/gamma", alg="ES256")
    made.add()
    return made


def keys(*providers: idps.Idp) -> dict[Source, str]:
    return {Source(one.issuer, one.uri, local=True): json.dumps(one.jwks()) for one in providers}


def bearer(token: str) -> Header:
    return "authorization", f"Bearer {token}"


def mark(name: str, **policies: object) -> str:
    """A tenant whose answers say who served them."""
    said = {"headers": {"response": {"set": {"x-served": name}}}, **policies}
    return json.dumps({"kind": "Tenant", "id": name, "hosts": [f"{name}.example.com"], "policies": said})


def jwt(provider: idps.Idp, **more: object) -> dict[str, object]:
    return {"issuer": provider.issuer, "jwks": {"uri": provider.uri}, **more}


@pytest.mark.parametrize("alone", [True, False])
async def test_a_header_names_one_tenant_or_none(gate: Gate, alone: bool) -> None:
    await gate.load(gate.world(*map(mark, TENANTS)), alone=alone)
    for name in TENANTS:
        found = await gate.ask(PATH, (NAME, name))
        assert (found.status, found.headers["x-served"]) == (200, name)
    unknown = [(NAME, "nobody")], [(NAME, "ACME")], [(NAME, "")], [(NAME, "-")], []
    for headers in unknown:
        found = await gate.ask(PATH, *headers)
        assert (found.status, found.code) == (404, "unknown_tenant"), headers
    names = (NAME, "X-Tenant-Id", "x_tenant_id", "x-tenant_id")
    values = ("acme", "beta", "acme, beta", "acme,acme")
    lines = list(itertools.product(names, values))
    for pair in itertools.product(lines, lines):
        found = await gate.ask(PATH, *pair)
        assert (found.status, found.code) == (400, "bad_tenant_header"), pair
    for line in lines:
        if "_" in line[0] or "," in line[1]:
            assert (await gate.ask(PATH, line)).status == 400, line


async def test_a_path_that_no_route_takes_is_the_tenants_own_404(gate: Gate) -> None:
    await gate.load(gate.world(*map(mark, TENANTS)))
    found = await gate.ask("/nowhere", (NAME, "acme"))
    assert (found.status, found.code, found.headers["x-served"]) == (404, "not_found", "acme")
    assert (await gate.ask("/nowhere")).code == "unknown_tenant"


async def test_the_paths_of_others_are_left_alone_where_the_kong_is_shared(gate: Gate) -> None:
    await gate.load(gate.world(*map(mark, TENANTS)), alone=False)
    twice = (NAME, "acme"), (NAME, "beta")
    found = await gate.ask("/foreign", *twice)
    assert (found.status, b"error" in found.body) == (404, False)
    for path in ("/api/orders", "/x/../api/orders", "/%61pi/orders"):
        assert (await gate.ask(path, *twice)).status == 400, path


async def test_hosts_name_tenants(gate: Gate) -> None:
    await gate.load(gate.world(*map(mark, TENANTS), gateway="tenant: {from: host}"))
    for name in TENANTS:
        for host in (f"{name}.example.com", f"{name}.example.com:8080"):
            found = await gate.ask(PATH, (NAME, "acme"), host=host)
            assert (found.status, found.headers["x-served"]) == (200, name)
            assert found.sent["host"] == host
    for host in ("example.com", "evil-acme.example.com", "acme.example.com.evil", "x.acme.example.com"):
        found = await gate.ask(PATH, host=host)
        assert (found.status, found.code) == (404, "unknown_tenant")


async def test_no_token_opens_another_tenant(gate: Gate, idp: idps.Idp, own: idps.Idp) -> None:
    """Three tenants, the forms of the header, and tokens: acme and beta share a provider, gamma has its own."""
    tenants = (
        mark("acme", jwt=jwt(idp, tenant_claim="tenant")),
        mark("beta", jwt=jwt(idp, tenant_claim="tenant")),
        mark("gamma", jwt=jwt(own)),
    )
    await gate.load(gate.world(*tenants, keys=keys(idp, own)))
    tokens = {
        "acme": idp.token(tenant="acme"),
        "beta": idp.token(tenant="beta"),
        "gamma": own.token(),
        "claims gamma": idp.token(tenant="gamma"),
        "claims acme": own.token(tenant="acme"),
        "says it is main": own.token(iss=idp.issuer, tenant="acme"),
        "no claim": idp.token(),
        "a list": idp.token(tenant=["acme"]),
        "nested": idp.token(other={"tenant": "acme"}),
        "text": idp.token(nick='","tenant":"acme"'),
        "expired": idp.token(tenant="acme", expires_in=-600),
        "not yet": idp.token(tenant="acme", nbf=4_000_000_000),
        "other kid": idp.token(tenant="acme", kid=own.keys[-1].kid),
        "kid claim": own.token(iss=idp.issuer, tenant="acme", kid=idp.keys[-1].kid),
        "none": idp.forged("none", tenant="acme"),
        "HS256": idp.forged("HS256", tenant="acme"),
    }
    good = {(name, name) for name in TENANTS} | {("claims acme", "gamma")}  # gamma's tokens need no claim
    for (name, token), tenant in itertools.product(tokens.items(), TENANTS):
        for headers in ([(NAME, tenant)], [("X-Tenant-ID", tenant)]):
            found = await gate.ask(PATH, *headers, bearer(token))
            served = found.headers.get("x-served") if found.status == 200 else None
            assert served == (tenant if (name, tenant) in good else None), (name, tenant, found)
            assert found.status in (200, 401, 403)
        for other in TENANTS:
            for second in ((NAME, other), ("x_tenant_id", other)):
                assert (await gate.ask(PATH, (NAME, tenant), second, bearer(token))).status == 400
    for tenant in TENANTS:
        assert await gate.statuses(PATH, ((NAME, tenant),), ((NAME, tenant), ("authorization", ""))) == [401, 401]
        assert (await gate.ask(f"{PATH}?jwt={tokens[tenant]}", (NAME, tenant))).status == 401


async def test_a_claim_names_the_tenant_and_what_a_client_says_does_not(
    gate: Gate, idp: idps.Idp, own: idps.Idp
) -> None:
    policies = json.dumps({"jwt": jwt(idp, audiences=["api"])})
    gateway = f"tenant: {{from: claim, name: org.tenant}}\npolicies: {policies}"
    await gate.load(gate.world(*map(mark, TENANTS), gateway=gateway, keys=keys(idp)))
    for name in TENANTS:
        token = bearer(idp.token(aud=["web", "api"], org={"tenant": name}))
        for more in ([], [(NAME, "beta")], [("x-gatecast-claim", "beta")]):
            found = await gate.ask(PATH, token, *more)
            assert (found.status, found.headers["x-served"]) == (200, name)
            assert "x-gatecast-claim" not in found.sent
        assert (await gate.ask(PATH, token, ("x_gatecast_claim", "beta"))).status == 400
    asked = {
        "nobody": (404, "unknown_tenant", idp.token(aud="api", org={"tenant": "nobody"})),
        "upper": (404, "unknown_tenant", idp.token(aud="api", org={"tenant": "ACME"})),
        "list": (404, "unknown_tenant", idp.token(aud="api", org={"tenant": ["acme"]})),
        "flat": (404, "unknown_tenant", idp.token(aud="api", tenant="acme")),
        "audience": (403, "token_not_for_this_audience", idp.token(aud="web", org={"tenant": "acme"})),
        "issuer": (401, "token_invalid", own.token(aud="api", org={"tenant": "acme"})),
        "expired": (401, "token_expired", idp.token(aud="api", org={"tenant": "acme"}, expires_in=-60)),
    }
    for what, (status, code, token) in asked.items():
        found = await gate.ask(PATH, bearer(token))
        assert (found.status, found.code) == (status, code), what
    forged = idp.forged("HS256", aud="api", org={"tenant": "acme"})
    assert (await gate.ask(PATH, bearer(forged))).status == 401
    assert (await gate.ask(PATH)).code == "token_missing"


async def test_a_token_that_is_not_required_must_be_good_if_there_is_one(gate: Gate, idp: idps.Idp) -> None:
    policy = jwt(idp, required=False, forward_claims={"sub": "x-user", "n": "x-number"})
    await gate.load(gate.world(mark("acme", jwt=policy), keys=keys(idp)))
    acme, user = (NAME, "acme"), ("x-user", "root")
    found = await gate.ask(PATH, acme, user)
    assert (found.status, "x-user" in found.sent) == (200, False)
    found = await gate.ask(PATH, acme, user, bearer(idp.token(sub="ann", n=7)))
    assert (found.status, found.sent["x-user"], found.sent["x-number"]) == (200, "ann", "7")
    for token in (idp.forged(), idp.forged("HS256"), idp.token(expires_in=-600), idp.token(kid="nobody"), "x", "a.b.c"):
        assert (await gate.ask(PATH, acme, bearer(token))).status == 401
    assert (await gate.ask(PATH, acme, ("authorization", "Basic x"))).status == 200


async def test_a_preflight_needs_no_token_and_nothing_else_does_without(gate: Gate, idp: idps.Idp) -> None:
    cors = {"origins": ["https://shop.example"], "headers": ["authorization"]}
    await gate.load(gate.world(mark("acme", jwt=jwt(idp), cors=cors), keys=keys(idp)))
    origin, asks = ("origin", "https://shop.example"), ("access-control-request-method", "GET")
    for headers in ([origin, asks], [origin, asks, (NAME, "acme")]):
        found = await gate.ask(PATH, *headers, method="OPTIONS")
        assert (found.status, found.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    for headers in ([(NAME, "acme")], [(NAME, "acme"), origin], [(NAME, "acme"), asks]):
        assert (await gate.ask(PATH, *headers, method="OPTIONS")).status == 401
    refused = await gate.ask(PATH, (NAME, "acme"), origin)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://shop.example")


async def test_keys_overlap_and_a_key_that_is_gone_opens_nothing(gate: Gate) -> None:
    idp = idps.Idp(name="turning")
    first = idp.add()
    second = idp.add("EdDSA")
    acme = mark("acme", jwt=jwt(idp))
    await gate.load(gate.world(acme, keys=keys(idp)))
    tokens = [bearer(idp.token(one)) for one in (first, second)]
    assert await gate.statuses(PATH, *(((NAME, "acme"), one) for one in tokens)) == [200, 200]
    idp.keys.remove(first)
    await gate.load(gate.world(acme, keys=keys(idp)))
    assert await gate.statuses(PATH, *(((NAME, "acme"), one) for one in tokens)) == [401, 200]
    await gate.load(gate.world(acme))
    assert await gate.statuses(PATH, *(((NAME, "acme"), one) for one in tokens)) == [401, 401]


async def test_one_key_by_two_ways_is_one_and_two_keys_of_one_name_are_told(gate: Gate, idp: idps.Idp) -> None:
    inline = {"issuer": idp.issuer, "jwks": idp.jwks()}
    told = gate.world(mark("acme", jwt=jwt(idp)), mark("beta", jwt=inline), keys=keys(idp))
    await gate.load(told)
    token = bearer(idp.token())
    assert await gate.statuses(PATH, ((NAME, "acme"), token), ((NAME, "beta"), token)) == [200, 200]
    other = idps.Idp(name="main", path="/other")
    other.add()
    desired = await gate.load(
        gate.world(mark("acme", jwt=jwt(idp)), mark("beta", jwt=jwt(other)), keys=keys(idp, other))
    )
    assert [problem.code for problem in desired.problems()] == ["GC301"]
    issuers = [use for use in desired.uses if isinstance(use, Issuer)]
    assert conflicts(issuers, desired.world.keys) == ("main-1",)
    cross = [((NAME, "acme"), bearer(other.token())), ((NAME, "beta"), token)]
    assert set(await gate.statuses(PATH, *cross)) <= {401, 403}
