"""What a document asks for and Envoy is not told yet is said aloud, with the document that says it."""

import pytest
import tables
from worlds import Json, document, gateway, route, service, tenant, world

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


def test_a_tenant_from_a_claim_is_a_problem_of_the_gateway() -> None:
    documents = tables.small(on_gateway={"tenant": {"from": "claim", "name": "t"}})
    (found,) = translate.unsupported(documents.view("acme"))
    assert where(found) == ("Gateway", "edge", "tenant.from", "")


def test_tls_towards_a_service_is_a_problem_of_the_service() -> None:
    (found,) = translate.unsupported_service(document(**service(tls={})))
    assert where(found) == ("Service", "orders", "tls", "")
    assert translate.unsupported_service(document(**service())) == ()
