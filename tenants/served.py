"""The documents that are in force, by kind and id: an immutable value. `Catalog` is one; checks and views read one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

from immutables import Map

from tenants.documents import Certificate, Document, Gateway, Key, Organisation, Route, Service, Tenant

SHELVES: Mapping[str, str] = MappingProxyType(
    {
        "Gateway": "gateways",
        "Service": "services",
        "Organisation": "organisations",
        "Route": "routes",
        "Tenant": "tenants",
        "Certificate": "certificates",
    }
)


@dataclass(frozen=True)
class Served:
    """Maps from id to document. Iterate over `sorted(...)`: the order of a Map differs between processes."""

    gateways: Map[str, Gateway] = Map()  # noqa: RUF009 - it is immutable
    services: Map[str, Service] = Map()  # noqa: RUF009 - it is immutable
    organisations: Map[str, Organisation] = Map()  # noqa: RUF009 - it is immutable
    routes: Map[str, Route] = Map()  # noqa: RUF009 - it is immutable
    tenants: Map[str, Tenant] = Map()  # noqa: RUF009 - it is immutable
    certificates: Map[str, Certificate] = Map()  # noqa: RUF009 - it is immutable

    def get(self, key: Key) -> Document | None:
        """The document in force under this name."""
        shelf: Map[str, Document] = getattr(self, SHELVES[key.kind])
        return shelf.get(key.id)

    def changed(self, key: Key, document: Document | None) -> Self:
        """These with one document set, or taken away."""
        name = SHELVES[key.kind]
        shelf: Map[str, Any] = getattr(self, name)
        if document is not None:
            return replace(self, **{name: shelf.set(key.id, document)})
        return replace(self, **{name: shelf.delete(key.id)}) if key.id in shelf else self
