"""What a sidecar reads of what the server sends: the same values, and words about what cannot be read."""

import corpora
import kong_worlds
import pytest
from immutables import Map

from kong_sync import model
from protos.settings_pb2 import SharedDocument, TenantSettings
from tenants.catalog import Touched
from tenants.effective import backends, view
from tenants.errors import Refused
from tenants.keysets.source import Source
from xds.builder import Builder


@pytest.mark.parametrize("number", range(3))
def test_all_settings_arrive_as_they_were(number: int) -> None:
    """Every policy with every odd value, by the builder and over the wire."""
    world = corpora.all_worlds()[number]
    gateway = world.gateway.model_copy(update={"kong": True})
    served = world.served.changed(gateway.key, gateway)
    (snapshot,) = Builder().update(served, Touched()).values()  # type: ignore[arg-type]
    told = kong_worlds.told(snapshot)
    assert told.gateway == gateway
    assert (told.services, told.routes) == (served.services, served.routes)
    for name, settings in told.tenants.items():
        seen = view(served, gateway, served.tenants[name])
        assert (settings.policies, settings.suspended) == (seen.policies, seen.tenant.status == "suspended")
        assert settings.hosts == tuple(sorted(seen.tenant.hosts))
        found = {one.route: one for one in settings.routes}
        assert found.keys() == {one.route.id for one in seen.routes}
        for one in seen.routes:
            mine = found[one.route.id]
            assert mine.policies == one.policies
            assert model.shares(mine, told.routes[one.route.id]) == one.backends
            override = seen.tenant.routes.get(one.route.id)
            assert mine.named == frozenset(override.policies if override else ())
            assert backends(one.route, override) == one.backends


def test_keys_arrive_by_the_name_of_their_source() -> None:
    source = Source("https://id.example", "https://id.example/keys")
    body = SharedDocument(kind="KeySet", id=source.name, json='{"issuer": "i", "uri": "u", "keys": []}')
    found = model.shared(body.SerializeToString())
    assert isinstance(found, model.IssuerKeys)
    world = model.World().with_shared(f"KeySet/{source.name}", found)
    assert world.keys[source.name] is found
    assert world.with_shared(f"KeySet/{source.name}", None).keys == Map()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff", "cannot be read"),
        (SharedDocument(kind="Route", id="r", json="{").SerializeToString(), "Route/r: its JSON"),
        (SharedDocument(kind="Route", id="r", json='{"id":"r","match":{}}').SerializeToString(), "Route/r"),
        (SharedDocument(kind="Comet", id="r", json="{}").SerializeToString(), "does not know its kind"),
        (SharedDocument(kind="KeySet", id="k", json='{"keys":[{}]}').SerializeToString(), "KeySet/k"),
    ],
)
def test_a_shared_document_that_cannot_be_read_is_refused_by_its_name(body: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        model.shared(body)


def test_a_tenant_that_cannot_be_read_is_refused_with_the_field() -> None:
    newer = TenantSettings(id="acme", policies='{"telepathy": {}}')
    with pytest.raises(Refused, match=r"(?s)Tenant/acme: .*telepathy"):
        model.tenant(newer.SerializeToString())
