"""Odd but valid documents: every policy, every field, and values at the edges of what the model takes.

One world for each way of naming a tenant. Tests of `xds.messages` and `xds.translate` walk them, and a real Envoy
validates all of them in one go.
"""

from typing import Any

from worlds import Json, World, gateway, route, service, tenant, world

TOKEN = "!#$&'*+.^_`|~-9z"  # every kind of character a header name may have, but `%`
TEXT = 'é 100% %REQ(host)% 日本\t"\\ {}'

ODD_CLAIM = "urn:)%\"\\'" + "".join(map(chr, range(32, 127))) + "\N{SNOWMAN}\N{PILE OF POO}"
P_256: Json = {
    "kty": "EC",
    "crv": "P-256",
    "x": "9FD0GTGmyyOWswg7zxBygQaLVlJ13fHP5nFFqASpv4A",
    "y": "LK1cbXheYWfNVSdMDqKtMHL6cmSz60Ofk8j6P4sBgkw",
}
ED25519: Json = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

POLICIES: dict[str, list[Json]] = {
    "rate_limit": [
        {"requests": 1, "per": "day"},
        {"requests": 1_000_000_000, "per": "second", "burst": 1_000_000_000},
        {"requests": 5, "per": "minute", "by": "client_ip"},
        {"requests": 5, "per": "hour", "by": "header:host"},
        {"requests": 5, "per": "hour", "by": f"header:{TOKEN}"},
        {"requests": 5, "per": "hour", "scope": "global"},
        {"requests": 1_000_000_000, "per": "day", "scope": "global", "by": "client_ip", "on_failure": "deny"},
        {"requests": 1, "per": "second", "burst": 1, "scope": "global", "by": f"header:{TOKEN}"},
    ],
    "cors": [
        {"origins": ["*"], "methods": []},
        {"origins": ["https://a.example:8443", "regex:https://(a|b)\\.example"], "credentials": True, "max_age": "1ms"},
        {"origins": ["http://[::1]:80"], "headers": ["*"], "expose": [TOKEN], "max_age": "8760h"},
    ],
    "required_headers": [
        [],
        [{"name": "host", "pattern": ".*"}, {"name": TOKEN, "pattern": "[é日]+", "methods": ["TRACE"], "status": 499}],
        [{"name": f"x-{i}", "pattern": "[A-Za-z0-9_-]{16,64}", "methods": ["GET", "POST"]} for i in range(32)],
    ],
    "correlation_id": [
        {},
        {"header": TOKEN, "generate": False},
        {"header": "x-request-id", "echo": False},
        {"echo": False, "generate": False},
    ],
    "headers": [
        {},
        {
            "request": {"set": {TOKEN: TEXT, "x-empty": ""}, "add": {"x-a": "%" * 8000}, "remove": ["x-b", "cookie"]},
            "response": {"set": {"x-c": "1"}, "add": {"x-d": " "}, "remove": ["server", TOKEN]},
        },
    ],
    "timeout": [{}, {"request": "1ms", "idle": "1ms"}, {"request": "8760h"}, {"idle": "8760h"}],
    "retry": [
        {"attempts": 10},
        {"attempts": 1, "per_try_timeout": "1ms", "on": ["5xx", "reset", "reset-before-request", "retriable-4xx"]},
        {"attempts": 1, "on": ["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]},
    ],
    "circuit_breaker": [{}, {"max_connections": 0, "max_pending_requests": 0, "max_requests": (1 << 32) - 1}],
    "outlier": [
        {},
        {"consecutive_5xx": 1, "interval": "1ms", "base_ejection": "1ms", "max_ejection_percent": 0},
        {"consecutive_5xx": 1_000_000, "interval": "8760h", "base_ejection": "8760h", "max_ejection_percent": 100},
    ],
    "access": [{}, {"allow": ["::/0", "0.0.0.0/0"], "deny": ["2001:db8::1/128", "10.1.2.3/32"]}],
    "body_limit": [{"max": "1B"}, {"max": "4294967295B"}],
    "maintenance": [{}, {"status": 599, "message": "日" * 1024}, {"status": 400, "message": TEXT}],
    "jwt": [
        {"issuer": "https://id.example", "jwks": {"uri": "https://id.example/jwks"}},
        {"issuer": "https://id.example", "required": False, "clock_skew": "1ms", "audiences": [TEXT.strip(), "a"]},
        {
            "issuer": TEXT.strip(),
            "jwks": {"keys": [P_256, {**ED25519, "kid": 'é%日\\" {}'}]},
            "algorithms": ["EdDSA", "HS256"],
        },
        {"issuer": "https://id.example", "tenant_claim": "a.b.c", "forward_claims": {"sub": TOKEN, "a.b.c": "x-a"}},
        {
            "issuer": "https://id.example",
            "tenant_claim": "https://claims.example/v1.0/tenant",
            "forward_claims": {
                "urn:x": "x-a",
                ODD_CLAIM: "x-b",
                f" {TEXT}": "x-c",
                "%": "x-d",
                '")%': "x-e",
                "é": "x-f",
            },
            "required": False,
            "clock_skew": "8760h",
        },
    ],
    "authz": [
        {"service": "opa"},
        {"service": "opa", "on_failure": "allow", "timeout": "1ms", "body": "1B"},
        {"service": "odd-3", "timeout": "10s", "body": "1MiB", "context": {"plan": TEXT, "é": ""}},
    ],
}

MATCHES: list[Json] = [
    {"prefix": "/"},
    {"prefix": "/a"},
    {"prefix": "/a//"},
    {"prefix": "/a;b=c,d'\"<>[]{}|\\^`é%20"},
    {"path": "/" + "a" * 2047},
    {"regex": "/(?i)(?P<word>b+)|/[^/]{1,64}|"},
    {"regex": "/\\pL+[日本]\\C"},
    {"prefix": "/m", "methods": ["GET"]},
    {"prefix": "/m", "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]},
    {
        "prefix": "/h",
        "headers": {"host": "x", "x-e": "", "x-p": {"prefix": "é"}, "x-q": {"prefix": ""}, "x-r": {"regex": ".*"}},
    },
    {"prefix": "/h", "headers": {TOKEN: {"present": True}, "x-n": {"present": False}}},
]

REWRITES: list[tuple[Json, Json]] = [
    ({"prefix": "/"}, {"prefix": "/"}),
    ({"prefix": "/"}, {"prefix": "/v2"}),
    ({"prefix": "/a.b+c(d)[é]"}, {"prefix": "/"}),
    ({"prefix": "/a/"}, {"prefix": "//", "host": "a_b.example"}),
    ({"prefix": "/a"}, {"prefix": "/v2/"}),
    ({"prefix": "/a"}, {"path": "/a%20%REQ(x)%"}),
    ({"regex": "/a.*"}, {"path": "/b", "host": "x.example"}),
    ({"regex": "/a.*"}, {"regex": "^/a/(.*)$", "substitution": "/x/\\1"}),
    ({"path": "/a"}, {"regex": "x*", "substitution": ""}),
    ({"path": "/a"}, {"host": "only.example"}),
]

SERVICES: list[Json] = [
    {"endpoints": ["[::1]:80", {"address": "[2001:db8::1]:65535", "weight": 128}], "lb": "random"},
    {"endpoints": [f"10.0.{i // 256}.{i % 256}:80" for i in range(512)], "connect_timeout": "1ms"},
    {"lb": "least_request", "connect_timeout": "8760h", "protocol": "http2", "health_check": {"path": "/healthz"}},
    {"protocol": "grpc", "health_check": {"host": "a_b.example"}},
    {"health_check": {"interval": "1ms", "timeout": "1ms", "unhealthy_after": 1, "healthy_after": 100}},
    {"health_check": {"path": "/é%", "host": "x.example"}, "outlier": {}, "circuit_breaker": {}},
    {"dns": "a_b.internal:1", "health_check": {"path": "/"}, "outlier": {"consecutive_5xx": 1}},
    {"dns": "localhost:65535", "circuit_breaker": {"max_retries": 0}},
    {"tls": {"sni": "x.example"}},
    {"tls": {"verify": False}, "protocol": "http2", "health_check": {}},
    {"tls": {"ca_file": "a/b.pem", "certificate": "ours"}, "dns": "a_b.internal:1", "protocol": "grpc"},
]


LISTENER_TLS: list[Json] = [
    {},
    {"min_version": "1.3", "default": "ours", "client_ca": "a/b.pem", "require_client_certificate": True},
    {"certificate": "c" * 63, "client_ca": "a/b.pem"},
]


OBSERVED: dict[str, Json] = {
    "header": {"tracing": {"service": "opa", "sample": 0.0001}, "access_log": {"query": True}},
    "host": {"tracing": {"service": "opa", "sample": 100}, "access_log": {"path": "/dev/null"}},
    "claim": {"access_log": None, "tenant_stats": False},
}
"""What the gateway of each world tells of its traffic."""


def _routes() -> list[Json]:
    matched = [route(f"match-{i}", match=match) for i, match in enumerate(MATCHES)]
    changed = [route(f"rewrite-{i}", match=match, rewrite=how) for i, (match, how) in enumerate(REWRITES)]
    sent = [route(f"service-{i}", service=f"odd-{i}") for i in range(len(SERVICES))]
    split = [{"service": "orders", "weight": 100}, {"service": "odd-0", "weight": 0}]
    long = route("r" * 63, match={"prefix": "/long"}, service="s" * 63)
    return [*matched, *changed, *sent, {**route("split", split=split), "service": None}, long]


def _tenants(**more: Any) -> list[Json]:
    """One for each policy value, one for each value on a single route, one for each switched off there."""
    found = [tenant("plain", **more), tenant("suspended", status="suspended", **more)]
    for name, values in POLICIES.items():
        for i, value in enumerate(values):
            word = name.replace("_", "-")
            found.append(tenant(f"{word}-{i}", policies={name: value}, **more))
            found.append(tenant(f"{word}-{i}-one", routes={"match-1": {"policies": {name: value}}}, **more))
            off = {"match-0": {"policies": {name: None}}}
            found.append(tenant(f"{word}-{i}-off", policies={name: value}, routes=off, **more))
    limits = {"circuit_breaker": {"max_requests": 1}}
    others = {f"match-{i}": {"policies": {"circuit_breaker": {"max_requests": 2 + i}}} for i in range(3)}
    return [*found, tenant("t" * 63, policies=limits, routes=others, **more)]


def _given(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def _world(selector: Json, tenants: list[Json], **policies: Json) -> World:
    services = [service(f"odd-{i}", **one) for i, one in enumerate(SERVICES)]
    listeners = [{"name": "public", "port": 8080}, {"name": "six", "port": 65535, "address": "::"}]
    listeners += [{"name": f"safe-{i}", "port": 8443 + i, "tls": tls} for i, tls in enumerate(LISTENER_TLS)]
    everywhere = {"correlation_id": {}, "rate_limit": {"requests": 9, "per": "second"}, "timeout": {"request": "5s"}}
    asks = {"rate_limit_service": {"service": "opa", "timeout": "1ms"}, **OBSERVED[str(selector["from"])]}
    edge = gateway(tenant=selector, listeners=listeners, policies=everywhere | policies, **asks)
    named = [service(), service("opa", protocol="grpc"), service("s" * 63)]
    return world(map(_given, [edge, *named, *services, *_routes(), *tenants]))


def by_header() -> World:
    """Tenants by a header with an odd name; all policies, all values."""
    return _world({"from": "header", "name": TOKEN}, _tenants())


def by_host() -> World:
    """Tenants by host."""
    hosts = [{"hosts": [f"t{i}.example", f"t{i}_b.example"]} for i in range(3)]
    return _world({"from": "host"}, [tenant(f"host-{i}", **more) for i, more in enumerate(hosts)])


def by_claim() -> World:
    """Tenants by a claim with an odd name; what a table can switch on, and more of the same token."""
    more = {"audiences": ["a"], "tenant_claim": "t", "forward_claims": {"sub": "x-user"}}
    found = [tenant("claimed"), tenant("more", policies={"jwt": more})]
    return _world({"from": "claim", "name": ODD_CLAIM}, found, jwt=POLICIES["jwt"][0])


def all_worlds() -> list[World]:
    """All of them."""
    return [by_header(), by_host(), by_claim()]
