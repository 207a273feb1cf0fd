"""The double's plugins, by the requests they pass and refuse. The tables were seen on a real Kong (kong-mapping.md A).

Lua texts are run by a LuaJIT; the PDK under them is a model.
"""

from typing import Any

import kongs
import pytest

from kong_double.double import Double
from kong_double.wire import Request

pytest.importorskip("lupa", reason="the double runs Lua by lupa")

ACME, BETA = ("x-tenant-id", "acme"), ("x-tenant-id", "beta")
GUARD = """
local h = ngx.req.get_headers(100)  local v = h["x-tenant-id"]
if ngx.req.raw_header():lower():find("\\nx_tenant_id%s*:") then
  return kong.response.exit(400, {error={code="tenant_header_invalid"}}) end
if type(v) == "table" then return kong.response.exit(400, {error={code="tenant_header_repeated"}}) end
if v and v ~= v:lower() then ngx.req.set_header("x-tenant-id", v:lower()) end
"""
REQUIRED = """
local R = {POST={{"idempotency-key",400,"header_required"}}}
local r = R[ngx.req.get_method()] if not r then return end
for i = 1, #r do local v = ngx.req.get_headers(100)[r[i][1]] if v == nil or v == "" or type(v) == "table" then
return kong.response.exit(r[i][2], {error={code=r[i][3],header=r[i][1]}}) end end
"""
ISOLATION = """
local c = kong.client.get_consumer() local h = kong.request.get_header("x-tenant-id")
if not c or h ~= c.username then return kong.response.exit(403, {error={code="tenant_mismatch"}}) end
"""


@pytest.fixture
def kong() -> Double:
    """A service `s` with routes `r` at /s and `q` at /q, and the consumers acme and beta."""
    kong = kongs.standing()
    kongs.make(kong, "/services", name="s", host="s.test")
    for name, path in (("r", "/s"), ("q", "/q")):
        kongs.make(kong, "/services/s/routes", name=name, paths=[path], strip_path=False)
    for name in ("acme", "beta"):
        kongs.make(kong, "/consumers", username=name)
    kong.restart()
    return kong


def added(kong: Double, path: str, name: str, **config: Any) -> dict[str, Any]:
    made = kongs.plugin(kong, path, name, **config)
    kongs.settle(kong)
    return made


def said(kong: Double, *headers: tuple[str, str], path: str = "/s", method: str = "GET", body: bytes = b"") -> int:
    return kongs.ask(kong, path, *headers, method=method, body=body).status


# -- who asks -----------------------------------------------------------------------------------------------------


def test_jwt_takes_a_good_token_and_says_what_is_wrong_with_others(kong: Double) -> None:
    issuer, other = kongs.Issuer("k1"), kongs.Issuer("k1")
    kongs.make(kong, "/consumers/acme/jwt", **issuer.credential())
    added(kong, "/services/s", "jwt", key_claim_name="kid", claims_to_verify=["exp"], uri_param_names=[])
    now = kong.wall()
    asked = {
        "good": issuer.token(now),
        "expired": issuer.token(now - 3600),
        "no exp": issuer.token(now, exp=None),
        "unknown": kongs.Issuer("k2").token(now),
        "forged": other.token(now),
        "number": issuer.token(now, kid=7),
    }
    told = {name: kongs.ask(kong, "/s", kongs.bearer(token)) for name, token in asked.items()}
    assert {name: answer.status for name, answer in told.items()} == {
        "good": 200,
        "expired": 401,
        "no exp": 401,
        "unknown": 401,
        "forged": 401,
        "number": 500,
    }
    assert told["expired"].json() == {"exp": "token expired"}
    assert told["no exp"].json() == {"exp": "must be a number"}
    assert told["forged"].json() == {"message": "Invalid signature"}
    assert told["good"].json()["headers"]["X-Consumer-Username"] == "acme"
    assert [said(kong), said(kong, path=f"/s?jwt={asked['good']}")] == [401, 401]


def test_a_client_cannot_say_who_it_is(kong: Double) -> None:
    issuer = kongs.Issuer("k1")
    kongs.make(kong, "/consumers/acme/jwt", **issuer.credential())
    added(kong, "/services/s", "jwt", key_claim_name="kid")
    got = kongs.ask(kong, "/s", kongs.bearer(issuer.token(kong.wall())), ("X-Consumer-Username", "beta"))
    assert got.json()["headers"]["X-Consumer-Username"] == "acme"


def test_nbf_in_the_list_makes_it_mandatory(kong: Double) -> None:
    issuer = kongs.Issuer("k1")
    kongs.make(kong, "/consumers/acme/jwt", **issuer.credential())
    added(kong, "/services/s", "jwt", key_claim_name="kid", claims_to_verify=["exp", "nbf"])
    assert kongs.ask(kong, "/s", kongs.bearer(issuer.token(kong.wall()))).json() == {"nbf": "must be a number"}
    assert said(kong, kongs.bearer(issuer.token(kong.wall(), nbf=1))) == 200


def test_without_a_check_on_preflights_every_options_request_passes(kong: Double) -> None:
    made = added(kong, "/services/s", "jwt", run_on_preflight=True)
    assert said(kong, method="OPTIONS") == 401
    kongs.change(kong, f"/plugins/{made['id']}", config={"run_on_preflight": False})
    kongs.settle(kong)
    assert said(kong, method="OPTIONS") == 200


def test_jwt_alone_opens_every_tenant_and_the_comparison_closes_it(kong: Double) -> None:
    issuer = kongs.Issuer("k1")
    kongs.make(kong, "/consumers/acme/jwt", **issuer.credential())
    added(kong, "/services/s", "jwt", key_claim_name="kid")
    token = kongs.bearer(issuer.token(kong.wall()))
    assert [said(kong, token, ACME), said(kong, token, BETA)] == [200, 200]
    added(kong, "/services/s", "post-function", access=[ISOLATION])
    assert [said(kong, token, ACME), said(kong, token, BETA), said(kong, token)] == [200, 403, 403]


def test_key_auth_behind_jwt_replaces_who_the_token_names(kong: Double) -> None:
    issuer = kongs.Issuer("k1")
    kongs.make(kong, "/consumers/acme/jwt", **issuer.credential())
    kongs.make(kong, "/consumers/beta/key-auth", key="beta")
    added(kong, "/services/s", "jwt", key_claim_name="kid")
    added(kong, "/services/s", "key-auth", key_names=["x-tenant-id"])
    got = kongs.ask(kong, "/s", kongs.bearer(issuer.token(kong.wall())), BETA)
    assert got.json()["headers"]["X-Consumer-Username"] == "beta"


def test_key_auth_looks_a_tenant_up_strictly(kong: Double) -> None:
    kongs.make(kong, "/consumers/acme/key-auth", key="acme")
    added(kong, "/services/s", "key-auth", key_names=["x-tenant-id"], key_in_query=False)
    asked = [(ACME,), (), (BETA,), (ACME, BETA), (("x-tenant-id", "ACME"),), (("x_tenant_id", "acme"),)]
    assert [said(kong, *headers) for headers in asked] == [200, 401, 401, 401, 401, 401]


def test_an_anonymous_consumer_takes_what_was_refused(kong: Double) -> None:
    kongs.make(kong, "/consumers/acme/key-auth", key="acme")
    added(kong, "/services/s", "key-auth", key_names=["x-tenant-id"], anonymous="beta")
    kongs.make(
        kong, "/consumers/beta/plugins", name="request-termination", config={"status_code": 404, "message": "nobody"}
    )
    kongs.settle(kong)
    assert [said(kong, ACME), said(kong, BETA), said(kong)] == [200, 404, 404]


def test_acl_lets_a_group_in_and_nobody_without_a_name(kong: Double) -> None:
    for name in ("acme", "beta"):
        kongs.make(kong, f"/consumers/{name}/key-auth", key=name)
    kongs.make(kong, "/consumers/acme/acls", group="t:acme")
    added(kong, "/services/s", "acl", allow=["t:acme"])
    assert said(kong, ("apikey", "acme")) == 401
    added(kong, "/services/s", "key-auth")
    assert [said(kong, ("apikey", name)) for name in ("acme", "beta")] == [200, 403]


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_limit_is_a_fixed_window_and_tells_what_is_left(kong: Double) -> None:
    kongs.move(kong, 60 - kong.wall() % 60 + 50 - kong.timers.wait)
    added(kong, "/services/s", "rate-limiting", minute=2)
    first, second, third = (kongs.ask(kong, "/s") for _ in range(3))
    assert [one.status for one in (first, second, third)] == [200, 200, 429]
    assert (first.header("RateLimit-Remaining"), third.header("Retry-After")) == ("1", "10")
    assert third.json()["message"] == "API rate limit exceeded"
    kongs.move(kong, 10)
    assert said(kong) == 200


def test_the_most_specific_limit_acts_and_no_other(kong: Double) -> None:
    kongs.make(kong, "/consumers/acme/key-auth", key="acme")
    added(kong, "/services/s", "key-auth")
    added(kong, "/services/s", "rate-limiting", hour=3)
    kongs.make(kong, "/consumers/acme/plugins", name="rate-limiting", config={"hour": 2})
    route = kongs.call(kong, "GET", "/routes/r").json()["id"]
    kongs.make(kong, "/consumers/acme/plugins", name="rate-limiting", route={"id": route}, config={"hour": 1})
    kongs.settle(kong)
    key = ("apikey", "acme")
    assert [said(kong, key) for _ in range(2)] == [200, 429]
    assert [said(kong, key, path="/q") for _ in range(3)] == [200, 200, 429]


def test_a_bucket_by_header_is_for_each_value_and_by_address_where_there_is_none(kong: Double) -> None:
    added(kong, "/routes/r", "rate-limiting", hour=1, limit_by="header", header_name="x-tenant-id")
    asked = [(ACME,), (ACME,), (BETA,), (("x-tenant-id", "Acme"),), (), ()]
    assert [said(kong, *headers) for headers in asked] == [200, 429, 200, 200, 200, 429]


def test_what_was_used_survives_a_new_limit_and_a_new_row(kong: Double) -> None:
    made = added(kong, "/routes/r", "rate-limiting", day=2)
    assert [said(kong), said(kong), said(kong)] == [200, 200, 429]
    kongs.change(kong, f"/plugins/{made['id']}", config={"day": 3})
    kongs.settle(kong)
    assert [said(kong), said(kong)] == [200, 429]
    kongs.drop(kong, f"/plugins/{made['id']}")
    added(kong, "/routes/r", "rate-limiting", day=3)
    assert said(kong) == 429


def test_size_and_address_are_limited(kong: Double) -> None:
    added(kong, "/routes/r", "request-size-limiting", allowed_payload_size=4, size_unit="bytes")
    assert [said(kong, method="POST", body=body) for body in (b"1234", b"12345")] == [200, 413]
    added(kong, "/routes/r", "ip-restriction", allow=["127.0.0.0/8"], deny=["127.0.0.9"])
    told = [
        kong.proxy(Request("GET", "/s", (("Host", "x"), ("X-Forwarded-For", "127.0.0.1")), b"", peer)).status
        for peer in ("127.0.0.1", "127.0.0.9", "10.0.0.1")
    ]
    assert told == [200, 403, 403]


# -- edits --------------------------------------------------------------------------------------------------------

ASKS = ("Access-Control-Request-Method", "GET")


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        (["https://a.test"], {"https://a.test": "https://a.test", "https://b.test": "https://a.test"}),
        (["https://a.test", "https://c.test"], {"https://a.test": "https://a.test", "https://b.test": ""}),
        ([r"https://a\.test$"], {"https://a.test": "https://a.test", "https://a.test.evil": ""}),
        (["*"], {"https://b.test": "*"}),
    ],
)
def test_cors_tells_an_origin(kong: Double, origins: list[str], told: dict[str, str]) -> None:
    added(kong, "/routes/r", "cors", origins=origins, methods=["GET"])
    for origin, wanted in told.items():
        plain = kongs.ask(kong, "/s", ("Origin", origin))
        preflight = kongs.ask(kong, "/s", ("Origin", origin), ASKS, method="OPTIONS")
        assert (plain.status, plain.header("Access-Control-Allow-Origin")) == (200, wanted)
        assert (preflight.status, preflight.header("Access-Control-Allow-Origin")) == (200, wanted)
        assert preflight.body == b""


def test_a_preflight_is_answered_before_anybody_is_asked_for_a_token(kong: Double) -> None:
    added(kong, "/routes/r", "cors", origins=["https://a.test", "https://b.test"])
    added(kong, "/routes/r", "jwt")
    origin = ("Origin", "https://a.test")
    assert [said(kong, origin, ASKS, method="OPTIONS"), said(kong, method="OPTIONS")] == [200, 401]
    assert kongs.ask(kong, "/s", origin).header("Access-Control-Allow-Origin") == "https://a.test"


def test_a_correlation_id_is_kept_or_made_and_told_even_without_a_route(kong: Double) -> None:
    added(kong, "", "correlation-id", header_name="X-Id", generator="uuid", echo_downstream=True)
    mine = kongs.ask(kong, "/s", ("X-Id", "mine"))
    assert (mine.header("X-Id"), mine.json()["headers"]["X-Id"]) == ("mine", "mine")
    assert len(kongs.ask(kong, "/s").header("X-Id")) == 36
    assert len(kongs.ask(kong, "/nowhere").header("X-Id")) == 36


def test_requests_and_answers_are_edited(kong: Double) -> None:
    edits = {
        "remove": {"headers": ["x-secret"]},
        "replace": {"headers": ["x-tier:gold"]},
        "add": {"headers": ["x-tier:gold", 'x-who:$(headers["x-tenant-id"] or "none")']},
    }
    added(kong, "/routes/r", "request-transformer", **edits)
    added(kong, "/routes/r", "response-transformer", remove={"headers": ["via"]}, add={"headers": ["x-new:1"]})
    got = kongs.ask(kong, "/s", ("x-secret", "s"), ("x-tier", "iron"), ACME)
    sent = got.json()["headers"]
    assert (sent["x-tier"], sent["x-who"], "x-secret" in sent) == ("gold", "acme", False)
    assert (got.header("x-new"), got.header("via")) == ("1", "")
    assert kongs.ask(kong, "/s").json()["headers"]["x-who"] == "none"


def test_termination_is_last_and_may_be_a_consumers(kong: Double) -> None:
    kongs.make(kong, "/consumers/acme/key-auth", key="acme")
    added(kong, "/services/s", "key-auth")
    config = {"status_code": 403, "content_type": "application/json", "body": '{"error":{"code":"suspended"}}'}
    kongs.make(kong, "/consumers/acme/plugins", name="request-termination", config=config)
    kongs.settle(kong)
    got = kongs.ask(kong, "/s", ("apikey", "acme"))
    assert (said(kong), got.status, got.json()["error"]["code"]) == (401, 403, "suspended")


# -- Lua ----------------------------------------------------------------------------------------------------------


def test_the_guard_acts_before_the_route_is_chosen(kong: Double) -> None:
    kongs.make(kong, "/services/s/routes", name="acme", paths=["/t"], headers={"x-tenant-id": ["acme"]})
    added(kong, "", "pre-function", rewrite=[GUARD])
    asked = [(ACME,), (ACME, BETA), (("x_tenant_id", "acme"),), (ACME, ("x_tenant_id", "beta"))]
    assert [said(kong, *headers, path="/t") for headers in asked] == [200, 400, 400, 400]
    assert kongs.ask(kong, "/t", ("x-tenant-id", "ACME")).json()["headers"]["x-tenant-id"] == "acme"
    assert kongs.ask(kong, "/t", ACME, BETA).json() == {"error": {"code": "tenant_header_repeated"}}


def test_a_required_header_is_asked_for_before_anything_else(kong: Double) -> None:
    added(kong, "/routes/r", "pre-function", access=[REQUIRED])
    added(kong, "/routes/r", "jwt")
    key = ("Idempotency-Key", "1")
    assert [said(kong), said(kong, method="POST"), said(kong, key, method="POST")] == [401, 400, 401]
    assert kongs.ask(kong, "/s", method="POST").json()["error"]["header"] == "idempotency-key"


@pytest.mark.parametrize("text", ["error('boom')", "require('cjson')", "os.execute('true')", "kong.nothing()"])
def test_what_the_sandbox_does_not_have_is_500_for_every_request(kong: Double, text: str) -> None:
    added(kong, "", "pre-function", rewrite=[text])
    assert [said(kong), said(kong, path="/nowhere")] == [500, 500]


def test_a_text_with_a_wrong_syntax_is_not_taken(kong: Double) -> None:
    body = {"name": "pre-function", "config": {"access": ["return ("]}}
    answer = kongs.call(kong, "POST", "/plugins", body)
    assert answer.status == 400
    assert "unexpected symbol near '<eof>'" in answer.json()["fields"]["config"]["access"][0]


def test_a_text_may_choose_the_upstream_if_it_is_one(kong: Double) -> None:
    kongs.make(kong, "/upstreams", name="canary")
    kongs.make(kong, "/upstreams/canary/targets", target="10.0.0.9:80")
    added(kong, "/routes/r", "pre-function", access=["kong.service.set_upstream('canary')"])
    added(kong, "/routes/q", "pre-function", access=["kong.service.set_upstream('nothing')"])
    assert kongs.ask(kong, "/s").json()["address"] == "10.0.0.9:80"
    assert said(kong, path="/q") == 500


def test_a_plugin_that_is_not_modelled_lets_nothing_through(kong: Double) -> None:
    added(kong, "/routes/r", "bot-detection", deny=["curl"])
    assert [said(kong), said(kong, path="/q")] == [500, 200]
