"""Documents for tests from short JSON, and what one tenant comes to. They are not checked against one another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from immutables import Map

from tenants.documents import Document, Gateway, Service
from tenants.effective import TenantView, serves, view
from tenants.faults import check
from tenants.served import Served

Json = dict[str, Any]


def document(kind: str, **body: Any) -> Any:
    """One document; the faults it has fail the test."""
    made = check(kind, body)
    assert isinstance(made, Document), made
    return made


@dataclass(frozen=True)
class World:
    """Documents in force together."""

    served: Served

    @property
    def gateway(self) -> Gateway:
        """The only gateway."""
        (only,) = self.served.gateways.values()
        return only

    @property
    def services(self) -> Map[str, Service]:
        return self.served.services

    def view(self, tenant: str) -> TenantView:
        return view(self.served, self.gateway, self.served.tenants[tenant])

    def views(self) -> Iterator[TenantView]:
        """All tenants the gateway serves, by id."""
        for name in sorted(self.served.tenants):
            if serves(self.gateway, self.served.tenants[name]):
                yield self.view(name)


def world(documents: Iterable[Json]) -> World:
    """The documents, each with its `kind` among its fields."""
    served = Served()
    for body in documents:
        made = document(**body)
        served = served.changed(made.key, made)
    return World(served)


def gateway(**more: Any) -> Json:
    """A gateway on a port that nobody listens on in a test without traffic."""
    return {"kind": "Gateway", "id": "edge", "listeners": [{"name": "public", "port": 8080}], **more}


def service(name: str = "orders", **more: Any) -> Json:
    return {"kind": "Service", "id": name, **({} if "dns" in more else {"endpoints": ["127.0.0.1:9001"]}), **more}


def route(name: str = "orders", **more: Any) -> Json:
    return {"kind": "Route", "id": name, "match": {"prefix": f"/{name}"}, "service": "orders", **more}


def tenant(name: str = "acme", **more: Any) -> Json:
    return {"kind": "Tenant", "id": name, **more}
