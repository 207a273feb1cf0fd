"""What a document says about other documents: whom it refers to, and what it takes for itself alone. Pure tables."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from immutables import Map

from tenants.documents import Certificate, Document, Gateway, Key, Organisation, Route, Service, Tenant
from tenants.faults import Loc
from tenants.matching import takes
from tenants.paths import Split

Reference = tuple[Key, Loc]


def references(document: Document) -> tuple[Reference, ...]:
    """The documents this one cannot do without, each with the field that names it."""
    find = _REFERENCES.get(document.kind)
    return tuple(find(document)) if find else ()


def exclusive(document: Document) -> tuple[str, ...]:
    """What only one document may have: a tenant's hosts, the requests a route takes, the hosts of a certificate."""
    if isinstance(document, Tenant):
        return tuple(f"host {host}" for host in document.hosts)
    if isinstance(document, Route):
        return tuple(f"route {taken}" for taken in takes(document))
    if isinstance(document, Certificate):
        return tuple(f"certificate {host}" for host in document.hosts)
    return ()


def watched(document: Document) -> frozenset[Key]:
    """The documents this one can do without, but wants to know about: those a gateway selects."""
    if not isinstance(document, Gateway):
        return frozenset()
    chosen = frozenset(Key("Tenant", name) for name in document.tenants)
    return chosen | frozenset(Key("Organisation", name) for name in document.organisations)


def local_endpoint(service: Service) -> Loc | None:
    """The field that points the proxies at themselves or at their neighbours' management, if there is one."""
    if service.dns and (service.dns.host == "localhost" or service.dns.host.endswith(".localhost")):
        return ("dns",)
    indexes = (index for index, endpoint in enumerate(service.endpoints) if _is_local(endpoint.host))
    first = next(indexes, None)
    return None if first is None else ("endpoints", first)


def _is_local(host: str) -> bool:
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)


def _of_tenant(tenant: Tenant) -> Iterator[Reference]:
    if tenant.organisation:
        yield Key("Organisation", tenant.organisation), ("organisation",)
    yield from _of_policies(tenant.policies, ("policies",))
    for name in sorted(tenant.routes):
        override, at = tenant.routes[name], ("routes", name)
        yield Key("Route", name), at
        yield from _of_backends(override.service, override.split, at)
        yield from _of_policies(override.policies, (*at, "policies"))


def _of_route(route: Route) -> Iterator[Reference]:
    yield from _of_backends(route.service, route.split, ())
    yield from _of_policies(route.policies, ("policies",))


def called(gateway: Gateway) -> tuple[Reference, ...]:
    """The services that the proxies of a gateway call by themselves, for every tenant."""
    named = (("tracing", gateway.tracing), ("rate_limit_service", gateway.rate_limit_service))
    return tuple((Key("Service", said.service), (field, "service")) for field, said in named if said is not None)


def _of_gateway(gateway: Gateway) -> Iterator[Reference]:
    yield from called(gateway)
    for index, listener in enumerate(gateway.listeners):
        for field in ("certificate", "default") if listener.tls else ():
            if name := getattr(listener.tls, field):
                yield Key("Certificate", name), ("listeners", index, "tls", field)
    yield from _of_policies(gateway.policies, ("policies",))


def _of_organisation(organisation: Organisation) -> Iterator[Reference]:
    yield from _of_policies(organisation.policies, ("policies",))


def _of_service(service: Service) -> Iterator[Reference]:
    if service.tls and service.tls.certificate:
        yield Key("Certificate", service.tls.certificate), ("tls", "certificate")


def _of_certificate(certificate: Certificate) -> Iterator[Reference]:
    if certificate.tenant:
        yield Key("Tenant", certificate.tenant), ("tenant",)


def _of_backends(service: str | None, split: Split | None, at: Loc) -> Iterator[Reference]:
    if service:
        yield Key("Service", service), (*at, "service")
    for index, share in enumerate(split or ()):
        yield Key("Service", share.service), (*at, "split", index, "service")


def _of_policies(policies: Map[str, Any], at: Loc) -> Iterator[Reference]:
    authz = policies.get("authz")
    if isinstance(authz, Map) and isinstance(authz.get("service"), str):
        yield Key("Service", authz["service"]), (*at, "authz", "service")


_REFERENCES: Mapping[str, Callable[[Any], Iterator[Reference]]] = MappingProxyType(
    {
        "Tenant": _of_tenant,
        "Route": _of_route,
        "Gateway": _of_gateway,
        "Organisation": _of_organisation,
        "Service": _of_service,
        "Certificate": _of_certificate,
    }
)
