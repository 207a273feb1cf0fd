"""What a document asks for and Envoy is not told yet is said aloud, with the document that says it."""

import pytest
import tables
from worlds import Json, document, gateway, route, service, tenant, world

from tenants.errors import Problem
from tenants.policies import POLICIES
from xds import translate
from xds.translate.filters import ROWS

JWT = {"issuer": "https://id.example", "jwks": {"uri": "https://id.example/jwks"}}
GLOBAL = {"requests": 1, "per": "day", "scope": "global"}
LATER: dict[str, Json] = {"jwt": JWT, "authz": {"service": "opa"}}


def test_the_policies_that_come_later_are_these() -> None:
    assert {name for name, row in ROWS.items() if row.later} == set(LATER)


def test_a_tenant_that_asks_for_nothing_special_has_no_problems() -> None:
    documents = tables.small(policies={"rate_limit": {"requests": 1, "per": "day"}, "maintenance": {}})
    assert translate.unsupported(documents.view("acme")) == ()


@pytest.mark.parametrize("name", sorted(LATER))
def test_a_guard_that_comes_later_is_an_error(name: str) -> None:
    documents = tables.small(route("b"), policies={name: LATER[name]})
    (found,) = translate.unsupported(documents.view("acme"))
    assert POLICIES[name].guards
    assert (found.kind, found.id, found.path, found.tenant) == ("Tenant", "acme", f"policies.{name}", "acme")
    assert (found.severity, found.code) == ("error", "GC301")
    assert "issue 3" in found.message
    assert "503" in found.message


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
        ("Gateway", ("Gateway", "edge", "policies.jwt", "")),
        ("Organisation", ("Organisation", "foods", "policies.jwt", "")),
        ("Route", ("Route", "orders", "policies.jwt", "")),
        ("Tenant", ("Tenant", "acme", "policies.jwt", "acme")),
        ("override", ("Tenant", "acme", "routes.orders.policies.jwt", "acme")),
    ],
)
def test_a_problem_names_the_document_that_says_it(place: str, expected: tuple[str, str, str, str]) -> None:
    def said(kind: str) -> Json:
        return {"policies": {"jwt": JWT}} if kind == place else {}

    override = {"routes": {"orders": {"policies": {"jwt": JWT}}}} if place == "override" else {}
    foods = {"kind": "Organisation", "id": "foods", **said("Organisation")}
    acme = tenant(organisation="foods", **said("Tenant"), **override)
    documents = world([gateway(**said("Gateway")), service(), route(**said("Route")), foods, acme])
    assert [where(one) for one in translate.unsupported(documents.view("acme"))] == [expected]


def test_a_policy_that_is_switched_off_is_no_problem() -> None:
    documents = tables.small(on_gateway={"policies": {"jwt": JWT}}, policies={"jwt": None})
    assert translate.unsupported(documents.view("acme")) == ()


def test_a_tenant_from_a_claim_is_a_problem_of_the_gateway() -> None:
    documents = tables.small(on_gateway={"tenant": {"from": "claim", "name": "t"}})
    (found,) = translate.unsupported(documents.view("acme"))
    assert where(found) == ("Gateway", "edge", "tenant.from", "")


def test_tls_towards_a_service_is_a_problem_of_the_service() -> None:
    (found,) = translate.unsupported_service(document(**service(tls={})))
    assert where(found) == ("Service", "orders", "tls", "")
    assert translate.unsupported_service(document(**service())) == ()
