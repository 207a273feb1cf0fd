"""Who uses which token provider, and which filters are built anew for it."""

from worlds import document, gateway

from tenants.documents import Gateway
from tenants.keysets.source import Source
from xds.shards import Shards
from xds.translate import CLAIM_SHARD, Provider, claimed

NONE: frozenset[Provider] = frozenset()


def by_claim(issuer: str) -> frozenset[Provider]:
    made: Gateway = document(**gateway(tenant={"from": "claim", "name": "t"}, policies={"jwt": {"issuer": issuer}}))
    return claimed(made)


ONE, OTHER = by_claim("https://one.example"), by_claim("https://other.example")


def settled() -> Shards:
    made = Shards()
    made.dirty.clear()
    return made


def test_every_request_is_asked_for_one_kind_of_token_however_often_the_gateway_changes_its_mind() -> None:
    """The rest lingers for tables that still demand it, but no table demands this one."""
    shards = settled()
    before = NONE
    for now in (ONE, OTHER, ONE, NONE, OTHER):
        shards.use("", now, before)
        assert shards.of(CLAIM_SHARD) == now
        assert shards.dirty == {CLAIM_SHARD}
        shards.dirty.clear()
        before = now


def test_what_no_gateway_asks_for_is_swept_with_its_source() -> None:
    shards = settled()
    shards.use("", ONE, NONE)
    shards.use("", OTHER, ONE)
    assert shards.sources == {Source("https://one.example"), Source("https://other.example")}
    shards.sweep()
    assert shards.sources == {Source("https://other.example")}
    assert shards.of(CLAIM_SHARD) == OTHER
