"""What a document asks for and Envoy is not told yet is said aloud, with the document that says it."""

import pytest
import tables
from worlds import Json, gateway, route, service, tenant, world

from tenants.errors import Problem
from xds import translate

GLOBAL = {"requests": 1, "per": "day", "scope": "global"}


def test_a_tenant_that_asks_for_nothing_special_has_no_problems() -> None:
    documents = tables.small(policies={"rate_limit": {"requests": 1, "per": "day"}, "maintenance": {}})
    assert translate.unsupported(documents.view("acme")) == ()


def test_a_limit_shared_by_proxies_is_a_warning_and_each_enforces_it() -> None:
    documents = tables.small(policies={"rate_limit": GLOBAL})
    (found,) = translate.unsupported(documents.view("acme"))
    assert (found.severity, found.path) == ("warning", "policies.rate_limit")
    assert tables.LOCAL_RATE_LIMIT in tables.host(documents)["typed_per_filter_config"]


def where(found: Problem) -> tuple[str, str, str, str]:
    return found.kind, found.id, found.path, found.tenant


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("Gateway", ("Gateway", "edge", "policies.rate_limit", "")),
        ("Organisation", ("Organisation", "foods", "policies.rate_limit", "")),
        ("Route", ("Route", "orders", "policies.rate_limit", "")),
        ("Tenant", ("Tenant", "acme", "policies.rate_limit", "acme")),
        ("override", ("Tenant", "acme", "routes.orders.policies.rate_limit", "acme")),
    ],
)
def test_a_problem_names_the_document_that_says_it(place: str, expected: tuple[str, str, str, str]) -> None:
    def said(kind: str) -> Json:
        return {"policies": {"rate_limit": GLOBAL}} if kind == place else {}

    override = {"routes": {"orders": {"policies": {"rate_limit": GLOBAL}}}} if place == "override" else {}
    foods = {"kind": "Organisation", "id": "foods", **said("Organisation")}
    acme = tenant(organisation="foods", **said("Tenant"), **override)
    documents = world([gateway(**said("Gateway")), service(), route(**said("Route")), foods, acme])
    assert [where(one) for one in translate.unsupported(documents.view("acme"))] == [expected]


def test_a_policy_that_is_switched_off_is_no_problem() -> None:
    documents = tables.small(on_gateway={"policies": {"rate_limit": GLOBAL}}, policies={"rate_limit": None})
    assert translate.unsupported(documents.view("acme")) == ()


CLAIM = {"tenant": {"from": "claim", "name": "t"}, "policies": {"jwt": {"issuer": "https://a.example"}}}


@pytest.mark.parametrize(
    "more",
    [{}, {"audiences": ["x"], "tenant_claim": "t", "required": False, "algorithms": ["ES256"], "clock_skew": "1s"}],
)
def test_where_a_claim_names_the_tenant_more_can_be_asked_of_the_token(more: Json) -> None:
    documents = tables.small(on_gateway=CLAIM, policies={"jwt": more} if more else {})
    assert translate.unsupported(documents.view("acme")) == ()


@pytest.mark.parametrize("other", [{"issuer": "https://b.example"}, {"jwks": {"uri": "https://a.example/jwks"}}])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("Organisation", ("Organisation", "foods", "policies.jwt", "")),
        ("Route", ("Route", "orders", "policies.jwt", "")),
        ("Tenant", ("Tenant", "acme", "policies.jwt", "acme")),
        ("override", ("Tenant", "acme", "routes.orders.policies.jwt", "acme")),
    ],
)
def test_where_a_claim_names_the_tenant_other_tokens_are_a_problem(
    place: str, expected: tuple[str, str, str, str], other: Json
) -> None:
    def said(kind: str) -> Json:
        return {"policies": {"jwt": other}} if kind == place else {}

    override = {"routes": {"orders": {"policies": {"jwt": other}}}} if place == "override" else {}
    foods = {"kind": "Organisation", "id": "foods", **said("Organisation")}
    acme = tenant(organisation="foods", **said("Tenant"), **override)
    documents = world([gateway(**CLAIM), service(), route(**said("Route")), foods, acme])
    (found,) = translate.unsupported(documents.view("acme"))
    assert (found.code, found.severity, *where(found)) == ("GC302", "error", *expected)
