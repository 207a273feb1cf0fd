"""How exactly Envoy does each policy: a row for each."""

from typing import Any

import pytest
from worlds import gateway, service, world

from tenants.policies import POLICIES, Policies
from xds.translate.parity import EXACT, ROWS, parity

PATTERN = [{"name": "x-a", "pattern": "a+"}]
GLOBAL = {"requests": 1, "per": "day", "scope": "global"}


def test_every_policy_has_its_row() -> None:
    assert list(ROWS) == list(POLICIES)


@pytest.mark.parametrize(
    ("policy", "value", "level", "said"),
    [
        ("rate_limit", {"requests": 1, "per": "day"}, "exact", ""),
        ("rate_limit", {"requests": 1, "per": "day", "by": "client_ip"}, "approximate", "10,000"),
        ("rate_limit", GLOBAL, "unsupported", "rate_limit_service"),
        ("cors", {"origins": ["https://a.example"]}, "exact", ""),
        ("required_headers", [{"name": "x-a"}], "exact", ""),
        ("required_headers", PATTERN, "approximate", "repeated"),
        ("maintenance", {}, "exact", ""),
    ],
)
def test_a_value_is_exact_or_says_why_not(policy: str, value: Any, level: str, said: str) -> None:
    edge = world([gateway()]).gateway
    found = parity(policy, getattr(Policies.model_validate({policy: value}), policy), edge)
    assert (found.level, said in found.why) == (level, True)
    assert (found == EXACT) == (level == "exact")


def test_a_shared_limit_of_a_gateway_with_a_service_is_approximate() -> None:
    limits = service(id="limits", protocol="grpc")
    edge = world([gateway(rate_limit_service={"service": "limits"}), limits]).gateway
    found = parity("rate_limit", Policies.model_validate({"rate_limit": {**GLOBAL, "burst": 3}}).rate_limit, edge)
    assert (found.level, "`burst` is left out" in found.why) == ("approximate", True)
