"""Each policy in, what Kong needs for it out; by traffic they are proved in `test_policies` and `test_tenancy`."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from kong_sync import bodies, lua
from kong_sync.effects import Effect, Place
from kong_sync.plugins import BESIDE, ROWS, cors_config, effect
from tenants.policies import POLICIES, Cors, Policies
from xds.translate.errors import CODES

HEADER = Place("edge", "header", "x-tenant-id")
KEYED = Place("edge", "header", "x-tenant-id", keyed=True)
HOST = Place("edge", "host")


def policy(name: str, value: Any) -> Any:
    return TypeAdapter(Policies.model_fields[name].annotation).validate_python(value)


def came(name: str, value: Any, place: Place = HEADER) -> Effect:
    return effect(name, policy(name, value), place)


def configs(made: Effect) -> dict[str, Any]:
    """The plugins by name, without the fields that say nothing."""
    found = {one.name: json.loads(one.config) for one in made.plugins}
    return {
        name: {field: value for field, value in config.items() if value is not None} for name, config in found.items()
    }


JWT = {"issuer": "https://id.example"}
GROUP = "gatecast.edge.issuer."
CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("access", {}, {}),
    (
        "access",
        {"allow": ["10.0.0.0/8"], "deny": ["10.6.0.0/16"]},
        {
            "ip-restriction": {
                "allow": ["10.0.0.0/8"],
                "deny": ["10.6.0.0/16"],
                "status": 403,
                "message": "The client's address may not call this path.",
            }
        },
    ),
    (
        "body_limit",
        {"max": "1MiB"},
        {
            "request-size-limiting": {
                "allowed_payload_size": 1 << 20,
                "size_unit": "bytes",
                "require_content_length": False,
            }
        },
    ),
    (
        "correlation_id",
        {"header": "X-Id", "echo": False},
        {"correlation-id": {"header_name": "x-id", "generator": "uuid", "echo_downstream": False}},
    ),
    ("correlation_id", {"generate": False, "echo": False}, {}),
    (
        "headers",
        {"request": {"set": {"X-A": "1"}, "remove": ["x-b"]}},
        {
            "request-transformer": {
                "remove": {"headers": ["x-a", "x-b"]},
                "rename": {"headers": []},
                "replace": {"headers": []},
                "add": {"headers": ["x-a:1"]},
                "append": {"headers": []},
            }
        },
    ),
    ("headers", {}, {}),
    ("circuit_breaker", {"max_requests": 1}, {}),
    ("timeout", {"request": "1s"}, {}),
    ("retry", {"attempts": 1}, {}),
    ("outlier", {}, {}),
    ("required_headers", [], {}),
]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_a_policy_comes_to_these_plugins(name: str, value: Any, expected: dict[str, Any]) -> None:
    assert configs(came(name, value)) == expected


@pytest.mark.parametrize(
    ("value", "place", "expected"),
    [
        ({}, KEYED, None),
        ({}, HEADER, ("header", "x-tenant-id")),
        ({}, HOST, ("service", None)),
        ({"by": "client_ip"}, HOST, ("ip", None)),
        ({"by": "header:X-User"}, HEADER, ("header", "x-user")),
    ],
)
def test_a_limit_counts_by_what_kong_knows(value: Any, place: Place, expected: Any) -> None:
    made = came("rate_limit", {"requests": 7, "per": "hour", "burst": 9, **value}, place)
    assert made.apart is ("by" in value)
    if expected is None:
        assert made.plugins == ()
        return
    config = configs(made)["rate-limiting"]
    assert (config["hour"], config["limit_by"], config.get("header_name")) == (7, *expected)
    assert not {"second", "minute", "day"} & config.keys()


def test_a_token_is_verified_bound_to_its_issuer_and_looked_at_before() -> None:
    made = came("jwt", {**JWT, "audiences": ["a"], "tenant_claim": "org.tenant"})
    found = configs(made)
    assert found["jwt"]["key_claim_name"] == "kid"
    assert found["jwt"]["claims_to_verify"] == ["exp"]
    assert found["jwt"]["run_on_preflight"] is True
    assert (found["jwt"]["uri_param_names"], found["jwt"]["cookie_names"]) == ([], [])
    assert "anonymous" not in found["jwt"]
    (group,) = found["acl"]["allow"]
    assert made.issuer is not None
    assert group == GROUP + made.issuer.name
    (text,) = made.before
    assert 'CLAIMS = {{"org","tenant"}}' in text
    assert 'HEADER = "x-tenant-id"' in text
    assert made.after == ()


def test_a_token_that_is_not_required_is_looked_at_behind_too() -> None:
    made = came("jwt", {**JWT, "required": False})
    found = configs(made)
    assert found["jwt"]["anonymous"] == "gatecast.edge.anonymous"
    assert found["acl"]["allow"][1:] == ["gatecast.edge.anonymous"]
    assert made.after == (lua.verified(),)


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        (["https://a.example"], [r"^https://a\.example$"]),
        (["https://a.example", "https://b.example:8443"], ["https://a.example", "https://b.example:8443"]),
        (["regex:https://(a|b)[.]example"], ["^(?:https://(a|b)[.]example)$"]),
        (["*"], ["*"]),
    ],
)
def test_no_origin_is_told_to_others(origins: list[str], told: list[str]) -> None:
    assert cors_config(Cors(origins=tuple(origins)))["origins"] == told


def test_guards_that_nobody_enforces_end_every_request() -> None:
    assert came("authz", {"service": "opa", "on_failure": "allow"}).ends == (
        503,
        bodies.body("closed", policies="authz"),
    )
    for name, row in ROWS.items():
        if POLICIES[name].guards and row.parity.startswith("unsupported"):
            assert row.effect is not ROWS["timeout"].effect, name


def test_the_words_of_errors_are_those_of_envoy() -> None:
    assert {name: CODES[name] for name in bodies.CODES} == dict(bodies.CODES)


def test_what_is_no_policy_says_how_far_it_goes_too() -> None:
    assert all(text.split(":")[0] in ("approximate", "unsupported") for text in BESIDE.values())


@pytest.mark.parametrize("text", ['"]] return os.exit() --', "\\", "\n", "é日", "]]", "$(x)", "'"])
def test_what_documents_say_is_a_quoted_constant(text: str) -> None:
    quoted = lua.quoted(text)
    assert quoted[0] == quoted[-1] == '"'
    assert not set(quoted[1:-1]) - set("\\0123456789 _-./:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
