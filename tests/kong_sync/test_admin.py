"""The Admin client against a Kong: the double, and with the same tests a real one (KONG_ADMIN_URL)."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import kongs
import pytest

from kong_sync import admin as admin_module
from kong_sync.admin import Admin
from kong_sync.answers import Conflict, KongRefused, Missing, failure
from kong_sync.entities import KINDS, Entity, tenant
from tenants.errors import Unavailable

TAG = "gatecast-test"
Json = dict[str, Any]


def new(**fields: Any) -> Json:
    """An entity of ours with an id of its own."""
    return {"id": str(uuid.uuid4()), "tags": [TAG, "tenant:acme"], **fields}


def at(entity: Entity) -> Json:
    return {"id": entity["id"]}


def world() -> dict[str, Json]:
    """One entity of each kind that needs no certificate of a machine, referring to one another."""
    issuer = kongs.Issuer(f"kid-{uuid.uuid4()}")
    name = f"gatecast-{uuid.uuid4().hex[:8]}"
    consumer, upstream, service = new(username=name), new(name=name), new(name=name, host=name)
    route = new(name=name, paths=[f"/{name}"], service=at(service), headers={"x-tenant-id": ["acme"]})
    return {
        "consumers": consumer,
        "jwt_secrets": new(consumer=at(consumer), **issuer.credential()),
        "keyauth_credentials": new(consumer=at(consumer), key=f"key-{name}"),
        "acls": new(consumer=at(consumer), group="t:acme"),
        "upstreams": upstream,
        "targets": new(upstream=at(upstream), target="127.0.0.1:8080", weight=10),
        "services": service,
        "routes": route,
        "plugins": new(name="rate-limiting", route=at(route), config={"minute": 5, "policy": "local"}),
    }


def above(kind: str, entity: Entity) -> str:
    return str(entity[KINDS[kind].parent]["id"]) if KINDS[kind].nested else ""


async def test_every_kind_is_put_read_listed_and_deleted(admin: Admin) -> None:
    made = world()
    for _twice in range(2):
        for kind, entity in made.items():
            assert (await admin.put(KINDS[kind], entity))["id"] == entity["id"]
    for kind, entity in made.items():
        parent = above(kind, entity)
        held = await admin.get(KINDS[kind], entity["id"], parent=parent)
        assert held is not None
        assert {name: held[name] for name in entity if name not in ("config", "rsa_public_key")} == {
            name: value for name, value in entity.items() if name not in ("config", "rsa_public_key")
        }
        rows = await admin.rows(KINDS[kind], tags=(TAG, "tenant:acme"), parent=parent)
        assert [row["id"] for row in rows] == [entity["id"]]
    for kind, entity in reversed(made.items()):
        for _twice in range(2):
            await admin.delete(KINDS[kind], entity["id"], parent=above(kind, entity))
        if not KINDS[kind].nested:
            assert await admin.get(KINDS[kind], entity["id"]) is None


async def test_a_put_returns_what_is_not_stated_to_its_default_and_a_patch_leaves_it(admin: Admin) -> None:
    service = new(host="a.test", retries=1)
    await admin.put(KINDS["services"], service)
    patched = await admin.patch(KINDS["services"], service["id"], {"port": 81})
    assert (patched["retries"], patched["port"]) == (1, 81)
    assert (await admin.put(KINDS["services"], new(id=service["id"], host="a.test")))["retries"] == 5


async def test_kong_says_who_it_is(admin: Admin) -> None:
    assert admin.about.version.startswith("3.")
    assert {"jwt", "acl", "cors", "rate-limiting"} <= admin.about.plugins
    assert admin.about.wait > admin.about.state > 0
    assert (await admin.status()).ready
    names = {name for row in (await admin.schema(KINDS["services"]))["fields"] for name in row}
    assert set(KINDS["services"].fields) <= names
    with pytest.raises(Missing):
        await admin.plugin_schema("no-such-plugin")


async def test_the_fields_of_every_kind_are_those_of_kongs_schemas(admin: Admin) -> None:
    for kind in KINDS.values():
        names = {name for row in (await admin.schema(kind))["fields"] for name in row}
        assert set(kind.fields) - {"snis"} <= names, kind.name
        assert set(kind.foreign) <= names, kind.name


async def test_a_refused_entity_is_a_problem_with_tenant_field_and_kongs_words(admin: Admin) -> None:
    bad = new(name="a b", host="h", port=99999)
    with pytest.raises(KongRefused) as caught:
        await admin.put(KINDS["services"], bad)
    found = {one.path: one for one in caught.value.problems}
    assert set(found) == {"name", "port"}
    assert found["port"].message == "value should be between 0 and 65535"
    assert {(one.tenant, one.kind, one.id) for one in caught.value.problems} == {("acme", "services", "a b")}


async def test_a_fault_deep_in_a_plugin_is_told_by_its_path(admin: Admin) -> None:
    with pytest.raises(KongRefused) as caught:
        await admin.put(KINDS["plugins"], new(name="rate-limiting", config={"minute": -1, "colour": 1}))
    assert sorted(one.path for one in caught.value.problems) == ["config.colour", "config.minute"]
    with pytest.raises(KongRefused) as caught:
        await admin.put(KINDS["plugins"], new(name="rate-limiting", config={}))
    (problem,) = caught.value.problems
    assert (problem.path, "at least one of these fields" in problem.message) == ("", True)


async def test_a_namesake_is_a_conflict_that_does_not_go_away(admin: Admin) -> None:
    first = new(username=f"twin-{uuid.uuid4()}")
    await admin.put(KINDS["consumers"], first)
    with pytest.raises(Conflict, match="another entity of this Kong has the same key"):
        await admin.put(KINDS["consumers"], new(username=first["username"]))


async def test_a_secret_of_a_refused_credential_is_not_told(admin: Admin) -> None:
    consumer = new(username=f"secret-{uuid.uuid4()}")
    await admin.put(KINDS["consumers"], consumer)
    secret = f"hush-{uuid.uuid4()}"
    await admin.put(KINDS["keyauth_credentials"], new(consumer=at(consumer), key=secret))
    with pytest.raises(Conflict) as caught:
        await admin.put(KINDS["keyauth_credentials"], new(consumer=at(consumer), key=secret))
    assert secret not in str(caught.value)
    assert "***" in str(caught.value)


async def test_what_others_still_use_is_not_deleted(admin: Admin) -> None:
    made = world()
    for kind in ("services", "routes"):
        await admin.put(KINDS[kind], made[kind])
    with pytest.raises(KongRefused, match="an existing 'routes' entity references this"):
        await admin.delete(KINDS["services"], made["services"]["id"])


async def test_what_is_not_there_is_none_or_missing(admin: Admin) -> None:
    nobody = str(uuid.uuid4())
    assert await admin.get(KINDS["routes"], nobody) is None
    assert await admin.get(KINDS["consumers"], "nobody at all") is None
    with pytest.raises(Missing):
        await admin.patch(KINDS["services"], nobody, {"retries": 1})
    with pytest.raises(Missing):
        await admin.rows(KINDS["targets"], parent=nobody)


# -- paging -------------------------------------------------------------------------------------------------------


async def many(admin: Admin, count: int, **fields: Any) -> list[str]:
    """So many consumers; their ids in order."""
    made = [new(username=f"many-{uuid.uuid4()}", **fields) for _ in range(count)]
    await asyncio.gather(*(admin.put(KINDS["consumers"], one) for one in made))
    return sorted(one["id"] for one in made)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "PAGE", 3)


@pytest.mark.usefixtures("small_pages")
async def test_a_listing_has_every_entity_once_over_many_pages(admin: Admin) -> None:
    ids = await many(admin, 10)
    await many(admin, 4, tags=[TAG])
    assert [row["id"] for row in await admin.rows(KINDS["consumers"], tags=(TAG, "tenant:acme"))] == ids


Meanwhile = Callable[[int], Awaitable[None]]


class Disturbed(Admin):
    """A client that does something else before each page."""

    def __init__(self, admin: Admin, meanwhile: Meanwhile) -> None:
        super().__init__(admin._http)
        self.pages, self._meanwhile = 0, meanwhile

    async def _json(self, *given: Any, **more: Any) -> dict[str, Any]:
        self.pages += 1
        await self._meanwhile(self.pages - 1)
        return await super()._json(*given, **more)


@pytest.mark.usefixtures("small_pages")
async def test_a_listing_survives_others_who_write_and_delete_between_its_pages(admin: Admin) -> None:
    ids = await many(admin, 10)

    async def meanwhile(page: int) -> None:
        if page == 1:
            for gone in (ids[0], ids[2], ids[5]):  # read already, the edge of the page, not read yet
                await admin.delete(KINDS["consumers"], gone)
            await many(admin, 5)

    rows = await Disturbed(admin, meanwhile).rows(KINDS["consumers"], tags=(TAG,))
    found = [row["id"] for row in rows]
    assert len(found) == len(set(found))
    assert set(found) >= set(ids) - {ids[5]}
    assert ids[5] not in found


@pytest.mark.usefixtures("small_pages")
async def test_a_listing_whose_place_is_lost_begins_anew(admin: Admin) -> None:
    ids = await many(admin, 7)
    said = '{"code":7,"name":"invalid offset","message":"\'zzz\' is not a valid offset: bad json encoding"}'

    async def meanwhile(page: int) -> None:
        if page == 1:
            raise failure("GET /consumers", KINDS["consumers"], {}, 400, "", said)

    assert [row["id"] for row in await Disturbed(admin, meanwhile).rows(KINDS["consumers"], tags=(TAG,))] == ids


@pytest.mark.usefixtures("small_pages")
async def test_a_listing_whose_place_is_lost_again_and_again_is_an_outage_and_not_a_refusal(admin: Admin) -> None:
    await many(admin, 7)

    async def meanwhile(page: int) -> None:
        raise failure("GET /consumers", KINDS["consumers"], {}, 400, "", '{"code":7,"message":"not a valid offset"}')

    with pytest.raises(Unavailable, match="consumers could not be listed to the end"):
        await Disturbed(admin, meanwhile).rows(KINDS["consumers"], tags=(TAG,))


def test_a_tenant_is_read_from_the_tag_of_one_tenant() -> None:
    assert [tenant({"tags": tags}) for tags in (["a", "tenant:x"], ["tenant:x", "tenant:y"], None)] == ["x", "", ""]
