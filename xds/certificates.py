"""Which certificate a client of one gateway is shown for which host, and which secrets must be built anew. Owned by
`xds.builder`.

A certificate counts for its hosts, and with `*.` for the hosts of tenants below: what nobody has is unknown, so a
client that invents names costs an answer and no memory. An exact host goes before `*.`, and a certificate of one tenant
is never shown for the host of another.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tenants.documents import Gateway, Service
from tenants.effective import serves
from tenants.served import Served
from tenants.supplies import Supplies
from xds.translate import Built, secrets


class Claim(NamedTuple):
    """What a certificate is for; `tenant` is "" if it is nobody's."""

    hosts: tuple[str, ...] = ()
    tenant: str = ""


class Hosts:
    """The certificates of one gateway by host. `dirty`: hosts whose secret may differ from what was built."""

    def __init__(self) -> None:
        self.dirty: set[str] = set()
        self._claims: dict[str, Claim] = {}
        self._holders: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._below: dict[str, set[str]] = {}
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._of: dict[str, set[str]] = {}

    def claim(self, certificate: str, claim: Claim | None) -> None:
        """This certificate is for these hosts now; None: there is no such certificate."""
        old, new = self._claims.pop(certificate, Claim()), claim or Claim()
        if claim is not None:
            self._claims[certificate] = claim
        if old == new:
            return
        for host in old.hosts:
            if self._holders.get(host) == certificate:  # in this very turn another may have taken it
                del self._holders[host]
        self._holders.update(dict.fromkeys(new.hosts, certificate))
        self._of.get(old.tenant, set()).discard(certificate)
        self._of.setdefault(new.tenant, set()).add(certificate)
        for host in (*old.hosts, *new.hosts):
            self.dirty |= self._shown(host)

    def tenant(self, name: str, hosts: tuple[str, ...]) -> None:
        """This tenant has these hosts now."""
        old = self._hosts.pop(name, ())
        if hosts:
            self._hosts[name] = hosts
        if old == hosts:
            return
        for host in old:
            if self._owners.get(host) == name:
                del self._owners[host]
                self._below.get(_parent(host), set()).discard(host)
        for host in hosts:
            self._owners[host] = name
            self._below.setdefault(_parent(host), set()).add(host)
        self.dirty.update(old, hosts)

    def supplied(self, certificates: Iterable[str]) -> None:
        """These certificates came, changed or went."""
        for certificate in certificates:
            for host in self._claims.get(certificate, Claim()).hosts:
                self.dirty |= self._shown(host)

    def of(self, tenant: str) -> frozenset[str]:
        """The certificates of a tenant."""
        return frozenset(self._of.get(tenant, ()))

    def find(self, host: str) -> str | None:
        """The certificate for a client that asks for this name."""
        owner = self.owner(host)
        for one in self._candidates(host):
            if not owner or self._claims[one].tenant in ("", owner):
                return one
        return None

    def owner(self, host: str) -> str:
        """Whose host it is, "" if nobody's."""
        return self._owners.get(host, "")

    def _candidates(self, host: str) -> Iterator[str]:
        if host in self._holders:
            yield self._holders[host]
        if host in self._owners and _parent(host) in self._holders:
            yield self._holders[_parent(host)]

    def _shown(self, host: str) -> set[str]:
        """The names that a host of a claim stands for."""
        return self._below.get(host, set()) if host.startswith("*.") else {host}


class Certificates:
    """The secrets of one gateway: those that clients ask for by host, and those that listeners and clusters name."""

    def __init__(self) -> None:
        self.hosts = Hosts()
        self.lacking: frozenset[str] = frozenset()  # files of authorities that listeners were built without
        self._services: dict[str, tuple[Service, bool]] = {}  # those with TLS, and whether they were built as ready
        self._built: dict[str, object] = {}  # of what the secrets that are named were built

    def supplied(self, before: Supplies, after: Supplies) -> None:
        """There is other material."""
        old, new = before.certificates, after.certificates
        if new is not old:
            self.hosts.supplied(one for one in {*old, *new} if old.get(one) != new.get(one))

    def lacks(self, gateway: Gateway, supplies: Supplies) -> frozenset[str]:
        """The files of authorities that listeners need and nobody could read yet."""
        return secrets.of_gateway(gateway)[1].difference(supplies.authorities)

    def use(self, name: str, service: Service | None, supplies: Supplies) -> bool:
        """A service is in use as it is now (None: no longer); whether its TLS has all it needs."""
        self._services.pop(name, None)
        if service is None or service.tls is None:
            return True
        ready = secrets.ready(service, supplies)
        self._services[name] = service, ready
        return ready

    def turned(self, supplies: Supplies) -> frozenset[str]:
        """The services whose clusters must be built anew, because what they need came or went."""
        found = self._services.items()
        return frozenset(name for name, (service, was) in found if secrets.ready(service, supplies) != was)

    def follow(self, served: Served, gateway: Gateway, tenants: Iterable[str], certificates: Iterable[str]) -> None:
        """These tenants and certificates, or what the gateway serves, may have changed."""
        asked = set(certificates)
        for name in tenants:
            tenant = served.tenants.get(name)
            self.hosts.tenant(name, tenant.hosts if tenant and serves(gateway, tenant) else ())
            asked |= self.hosts.of(name)
        for name in asked:
            self.hosts.claim(name, _claim(served, gateway, name))

    def stale(self, gateway: Gateway, supplies: Supplies) -> Iterator[tuple[str, Built | None]]:
        """The secrets to put (or, None, to remove), each once."""
        while self.hosts.dirty:
            host = self.hosts.dirty.pop()
            found = supplies.certificates.get(self.hosts.find(host) or "")
            yield host, secrets.certificate(host, found, self.hosts.owner(host)) if found else None
        named = self._named(gateway, supplies)
        for name in sorted(named.keys() | self._built.keys()):
            content, built = named.get(name, (None, None))
            if content != self._built.get(name):
                yield name, built
                self._built[name] = content
        self._built = {name: content for name, content in self._built.items() if content is not None}

    def _named(self, gateway: Gateway, supplies: Supplies) -> dict[str, tuple[object, Built]]:
        """What listeners and clusters name, and of what it is made."""
        said = [secrets.of_gateway(gateway), *(secrets.of_service(service) for service, _ in self._services.values())]
        found: dict[str, tuple[object, Built]] = {}
        for one in frozenset[str]().union(*(certificates for certificates, _ in said)):
            if material := supplies.certificates.get(one):
                name = secrets.certificate_name(one)
                found[name] = material, secrets.certificate(name, material)
        for file in frozenset[str]().union(*(files for _, files in said)):
            if text := supplies.authorities.get(file):
                found[secrets.authorities_name(file)] = text, secrets.authorities(file, text)
        return found


def _claim(served: Served, gateway: Gateway, name: str) -> Claim | None:
    document = served.certificates.get(name)
    if document is None:
        return None
    tenant = served.tenants.get(document.tenant) if document.tenant else None
    here = secrets.by_name(gateway) and (tenant is None or serves(gateway, tenant))
    return Claim(document.hosts if here else (), document.tenant or "")


def _parent(host: str) -> str:
    return "*." + host.partition(".")[2]
