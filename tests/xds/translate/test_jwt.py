"""Token providers: shared by content, in shards, by ECDS; and what a route demands of them."""

import json
from collections.abc import Mapping

import corpora
import pytest
import tables
from immutables import Map
from worlds import Json, World, document, gateway, route, service, tenant, world

from tenants.keysets.source import Source
from tenants.policies import Policies
from xds import messages, translate
from xds.translate.jwt import SHARDS, provider
from xds.translate.tokens import BINDING, CLAIMS

ISSUER = "https://id.example"
JWT: Json = {"issuer": ISSUER}
INLINE: Json = {"issuer": ISSUER, "jwks": {"keys": [corpora.P_256]}}
KEYS = json.dumps({"keys": [corpora.P_256]})


def made(**said: object) -> translate.Provider:
    policy = Policies.model_validate({"jwt": JWT | said}).jwt
    assert policy
    return provider(policy, False)


def config(*providers: translate.Provider, keys: Mapping[Source, str] = Map()) -> Json:
    """The filter's configuration, of providers in one shard."""
    (name,) = {one.shard for one in providers}
    return dict(messages.to_dict(translate.shard(name, providers, keys).message)["typed_config"])


def only(documents: World, name: str = "acme") -> translate.Provider:
    (found,) = translate.tenant(documents.view(name))[1].providers
    return found


def test_what_is_checked_alike_is_one_provider_whoever_asks() -> None:
    documents = world(
        [
            gateway(policies={"jwt": JWT}),
            service(),
            route(),
            tenant("plain"),
            tenant("bound", policies={"jwt": {"tenant_claim": "t", "required": False, "forward_claims": {"a": "x-a"}}}),
        ]
    )
    assert only(documents, "plain") == only(documents, "bound")


@pytest.mark.parametrize(
    "said",
    [
        {"audiences": ["a"]},
        {"clock_skew": "1h"},
        {"algorithms": ["ES256"]},
        {"jwks": {"uri": "https://id.example/jwks"}},
        {"jwks": {"keys": [corpora.P_256]}},
    ],
)
def test_what_is_checked_otherwise_is_another_in_the_same_shard(said: Json) -> None:
    """An issuer's tokens are checked in one filter, so a tenant's change moves nothing."""
    plain, other = made(), made(**said)
    assert plain.name != other.name
    assert plain.shard == other.shard


def test_issuers_spread_over_all_shards() -> None:
    shards = [made(issuer=f"https://id.example/{number}").shard for number in range(50 * SHARDS)]
    assert set(shards) == set(translate.SHARD_NAMES)
    assert max(map(shards.count, set(shards))) < 100


def test_the_order_of_what_does_not_count_gives_no_other_provider() -> None:
    assert made(algorithms=["ES256", "RS256"]) == made(algorithms=["RS256", "ES256"])


def test_a_table_says_which_parts_it_uses_and_a_shard_which_it_has() -> None:
    documents = tables.small(policies={"jwt": JWT})
    built, needs = translate.tenant(documents.view("acme"))
    (one,) = needs.providers
    assert one.part in built[-1].uses
    assert translate.shard(one.shard, needs.providers, {}).uses == {one.part}


def test_the_same_providers_are_the_same_bytes_in_any_order() -> None:
    found = [made(audiences=[str(number)]) for number in range(20)]
    bodies = {messages.encode(translate.shard(found[0].shard, order, {}).message) for order in (found, found[::-1])}
    assert len(bodies) == 1


def test_keys_are_inlined_and_without_any_the_provider_is_there_all_the_same() -> None:
    one = made()
    assert one.source == Source(ISSUER)
    (said,) = config(one, keys={one.source: KEYS})["providers"].values()
    assert json.loads(said["local_jwks"]["inline_string"]) == {"keys": [corpora.P_256]}
    (said,) = config(one)["providers"].values()
    assert ("local_jwks" in said, "remote_jwks" in said) == (False, True)


def test_shared_secrets_are_fetched_only_where_a_document_lists_their_algorithms() -> None:
    assert made(algorithms=["RS256", "HS256"]).source == Source(ISSUER, symmetric=True)
    assert made(algorithms=["RS256"]).source == Source(ISSUER)


def test_keys_of_the_document_need_no_source() -> None:
    one = made(**INLINE)
    assert one.source is None
    (said,) = config(one)["providers"].values()
    assert json.loads(said["local_jwks"]["inline_string"]) == {"keys": [corpora.P_256]}


@pytest.mark.parametrize(
    ("algorithms", "expected"),
    [
        (["ES256"], [("EC", "ES256")]),
        (["EdDSA", "HS256"], [("OKP", "EdDSA"), ("oct", "HS256")]),
        (["HS512"], [("oct", "HS512")]),
        (["RS256"], []),
        (None, [("EC", None), ("OKP", None)]),
    ],
)
def test_a_key_serves_the_listed_algorithms_alone(
    algorithms: list[str] | None, expected: list[tuple[str, str | None]]
) -> None:
    """A shared secret never without being listed: whoever knows the public keys could sign with them."""
    one = made(**({"algorithms": algorithms} if algorithms else {}))
    assert one.source
    keys = [corpora.P_256, corpora.ED25519, {"kty": "oct", "k": "A" * 43}]
    (said,) = config(one, keys={one.source: json.dumps({"keys": keys})})["providers"].values()
    found = json.loads(said["local_jwks"]["inline_string"])["keys"] if "local_jwks" in said else []
    given = sorted((key["kty"], key.get("alg")) for key in found)
    assert [kty for kty, _ in given] == [kty for kty, _ in expected]
    assert all(alg is None or (kty, alg) in given for kty, alg in expected)


def test_a_skew_below_a_second_is_not_envoys_minute() -> None:
    (said,) = config(made(clock_skew="1ms"))["providers"].values()
    assert said["clock_skew_seconds"] == 1


def test_a_token_that_is_not_required_is_a_demand_of_its_own() -> None:
    one = made()
    found = config(one)["requirement_map"]
    assert found[one.name] == {"provider_name": one.name}
    either = found[f"{one.name}?"]["requires_any"]["requirements"]
    assert either == [{"provider_name": one.name}, {"allow_missing": {}}]


def test_a_table_switches_one_shard_on_and_a_route_switches_it_off() -> None:
    off = {"b": {"policies": {"jwt": None}}}
    documents = tables.small(route("b"), policies={"jwt": JWT | {"forward_claims": {"sub": "x-a"}}}, routes=off)
    one = only(documents)
    table = tables.host(documents)["typed_per_filter_config"]
    assert set(table) == {one.shard, BINDING, CLAIMS}
    assert table[one.shard]["requirement_name"] == one.name
    alone = tables.real(documents, "b")["typed_per_filter_config"]
    assert alone[one.shard]["disabled"] is True
    assert set(alone[BINDING]) == {"@type"}
    assert alone[CLAIMS]["mutations"]["request_mutations"] == [{"remove": "x-a"}]


def test_a_suspended_tenant_demands_nothing() -> None:
    documents = tables.small(policies={"jwt": JWT}, status="suspended")
    assert translate.tenant(documents.view("acme"))[1] == translate.Needs()


def test_a_gateway_by_claim_asks_every_request_for_its_token() -> None:
    said = {"tenant": {"from": "claim", "name": "t"}, "policies": {"jwt": JWT | {"required": False}}}
    (one,) = translate.claimed(document(**gateway(**said)))
    assert one.shard == translate.CLAIM_SHARD
    assert config(one)["rules"] == [{"match": {"prefix": "/"}, "requires": {"provider_name": one.name}}]
    assert translate.claimed(document(**gateway(policies={"jwt": JWT}))) == frozenset()


def test_shards_have_no_rules_of_their_own() -> None:
    assert "rules" not in config(made())
