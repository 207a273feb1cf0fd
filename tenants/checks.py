"""What can be wrong with a document beside the others. One function a rule, one table; called by `tenants.catalog`.

A rule yields findings: a fault, its severity, and what would have to change before it is worth asking again (`waits`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

from immutables import Map

from tenants.documents import Certificate, Document, Gateway, Key, Organisation, Route, Service, Tenant, overlap
from tenants.effective import Base, base, layers, outcome, serves
from tenants.errors import Problem
from tenants.exactness import demands, unmet
from tenants.faults import Fault, Loc, close
from tenants.findings import GATEWAYS, Finding, Scene, Token
from tenants.matching import ordered
from tenants.references import exclusive, local_endpoint, references
from tenants.served import SHELVES, Served
from tenants.written import written

_NONE: Map[str, Any] = Map()


def check(document: Document, scene: Scene) -> tuple[Finding, ...]:
    """Everything wrong with the document beside the others, but for what it would have to share."""
    return tuple(dict.fromkeys(chain.from_iterable(rule(document, scene) for rule in RULES[document.kind])))


def contested(document: Document, scene: Scene) -> tuple[Finding, ...]:
    """What the document claims and another one has: whoever had it before keeps it, else the lowest id."""
    kept = ((token, scene.keeper(token)) for token in exclusive(document))
    return tuple(
        Finding(_taken(document, token, keeper), (token,))
        for token, keeper in kept
        if keeper not in (None, document.key)
    )


def missing(served: Served, names: Iterable[Key]) -> tuple[Problem, ...]:
    """What is wrong with all documents together and with none of them. `names`: of all there are, also broken ones."""
    if served.gateways or all(name.kind == "Gateway" for name in names):
        return ()
    message, hint = "no gateway is in force: nothing is served", "add a Gateway, or mend it"
    return (Problem("GC215", "Gateway", "", "", message, hint, severity="warning"),)


def _taken(document: Document, token: str, winner: Key | None) -> Fault:
    if isinstance(document, Tenant):
        host = token.removeprefix("host ")
        loc: Loc = ("hosts", document.hosts.index(host))
        return Fault("GC204", loc, f"{host} belongs to {winner}", "a host of its own, or take it from the other first")
    if isinstance(document, Certificate):
        host = token.removeprefix("certificate ")
        loc = ("hosts", document.hosts.index(host))
        return Fault("GC223", loc, f"{host} has {winner} already", "a host of its own, or take it from the other first")
    hint = "another path, other methods, or a condition on a header"
    return Fault("GC205", ("match",), f"takes the same requests as {winner}", hint)


_UNKNOWN = {"Organisation": "GC201", "Service": "GC202", "Route": "GC203", "Tenant": "GC221", "Certificate": "GC222"}


def _known(document: Document, scene: Scene) -> Iterator[Finding]:
    for key, loc in references(document):
        if scene.now.get(key) is None:
            shelf = getattr(scene.now, SHELVES[key.kind])
            near = close(key.id, shelf, f"add the {key.kind}, or mend it") if len(shelf) < 1000 else "no close match"
            name = key.kind.lower()
            yield Finding(Fault(_UNKNOWN[key.kind], loc, f"no {name} {key.id!r} is in force", near), (key,))


def _local_service(service: Service, scene: Scene) -> Iterator[Finding]:
    loc = local_endpoint(service)
    strict = [name for name in sorted(scene.now.gateways) if not scene.now.gateways[name].allow_local_endpoints]
    if loc and strict:
        message = f"the endpoint is on loopback or link-local and the gateway {strict[0]!r} does not allow that"
        hint = f"a routable address, or `allow_local_endpoints: true` in the gateway {strict[0]!r}"
        yield Finding(Fault("GC210", loc, message, hint), (GATEWAYS,))


_BY_GRPC: Mapping[Loc, tuple[str, str]] = MappingProxyType(
    {
        ("policies", "authz", "service"): ("GC216", "an authorization server"),
        ("rate_limit_service", "service"): ("GC217", "a rate limit service"),
        ("tracing", "service"): ("GC218", "a collector of traces"),
    }
)
"""The fields that name a service which is asked by gRPC, and what it is."""


def _hosts_of_others(certificate: Certificate, scene: Scene) -> Iterator[Finding]:
    """A certificate of one tenant is not shown to clients of another."""
    for index, host in enumerate(certificate.hosts if certificate.tenant else ()):
        token = f"host {host}"
        owner = scene.keeper(token)
        if owner not in (None, Key("Tenant", certificate.tenant or "")):
            message = f"{host} belongs to {owner}, and the certificate to Tenant/{certificate.tenant}"
            yield Finding(Fault("GC224", ("hosts", index), message, "hosts of the tenant, or of nobody"), (token,))


def _unverified(service: Service, scene: Scene) -> Iterator[Finding]:
    if service.tls and not service.tls.verify:
        message = "whoever answers at the address of this service is believed to be it"
        fault = Fault("GC225", ("tls", "verify"), message, "`ca_file` and `sni`, so that its certificate is verified")
        yield Finding(fault, (), "warning")


def _asks_by_grpc(document: Document, scene: Scene) -> Iterator[Finding]:
    for key, loc in references(document):
        code, what = _BY_GRPC.get(loc[-3:], ("", ""))
        service = scene.now.services.get(key.id) if code else None
        if service is not None and service.protocol != "grpc":
            message = f"the service {key.id!r} speaks {service.protocol}, and {what} is asked by gRPC"
            yield Finding(Fault(code, loc, message, "a service with `protocol: grpc`"), (key,))


def _asked_by_grpc(service: Service, scene: Scene) -> Iterator[Finding]:
    """Who asks it already is not hurt by a change of it; a service that nobody ever asked is free."""
    old = scene.before.services.get(service.id)
    if service.protocol == "grpc" or old is None or old.protocol != "grpc":
        return
    shelves = (scene.now.gateways, scene.now.organisations, scene.now.routes, scene.now.tenants)
    documents = chain.from_iterable(shelf.values() for shelf in shelves)
    found = ((one.key, at[-3:]) for one in documents for key, at in references(one) if key == service.key)
    asks = sorted((key, at) for key, at in found if at in _BY_GRPC)
    if asks:
        who, at = asks[0]
        code, _what = _BY_GRPC[at]
        message = f"{who} asks it in `{at[-2]}`, by gRPC"
        fault = Fault(code, ("protocol",), message, f"grpc; or change {who} first")
        yield Finding(fault, tuple(key for key, _ in asks))


def _local_gateway(gateway: Gateway, scene: Scene) -> Iterator[Finding]:
    if gateway.allow_local_endpoints:
        return
    for name in sorted(scene.now.services):
        old = scene.before.services.get(name)
        if old and local_endpoint(old) and local_endpoint(scene.now.services[name]):
            message = f"the service {name!r} has an endpoint on loopback or link-local and is in force"
            fault = Fault("GC210", ("allow_local_endpoints",), message, "change the service first, or set it to true")
            yield Finding(fault, (Key("Service", name),))
            return


def _claim_gateway(gateway: Gateway, scene: Scene) -> Iterator[Finding]:
    if gateway.tenant.source == "claim" and gateway.policies.get("jwt") is None:
        fault = Fault("GC209", ("tenant", "from"), "a claim needs a token and the gateway has no `jwt`", "policies.jwt")
        yield Finding(fault)


def _claim_tenant(tenant: Tenant, scene: Scene) -> Iterator[Finding]:
    names = [name for name, one in _serving(tenant, scene) if one.tenant.source == "claim"]
    off: list[Loc] = [
        ("routes", name, "policies", "jwt") for name in sorted(tenant.routes) if _off(tenant.routes[name])
    ]
    off += [("policies", "jwt")] if _off(tenant) else []
    for loc in off if names else ():
        message = f"the gateway {names[0]!r} knows tenants by a claim, so `jwt` cannot be switched off"
        yield Finding(Fault("GC209", loc, message, "leave `jwt` as it is inherited"), (GATEWAYS,))


def _exact(tenant: Tenant, scene: Scene) -> Iterator[Finding]:
    """Whoever changes what a tenant inherits learns it too: it is told of the tenants that he hurts."""
    for _name, gateway in _serving(tenant, scene):
        waits: tuple[Token, ...] = tuple(one.key for one in demands(scene.now, gateway, tenant))
        for fault in unmet(scene.now, gateway, tenant, scene.exactness):
            yield Finding(fault, (GATEWAYS, *waits))


def _off(holder: Any) -> bool:
    return "jwt" in holder.policies and holder.policies["jwt"] is None


def _tenant_header(document: Document, scene: Scene) -> Iterator[Finding]:
    """The header that names the tenant is the gateway's to write: a service may go by it too."""
    found = tuple(written(document))
    reach = _reach(document, scene) if found else []
    names = {one.tenant.name or "": one.id for one in reversed(reach) if one.tenant.source == "header"}
    for name, loc in found:
        if name in names:
            message = f"the header {name!r} names the tenant at the gateway {names[name]!r}"
            yield Finding(Fault("GC219", loc, message, "a header of its own"), (GATEWAYS,))


def _reach(document: Document, scene: Scene) -> list[Gateway]:
    """The gateways on which the document may hold."""
    if isinstance(document, Tenant):
        return [gateway for _name, gateway in _serving(document, scene)]
    if isinstance(document, Organisation):
        return _gateways_for(document, scene)
    return [document] if isinstance(document, Gateway) else [one for _, one in sorted(scene.now.gateways.items())]


def _selected(gateway: Gateway, scene: Scene) -> Iterator[Finding]:
    chosen = [("tenants", "Tenant", name) for name in gateway.tenants]
    chosen += [("organisations", "Organisation", name) for name in gateway.organisations]
    for field, kind, name in chosen:
        if scene.now.get(Key(kind, name)) is None:
            ids: tuple[str, ...] = getattr(gateway, field)
            fault = Fault("GC214", (field, ids.index(name)), f"there is no {kind} {name!r}", "add it, or leave it out")
            yield Finding(fault, (), "warning")


def _ports(gateway: Gateway, scene: Scene) -> Iterator[Finding]:
    """A warning: two fleets on different machines may well use one port; on one machine they cannot."""
    others = [scene.now.gateways[name] for name in sorted(scene.now.gateways) if name < gateway.id]
    for index, one in enumerate(gateway.listeners):
        met = [o.id for o in others for their in o.listeners if _meet(one, their)]
        if met:
            message = f"port {one.port} is also used by the gateway {met[0]!r}"
            fault = Fault(
                "GC206", ("listeners", index, "port"), message, "fine on different machines; else another port"
            )
            yield Finding(fault, (GATEWAYS,), "warning")


def _meet(one: Any, other: Any) -> bool:
    return one.port == other.port and overlap(one.address, other.address)


def _reachable(tenant: Tenant, scene: Scene) -> Iterator[Finding]:
    names = [name for name, gateway in _serving(tenant, scene) if gateway.tenant.source == "host"]
    if names and not tenant.hosts:
        fault = Fault("GC213", ("hosts",), f"the gateway {names[0]!r} selects by host and there is none", "add `hosts`")
        yield Finding(fault, (GATEWAYS,), "warning")


def _serving(tenant: Tenant, scene: Scene) -> list[tuple[str, Gateway]]:
    gateways = scene.now.gateways
    return [(name, gateways[name]) for name in sorted(gateways) if serves(gateways[name], tenant)]


def _merged_gateway(gateway: Gateway, scene: Scene) -> Iterator[Finding]:
    yield from _merged(gateway.policies, base(gateway.policies, _NONE, _NONE), ())


def _merged_organisation(organisation: Organisation, scene: Scene) -> Iterator[Finding]:
    for gateway in _gateways_for(organisation, scene):
        yield from _merged(organisation.policies, base(gateway.policies, organisation.policies, _NONE), (GATEWAYS,))


def _gateways_for(organisation: Organisation, scene: Scene) -> list[Gateway]:
    gateways = [scene.now.gateways[name] for name in sorted(scene.now.gateways)]
    return [gateway for gateway in gateways if _may_serve(gateway, organisation)]


def _may_serve(gateway: Gateway, organisation: Organisation) -> bool:
    """Whether tenants of the organisation may be served; one that names tenants may name any organisation's."""
    return not gateway.organisations or bool(gateway.tenants) or organisation.id in gateway.organisations


def _merged_route(route: Route, scene: Scene) -> Iterator[Finding]:
    if not route.policies:
        return
    shared = [(gateway, _NONE) for _name, gateway in sorted(scene.now.gateways.items())]
    for name in sorted(scene.now.organisations):
        organisation = scene.now.organisations[name]
        if not frozenset(organisation.policies).isdisjoint(route.policies):
            shared += [(gateway, organisation.policies) for gateway in _gateways_for(organisation, scene)]
    for gateway, inherited in shared:
        yield from _merged(route.policies, base(gateway.policies, inherited, route.policies), (GATEWAYS,))


def _merged_tenant(tenant: Tenant, scene: Scene) -> Iterator[Finding]:
    if not tenant.policies and not any(override.policies for override in tenant.routes.values()):
        return
    organisation = scene.now.organisations.get(tenant.organisation) if tenant.organisation else None
    inherited = organisation.policies if organisation else _NONE
    waits: tuple[Token, ...] = (GATEWAYS, organisation.key) if organisation else (GATEWAYS,)
    for _name, gateway in _serving(tenant, scene):
        yield from _merged(tenant.policies, base(gateway.policies, inherited, _NONE), waits, tenant.policies)
        for route in ordered(scene.now.routes):
            yield from _merged_path(tenant, route, base(gateway.policies, inherited, route.policies), waits)


def _merged_path(tenant: Tenant, route: Route, shared: Base, waits: tuple[Token, ...]) -> Iterator[Finding]:
    """What a route adds to the merge of the whole tenant: policies of the route itself and the tenant's own for it."""
    override = tenant.routes.get(route.id)
    own = override.policies if override else _NONE
    if own:
        yield from _merged(own, shared, (*waits, route.key), tenant.policies, own, ("routes", route.id, "policies"))
    rest = [name for name in route.policies if name in tenant.policies and name not in own]
    if rest:
        some = Map({name: tenant.policies[name] for name in rest})
        yield from _merged(some, shared, (*waits, route.key), tenant.policies)


def _merged(
    said: Map[str, Any],
    shared: Base,
    waits: tuple[Token, ...],
    tenant: Map[str, Any] = _NONE,
    override: Map[str, Any] = _NONE,
    at: Loc = ("policies",),
) -> Iterator[Finding]:
    """The faults of the policies `said` in a document, merged with what it inherits; `at` is where it says them."""
    for name in sorted(said):
        faults = outcome(name, layers(name, shared, tenant, override)).faults
        if faults and name == "jwt" and _claim_without_token(said[name], faults):
            message = "`tenant_claim` is given and there is no `jwt` to take it from"
            loc = (*at, name, "tenant_claim")
            yield Finding(Fault("GC208", loc, message, "an issuer, here or inherited"), waits)
            continue
        for fault in faults:
            message = f"{fault.message}, once merged with what it inherits"
            yield Finding(Fault("GC207", (*at, *fault.loc), message, fault.hint), waits)


def _claim_without_token(said: Any, faults: tuple[Fault, ...]) -> bool:
    missing = {fault.loc for fault in faults if fault.code == "GC102"}
    return isinstance(said, Map) and "tenant_claim" in said and ("jwt", "issuer") in missing


Rule = Callable[[Any, Scene], Iterator[Finding]]

RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "Gateway": (
            *(_known, _asks_by_grpc, _local_gateway, _claim_gateway),
            *(_merged_gateway, _tenant_header, _selected, _ports),
        ),
        "Service": (_known, _local_service, _asked_by_grpc, _unverified),
        "Organisation": (_known, _asks_by_grpc, _merged_organisation, _tenant_header),
        "Route": (_known, _asks_by_grpc, _merged_route, _tenant_header),
        "Tenant": (_known, _asks_by_grpc, _merged_tenant, _tenant_header, _claim_tenant, _reachable, _exact),
        "Certificate": (_known, _hosts_of_others),
    }
)
