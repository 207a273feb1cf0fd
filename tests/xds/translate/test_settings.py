"""Our own model on the wire: what a sidecar is told, and that a change of one thing is a change of one resource."""

import json

import catalogs
from immutables import Map

from protos.settings_pb2 import SharedDocument, TenantSettings
from tenants.catalog import Catalog, Touched
from tenants.documents import Key
from tenants.keysets.source import Source
from tenants.supplies import Supplies
from xds.builder import Builder
from xds.snapshot import Snapshot

WITH_KONG = catalogs.BASE.replace("policies:", "kong: true\npolicies:")
TENANTS = """
kind: Tenant
id: acme
organisation: foods
policies: {jwt: {issuer: "https://id.example", jwks: {uri: "https://id.example/keys"}}}
routes: {orders: {service: orders-next, policies: {rate_limit: {requests: 5}}}}
---
kind: Tenant
id: beta
status: suspended
"""
SOURCE = Source("https://id.example", "https://id.example/keys")
KEYS = '{"keys":[{"kty":"RSA","kid":"k1","n":"n","e":"AQAB"},{"kty":"oct","kid":"s","k":"c2VjcmV0"}]}'


class Told:
    """A builder and what it made so far."""

    def __init__(self, *texts: str) -> None:
        self.catalog, self.builder, self.supplies = Catalog.empty(), Builder(), Supplies()
        for number, text in enumerate(texts):
            self.apply(text, f"{number}.yaml")

    def apply(self, text: str, file: str = "new.yaml") -> Snapshot:
        step = self.catalog.apply(catalogs.changes(text, file))
        self.catalog = step.catalog
        return self.builder.update(step.catalog, step.touched, self.supplies)["edge"]

    def keyed(self, text: str) -> Snapshot:
        self.supplies = Supplies(keys=Map({SOURCE: text}))
        return self.builder.update(self.catalog, Touched(), self.supplies)["edge"]

    @property
    def snapshot(self) -> Snapshot:
        return self.builder.snapshots["edge"]

    def tenant(self, name: str) -> TenantSettings:
        found = self.snapshot.get("TENANTS", name)
        assert found is not None
        return TenantSettings.FromString(found.body)

    def shared(self, name: str) -> SharedDocument:
        found = self.snapshot.get("SHARED", name)
        assert found is not None
        return SharedDocument.FromString(found.body)


def changed(before: Snapshot, after: Snapshot) -> set[tuple[str, str]]:
    kinds = ("SHARED", "TENANTS")
    names = {(kind, name) for one in (before, after) for kind in kinds for name in one.resources[kind]}
    return {(kind, name) for kind, name in names if before.get(kind, name) is not after.get(kind, name)}


def test_a_tenant_is_told_by_what_its_settings_come_to() -> None:
    told = Told(WITH_KONG, TENANTS).tenant("acme")
    assert (told.id, told.organisation, told.suspended) == ("acme", "foods", False)
    assert json.loads(told.policies)["rate_limit"]["requests"] == 100
    (one,) = told.routes
    assert (one.routes, one.named) == (["orders"], ["rate_limit"])
    assert json.loads(one.policies)["rate_limit"]["requests"] == 5
    assert [(share.service, share.weight) for share in one.shares] == [("orders-next", 100)]


def test_documents_that_tenants_share_are_told_once_and_nothing_without_a_kong() -> None:
    assert not Told(catalogs.BASE, TENANTS).snapshot.resources["SHARED"]
    snapshot = Told(WITH_KONG, TENANTS).snapshot
    assert sorted(snapshot.resources["SHARED"]) == [
        "Gateway/edge",
        "Route/orders",
        "Service/orders",
        "Service/orders-next",
    ]


def test_when_a_kong_comes_every_tenant_is_told() -> None:
    told = Told(catalogs.BASE, TENANTS)
    told.apply(WITH_KONG, "0.yaml")
    assert sorted(told.snapshot.resources["TENANTS"]) == ["acme", "beta"]
    told.apply(catalogs.BASE, "0.yaml")
    assert not told.snapshot.resources["TENANTS"]
    assert not told.snapshot.resources["SHARED"]


def test_a_tenants_change_is_one_resource_and_so_is_a_services() -> None:
    told = Told(WITH_KONG, TENANTS)
    before = told.snapshot
    after = told.apply("kind: Tenant\nid: beta", "beta.yaml")
    assert changed(before, after) == set()  # the first document of a name counts
    after = told.apply(TENANTS.replace("suspended", "active"), "1.yaml")
    assert changed(before, after) == {("TENANTS", "beta")}
    last = told.apply(WITH_KONG.replace("10.0.0.1", "10.0.0.9"), "0.yaml")
    assert changed(after, last) == {("SHARED", "Service/orders")}


def test_keys_are_one_resource_without_shared_secrets_and_a_tenant_waits_for_them() -> None:
    told = Told(WITH_KONG, TENANTS)
    before = told.snapshot
    after = told.keyed(KEYS)
    name = f"KeySet/{SOURCE.name}"
    assert changed(before, after) == {("SHARED", name)}
    assert [key["kid"] for key in json.loads(told.shared(name).json)["keys"]] == ["k1"]
    found = after.get("TENANTS", "acme")
    assert found is not None
    assert found.owner == "acme"
    assert found.uses == {name, "Gateway/edge", "Route/orders", "Service/orders-next"}
    assert changed(after, told.keyed(KEYS.replace("k1", "k2"))) == {("SHARED", name)}


def test_a_document_that_goes_is_removed() -> None:
    told = Told(WITH_KONG, TENANTS)
    step = told.catalog.apply(catalogs.Changes(drop=frozenset({Key("Tenant", "beta")})))
    after = told.builder.update(step.catalog, step.touched)["edge"]
    assert sorted(after.resources["TENANTS"]) == ["acme"]
