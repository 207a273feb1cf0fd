"""Documents that are wrong beside others: case -> (YAML, the (code, path, line) that must come of it).

The rows of `tests/tenants/test_problems.py`; `catalogs.BASE` is in force before as a.yaml.
"""

Expected = list[tuple[str, str, int]]

CERTIFICATE = "kind: Certificate\ncertificate: {file: c.pem}\nkey: {file: c.key}\n"

BESIDE: dict[str, tuple[str, Expected]] = {
    "unknown organisation": ("kind: Tenant\nid: t\norganisation: food\n", [("GC201", "organisation", 3)]),
    "unknown service": ("kind: Route\nid: r\nmatch: {path: /a}\nservice: order\n", [("GC202", "service", 4)]),
    "unknown service in a split": (
        "kind: Route\nid: r\nmatch: {path: /a}\nsplit:\n"
        "  - {service: orders, weight: 90}\n  - {service: x, weight: 10}\n",
        [("GC202", "split[1].service", 6)],
    ),
    "unknown service of an override": (
        "kind: Tenant\nid: t\nroutes:\n  orders:\n    service: order\n",
        [("GC202", "routes.orders.service", 5)],
    ),
    "unknown authz service": (
        "kind: Tenant\nid: t\npolicies:\n  authz: {service: opa}\n",
        [("GC202", "policies.authz.service", 4)],
    ),
    "an authz service that does not speak gRPC": (
        "kind: Tenant\nid: t\nroutes:\n  orders:\n    policies: {authz: {service: orders}}\n",
        [("GC216", "routes.orders.policies.authz.service", 5)],
    ),
    "an authz service of a gateway that does not speak gRPC": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\npolicies:\n  authz: {service: orders}\n",
        [("GC216", "policies.authz.service", 5)],
    ),
    "an unknown rate limit service": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\nrate_limit_service:\n  service: limits\n",
        [("GC202", "rate_limit_service.service", 5)],
    ),
    "a rate limit service that does not speak gRPC": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\nrate_limit_service:\n  service: orders\n",
        [("GC217", "rate_limit_service.service", 5)],
    ),
    "an unknown collector of traces": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntracing:\n  service: otel\n",
        [("GC202", "tracing.service", 5)],
    ),
    "a collector of traces that does not speak gRPC": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntracing:\n  service: orders\n",
        [("GC218", "tracing.service", 5)],
    ),
    "a certificate of an unknown tenant": (
        f"{CERTIFICATE}id: c\ntenant: nobody\n",
        [("GC221", "tenant", 5)],
    ),
    "an unknown certificate of a service": (
        "kind: Service\nid: s\ndns: a.internal:1\ntls:\n  certificate: ours\n",
        [("GC222", "tls.certificate", 5)],
    ),
    "an unknown certificate of a listener": (
        "kind: Gateway\nid: other\nlisteners:\n  - {name: p, port: 1, tls: {default: ours}}\n",
        [("GC222", "listeners[0].tls.default", 4)],
    ),
    "a host with two certificates": (
        f"{CERTIFICATE}id: c\nhosts: [a.b]\n---\n{CERTIFICATE}id: d\nhosts:\n  - c.d\n  - A.b\n",
        [("GC223", "hosts[1]", 13)],
    ),
    "a certificate for the host of another tenant": (
        f"kind: Tenant\nid: t\nhosts: [a.b]\n---\nkind: Tenant\nid: u\n---\n{CERTIFICATE}id: c\ntenant: u\n"
        "hosts: [a.b]\n",
        [("GC224", "hosts[0]", 13)],
    ),
    "a service that is not verified": (
        "kind: Service\nid: s\ndns: a.internal:1\ntls:\n  verify: false\n",
        [("GC225", "tls.verify", 5)],
    ),
    "unknown route": ("kind: Tenant\nid: t\nroutes:\n  order: {}\n", [("GC203", "routes.order", 4)]),
    "host claimed twice": (
        "kind: Tenant\nid: t\nhosts: [a.b]\n---\nkind: Tenant\nid: u\nhosts:\n  - c.d\n  - A.b\n",
        [("GC204", "hosts[1]", 9)],
    ),
    "routes that shadow": (
        "kind: Route\nid: r\nmatch: {prefix: /api/orders}\nservice: orders\n",
        [("GC205", "match", 3)],
    ),
    "a regex that is but a prefix": (
        "kind: Route\nid: r\nmatch: {regex: '/api/orders.*'}\nservice: orders\n",
        [("GC205", "match", 3)],
    ),
    "port of another gateway": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 8080}]\n",
        [("GC206", "listeners[0].port", 3)],
    ),
    "an unfinished policy": (
        "kind: Tenant\nid: t\npolicies:\n  retry: {on: [5xx]}\n",
        [("GC207", "policies.retry.attempts", 4)],
    ),
    "an inherited field switched off": (
        "kind: Tenant\nid: t\npolicies:\n  rate_limit:\n    per: null\n",
        [("GC207", "policies.rate_limit.per", 5)],
    ),
    "an unfinished policy for one route": (
        "kind: Tenant\nid: t\nroutes:\n  orders:\n    policies: {retry: {on: [5xx]}}\n",
        [("GC207", "routes.orders.policies.retry.attempts", 5)],
    ),
    "an unfinished policy of an organisation": (
        "kind: Organisation\nid: o\npolicies: {cors: {credentials: true}}\n",
        [("GC207", "policies.cors.origins", 3)],
    ),
    "an unfinished policy of a route": (
        "kind: Route\nid: r\nmatch: {path: /a}\nservice: orders\npolicies: {cors: {credentials: true}}\n",
        [("GC207", "policies.cors.origins", 5)],
    ),
    "an unfinished policy of a gateway": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\npolicies: {retry: {on: [5xx]}}\n",
        [("GC207", "policies.retry.attempts", 4)],
    ),
    "tenant_claim without jwt": (
        "kind: Tenant\nid: t\npolicies:\n  jwt: {tenant_claim: tenant}\n",
        [("GC208", "policies.jwt.tenant_claim", 4)],
    ),
    "neither keys nor a URL to find them at": (
        "kind: Tenant\nid: t\npolicies:\n  jwt: {issuer: us}\n",
        [("GC207", "policies.jwt", 4)],
    ),
    "the tenant's header": (
        "kind: Tenant\nid: t\npolicies:\n  headers:\n    request:\n      set: {X-Tenant-Id: other}\n      add:\n"
        "        x-tenant-id: other\nroutes:\n  orders:\n    policies:\n      jwt:\n        issuer: https://a/\n"
        "        forward_claims: {sub: X-TENANT-ID}\n",
        [
            ("GC219", "policies.headers.request.add.x-tenant-id", 8),
            ("GC219", "policies.headers.request.set.X-Tenant-Id", 6),
            ("GC219", "routes.orders.policies.jwt.forward_claims.sub", 14),
        ],
    ),
    "the tenant's header, for all": (
        "kind: Organisation\nid: o\npolicies: {headers: {request: {add: {x-tenant-id: a}}}}\n---\n"
        "kind: Route\nid: r\nmatch: {path: /r}\nservice: orders\n"
        "policies: {headers: {request: {set: {x-tenant-id: a}}}}\n---\n"
        "kind: Gateway\nid: g\nlisteners: [{name: a, port: 1}]\ntenant: {from: header, name: X-T}\n"
        "policies: {headers: {request: {set: {x-t: a}}}}\n",
        [
            ("GC219", "policies.headers.request.add.x-tenant-id", 3),
            ("GC219", "policies.headers.request.set.x-tenant-id", 9),
            ("GC219", "policies.headers.request.set.x-t", 15),
        ],
    ),
    "claim gateway without jwt": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntenant: {from: claim, name: tenant}\n",
        [("GC209", "tenant.from", 4)],
    ),
    "jwt off behind a claim gateway": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntenant: {from: claim, name: tenant}\n"
        "policies: {jwt: {issuer: i, jwks: {uri: 'https://a/'}}}\n---\n"
        "kind: Tenant\nid: t\nroutes:\n  orders:\n    policies: {jwt: null}\n",
        [("GC209", "routes.orders.policies.jwt", 11)],
    ),
    "loopback": (
        "kind: Service\nid: s\nendpoints:\n  - 10.0.0.1:80\n  - 127.0.0.2:80\n",
        [("GC210", "endpoints[1]", 5)],
    ),
    "link-local": ("kind: Service\nid: s\nendpoints: ['169.254.169.254:80']\n", [("GC210", "endpoints[0]", 3)]),
    "loopback in IPv6": (
        "kind: Service\nid: s\nendpoints: ['[::ffff:127.0.0.1]:80']\n",
        [("GC210", "endpoints[0]", 3)],
    ),
    "localhost": ("kind: Service\nid: s\ndns: 'localhost:80'\n", [("GC210", "dns", 3)]),
    "the same document twice": ("kind: Organisation\nid: foods\n", [("GC212", "id", 2)]),
    "no hosts behind a host gateway": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntenant: {from: host}\n---\nkind: Tenant\nid: t\n",
        [("GC213", "hosts", 6)],
    ),
    "selecting a stranger": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntenants: [a]\norganisations: [foods, b]\n",
        [("GC214", "organisations[1]", 5), ("GC214", "tenants[0]", 4)],
    ),
}
