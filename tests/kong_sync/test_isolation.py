"""Three tenants, every form of naming one, every kind of token: who is answered is who is named and whose token it is,
or nobody. On the double, or on a real Kong (`kong_gates`).
"""

import itertools
import json
from collections.abc import Iterator

import idps
import pytest
from kong_gates import Gate, Header

from tenants.keysets.source import Source

PATH = "/api/orders/1"
NAME = "x-tenant-id"
TENANTS = ("acme", "beta", "gamma")
Lines = tuple[Header, ...]


@pytest.fixture(scope="module")
def idp() -> idps.Idp:
    """Who signs the tokens of acme and beta."""
    made = idps.Idp(name="main")
    made.add()
    return made


@pytest.fixture(scope="module")
def own() -> idps.Idp:
    """Who signs those of gamma."""
    made = idps.Idp(name="own", path="/gamma", alg="ES256")
    made.add()
    return made


def tokens(idp: idps.Idp, own: idps.Idp) -> dict[str, tuple[str, str]]:
    """By what it is: whose token, "" for nobody's, and the token; "" for none."""
    bad = {
        "none": "",
        "no token": "x.y.z",
        "expired": idp.token(tenant="acme", expires_in=-600),
        "alg none": idp.forged("none", tenant="acme"),
        "shared secret": idp.forged("HS256", tenant="acme"),
        "unknown kid": idp.token(tenant="acme", kid="nobody"),
        "another's kid": own.token(iss=idp.issuer, tenant="acme", kid=idp.keys[-1].kid),
        "no tenant": idp.token(),
        "two tenants": idp.token(tenant=["acme", "beta"]),
        "another issuer's": own.token(iss=idp.issuer, tenant="acme"),
    }
    good = {
        "acme": idp.token(tenant="acme"),
        "beta": idp.token(tenant="beta"),
        "gamma": own.token(tenant="gamma"),
        "gamma, that says acme": own.token(tenant="acme"),
    }
    return {what: ("", one) for what, one in bad.items()} | {what: (what[:5], one) for what, one in good.items()}


def said(token: str) -> Lines:
    return (("authorization", f"Bearer {token}"),) if token else ()


async def load(gate: Gate, idp: idps.Idp, own: idps.Idp, selector: str, *, token: bool) -> None:
    """Three tenants whose answers say who was served."""
    ours = {"issuer": idp.issuer, "jwks": {"uri": idp.uri}, "tenant_claim": "tenant"}
    theirs = {"issuer": own.issuer, "jwks": {"uri": own.uri}}
    made = []
    for name in TENANTS:
        policies: dict[str, object] = {"headers": {"response": {"set": {"x-served": name}}}}
        if token:
            policies["jwt"] = theirs if name == "gamma" else ours
        hosts = [f"{name}.example.com"]
        made.append(json.dumps({"kind": "Tenant", "id": name, "hosts": hosts, "policies": policies}))
    keys = {Source(one.issuer, one.uri, local=True): json.dumps(one.jwks()) for one in (idp, own)}
    await gate.load(gate.world(*made, gateway=f"tenant: {selector}", keys=keys if token else None))


def forms(one: str, other: str) -> Iterator[tuple[Lines, str]]:
    """Ways to name a tenant by the header, and who is named: "" where it is nobody or not clear."""
    names = (NAME, "X-Tenant-Id", "X-TENANT-ID")
    yield from ((((name, value),), one) for name in names for value in (one, f" {one}", f"{one} \t"))
    values = ("", " ", one.upper(), one.title(), f"{one},", f"{one},{other}", f"{one}, {other}", f"{other}, {one}")
    more = (f"{one} {other}", f"{one};{other}", f"{one}\t{other}", f'"{one}"', f"{one}.", f"{one}%20", "-", "*", "~*.*")
    yield from ((((NAME, value),), "") for value in (*values, *more))
    misspelt = ("x_tenant_id", "X_TENANT_ID", "x-tenant_id", "x_tenant-id")
    yield from ((((name, one),), "") for name in misspelt)
    seconds = [(name, value) for name in (*names, *misspelt) for value in (one, other, "")]
    for second in seconds:
        yield ((NAME, one), second), ""
        yield (second, (NAME, one)), ""
    yield (), ""


@pytest.mark.parametrize("token", [True, False])
async def test_by_header_nobody_is_answered_as_another(gate: Gate, idp: idps.Idp, own: idps.Idp, token: bool) -> None:
    await load(gate, idp, own, "{from: header, name: x-tenant-id}", token=token)
    held = tokens(idp, own) if token else {"none": ("", "")}
    served = 0
    for one, other in itertools.permutations(TENANTS, 2):
        for (lines, named), (what, (whose, text)) in itertools.product(forms(one, other), held.items()):
            found = await gate.ask(PATH, *lines, *said(text))
            good = bool(named) and (not token or whose == named)
            assert (found.status == 200) is good, (lines, what, found)
            assert not good or found.headers["x-served"] == named, (lines, what)
            served += good
    assert served == (2 * 9 * (3 + 1) if token else 2 * 9 * 3)


HOSTS = ("{}", "{}:80", "{}:8443", "{}:0")
"""Hosts that name a tenant: a port says nothing."""
STRANGE = ("{}.", "{}.:80", "x.{}", "{}.evil.example", "evil-{}", "{},{}", "", "127.0.0.1", "example.com", "*")


@pytest.mark.parametrize("token", [True, False])
async def test_by_host_nobody_is_answered_as_another(gate: Gate, idp: idps.Idp, own: idps.Idp, token: bool) -> None:
    await load(gate, idp, own, "{from: host}", token=token)
    held = tokens(idp, own) if token else {"none": ("", "")}
    for one, other in itertools.permutations(TENANTS, 2):
        mine, theirs = f"{one}.example.com", f"{other}.example.com"
        shown = [(host.format(mine), one) for host in HOSTS]
        shown += [(host.format(mine, theirs), "") for host in STRANGE] + [(mine.upper(), ""), (mine.title(), "")]
        beside: tuple[Lines, ...] = ((), ((NAME, other),), (("x-forwarded-host", theirs),), (("x-host", theirs),))
        targets = (PATH, f"http://{mine}{PATH}", f"http://{theirs}{PATH}")
        for (host, named), lines, target in itertools.product(shown, beside, targets):
            for what, (whose, text) in held.items():
                found = await gate.ask(target, *lines, *said(text), host=host)
                good = bool(named) and (not token or whose == named)
                assert found.status != 200 or good, (host, lines, target, what, found)
                assert found.status != 200 or found.headers["x-served"] == named, (host, lines, target, what)
                assert found.status == 200 or not good, (host, lines, target, what, found)


async def test_by_claim_nobody_is_answered_as_another(gate: Gate, idp: idps.Idp, own: idps.Idp) -> None:
    policies = json.dumps({"jwt": {"issuer": idp.issuer, "jwks": {"uri": idp.uri}}})
    mark = "policies: {{headers: {{response: {{set: {{x-served: {0}}}}}}}}}"
    made = [f"kind: Tenant\nid: {name}\n{mark.format(name)}" for name in TENANTS]
    keys = {Source(one.issuer, one.uri, local=True): json.dumps(one.jwks()) for one in (idp, own)}
    await gate.load(
        gate.world(*made, gateway=f"tenant: {{from: claim, name: tenant}}\npolicies: {policies}", keys=keys)
    )
    held = tokens(idp, own)
    for one, other in itertools.permutations(TENANTS, 2):
        for name, (what, (whose, text)) in itertools.product((NAME, "x-gatecast-claim"), held.items()):
            for lines in ((), ((name, one),), ((name, one), (name, other)), ((name.upper(), other),)):
                found = await gate.ask(PATH, *lines, *said(text))
                good = whose in ("acme", "beta")
                assert (found.status == 200) is good, (lines, what, found)
                assert not good or found.headers["x-served"] == whose, (lines, what)
            found = await gate.ask(PATH, ("x_gatecast_claim", one), *said(text))
            assert found.status != 200, what
