"""Every rule, by its YAML: what is given, and the (code, path, line) that must come of it, with a hint each.

`BASE` is in force as a.yaml before the text of a case is given as b.yaml. A test walks the table of codes and names
those without a case.
"""

import pytest
from catalogs import BASE, catalog, changes

from tenants.catalog import Changes
from tenants.codes import CODES
from tenants.documents import Key
from tenants.errors import Problem
from tenants.reading import MAX_FILE, read

Expected = list[tuple[str, str, int]]

CERTIFICATE = "kind: Certificate\ncertificate: {file: c.pem}\nkey: {file: c.key}\n"

KEY = """{kty: EC, crv: P-256, alg: ES256, x: 9FD0GTGmyyOWswg7zxBygQaLVlJ13fHP5nFFqASpv4A,
  y: LK1cbXheYWfNVSdMDqKtMHL6cmSz60Ofk8j6P4sBgkw}""".replace("\n", "")

ALONE: dict[str, tuple[str, Expected]] = {
    "broken yaml": ("kind: Tenant\nid: [a\n", [("GC001", "", 3)]),
    "a list": ("- a\n- b\n", [("GC002", "", 1)]),
    "text": ("just words\n", [("GC002", "", 1)]),
    "unknown kind": ("kind: Tennant\nid: a\n", [("GC003", "kind", 1)]),
    "no kind": ("id: a\n", [("GC003", "kind", 1)]),
    "no id": ("kind: Tenant\n", [("GC004", "id", 1)]),
    "bad id": ("kind: Tenant\nid: Acme_1\n", [("GC004", "id", 1)]),
    "bad id and more": (
        "kind: Tenant\nid: 5\nhost: a\npolicies: {rate_limit: {requests: 0}}\nid: a b\n",
        [("GC004", "id", 1), ("GC005", "id", 5), ("GC101", "host", 3), ("GC106", "policies.rate_limit.requests", 4)],
    ),
    "long id": (f"kind: Tenant\nid: {'a' * 64}\n", [("GC004", "id", 1)]),
    "duplicate key": ("kind: Tenant\nid: a\nhosts: [a.b]\nhosts: [c.d]\n", [("GC005", "hosts", 4)]),
    "duplicate inner key": (
        "kind: Tenant\nid: a\npolicies:\n  timeout: {idle: 1s}\n  timeout: {idle: 2s}\n",
        [("GC005", "policies.timeout", 5)],
    ),
    "anchor and alias": (
        "kind: Tenant\nid: a\nhosts: &h [a.b]\npolicies: *h\n",
        [("GC006", "hosts", 3), ("GC006", "policies", 4)],
    ),
    "tag": ("kind: Tenant\nid: a\nhosts: !!set [a.b]\n", [("GC006", "hosts", 3)]),
    "key that is a list": ("kind: Tenant\nid: a\n? [a]\n: b\n", [("GC010", "?", 3)]),
    "unknown field": ("kind: Tenant\nid: a\nhost: [a.b]\n", [("GC101", "host", 3)]),
    "unknown field inside": (
        "kind: Tenant\nid: a\nroutes:\n  r:\n    policies:\n      timeout: {requst: 5s}\n",
        [("GC101", "routes.r.policies.timeout.requst", 6)],
    ),
    "missing field": ("kind: Gateway\nid: g\n", [("GC102", "listeners", 1)]),
    "missing field inside": (
        "kind: Gateway\nid: g\nlisteners:\n  - name: a\n",
        [("GC102", "listeners[0].port", 4)],
    ),
    "neither endpoints nor dns": ("kind: Service\nid: s\n", [("GC103", "", 1)]),
    "claim without name": (
        "kind: Gateway\nid: g\nlisteners: [{name: a, port: 1}]\ntenant: {from: claim}\n",
        [("GC103", "tenant", 4)],
    ),
    "port as text": ('kind: Gateway\nid: g\nlisteners: [{name: a, port: "80"}]\n', [("GC104", "listeners[0].port", 3)]),
    "yes is text": (
        "kind: Gateway\nid: g\nlisteners: [{name: a, port: 80}]\nallow_local_endpoints: yes\n",
        [("GC104", "allow_local_endpoints", 4)],
    ),
    "true is no number": (
        "kind: Tenant\nid: a\npolicies: {rate_limit: {requests: true}}\n",
        [("GC104", "policies.rate_limit.requests", 3)],
    ),
    "number as header value": (
        "kind: Tenant\nid: a\npolicies:\n  headers:\n    request:\n      set:\n        X-A: 1\n",
        [("GC104", "policies.headers.request.set.X-A", 7)],
    ),
    "a status that is none": ("kind: Tenant\nid: a\nstatus: paused\n", [("GC105", "status", 3)]),
    "counting by something": (
        "kind: Tenant\nid: a\npolicies: {rate_limit: {by: ip}}\n",
        [("GC105", "policies.rate_limit.by", 3)],
    ),
    "out of range": (
        "kind: Tenant\nid: a\npolicies: {rate_limit: {requests: 0}}\n",
        [("GC106", "policies.rate_limit.requests", 3)],
    ),
    "endpoints and dns": (
        "kind: Service\nid: s\nendpoints: ['10.0.0.1:1']\ndns: 'a:1'\n",
        [("GC107", "", 1)],
    ),
    "two kinds of path": (
        "kind: Route\nid: r\nmatch: {path: /a, prefix: /a}\nservice: s\n",
        [("GC107", "match", 3)],
    ),
    "service and split": (
        "kind: Route\nid: r\nmatch: {path: /a}\nservice: s\nsplit: [{service: t, weight: 100}]\n",
        [("GC107", "", 1)],
    ),
    "credentials for everybody": (
        "kind: Tenant\nid: a\npolicies: {cors: {origins: ['*'], credentials: true}}\n",
        [("GC107", "policies.cors", 3)],
    ),
    "regex without substitution": (
        "kind: Route\nid: r\nmatch: {path: /a}\nservice: s\nrewrite: {regex: /a}\n",
        [("GC107", "rewrite", 5)],
    ),
    "reference that is no id": ("kind: Tenant\nid: a\norganisation: My Org\n", [("GC108", "organisation", 3)]),
    "duration": ("kind: Tenant\nid: a\npolicies: {timeout: {idle: 5}}\n", [("GC109", "policies.timeout.idle", 3)]),
    "endless duration": (
        "kind: Tenant\nid: a\npolicies: {timeout: {idle: 999999999h}}\n",
        [("GC109", "policies.timeout.idle", 3)],
    ),
    "size": ("kind: Tenant\nid: a\npolicies: {body_limit: {max: 64KB}}\n", [("GC110", "policies.body_limit.max", 3)]),
    "header name": (
        "kind: Tenant\nid: a\npolicies:\n  required_headers:\n    - name: 'X A'\n",
        [("GC111", "policies.required_headers[0].name", 5)],
    ),
    "header name in by": (
        "kind: Tenant\nid: a\npolicies: {rate_limit: {by: 'header:x y'}}\n",
        [("GC111", "policies.rate_limit.by", 3)],
    ),
    "line feed in a header": (
        'kind: Tenant\nid: a\npolicies: {headers: {request: {add: {x-a: "b\\r\\nx-c: d"}}}}\n',
        [("GC112", "policies.headers.request.add.x-a", 3)],
    ),
    "path": ("kind: Route\nid: r\nmatch: {prefix: api}\nservice: s\n", [("GC112", "match.prefix", 3)]),
    "host": ("kind: Tenant\nid: a\nhosts:\n  - a.b\n  - 'a.b:80'\n", [("GC113", "hosts[1]", 5)]),
    "wildcard host": ("kind: Tenant\nid: a\nhosts: ['*.a.b']\n", [("GC113", "hosts[0]", 3)]),
    "endpoint that is a name": ("kind: Service\nid: s\nendpoints: ['orders:80']\n", [("GC114", "endpoints[0]", 3)]),
    "endpoint without port": (
        "kind: Service\nid: s\nendpoints:\n  - {address: 10.0.0.1}\n",
        [("GC114", "endpoints[0].address", 4)],
    ),
    "range with host bits": (
        "kind: Tenant\nid: a\npolicies: {access: {deny: [10.0.0.1/8]}}\n",
        [("GC115", "policies.access.deny[0]", 3)],
    ),
    "regex too large for a proxy": (
        "kind: Route\nid: r\nmatch: {regex: '/([a-z]{1,90}){1,90}'}\nservice: s\n",
        [("GC116", "match.regex", 3)],
    ),
    "substitution names no group": (
        "kind: Route\nid: r\nmatch: {prefix: /}\nservice: s\nrewrite: {regex: /(a), substitution: '/\\2'}\n",
        [("GC107", "rewrite", 5)],
    ),
    "format characters in a correlation header": (
        "kind: Gateway\nid: g\nlisteners: [{name: a, port: 80}]\ntenant: {from: host}\n"
        "policies: {correlation_id: {header: x-%y}}\n",
        [("GC111", "policies.correlation_id.header", 5)],
    ),
    "look-ahead": ("kind: Route\nid: r\nmatch: {regex: '/a(?=b)'}\nservice: s\n", [("GC116", "match.regex", 3)]),
    "look-ahead in an origin": (
        "kind: Tenant\nid: a\npolicies: {cors: {origins: ['regex:a(?!b)']}}\n",
        [("GC116", "policies.cors.origins[0]", 3)],
    ),
    "method": (
        "kind: Route\nid: r\nmatch: {path: /a, methods: [get]}\nservice: s\n",
        [("GC117", "match.methods[0]", 3)],
    ),
    "weights": (
        "kind: Route\nid: r\nmatch: {path: /a}\nsplit: [{service: a, weight: 90}, {service: b, weight: 20}]\n",
        [("GC118", "split", 4)],
    ),
    "weights of an override": (
        "kind: Tenant\nid: a\nroutes: {r: {split: [{service: a, weight: 90}]}}\n",
        [("GC118", "routes.r.split", 3)],
    ),
    "host twice": ("kind: Tenant\nid: a\nhosts: [a.b, A.B]\n", [("GC119", "hosts", 3)]),
    "one header in two cases": (
        "kind: Tenant\nid: a\npolicies: {headers: {request: {set: {X-A: b, x-a: c}}}}\n",
        [("GC119", "policies.headers.request.set", 3)],
    ),
    "two conditions on one header": (
        "kind: Route\nid: r\nmatch: {path: /a, headers: {X-A: b, x-a: c}}\nservice: s\n",
        [("GC119", "match.headers", 3)],
    ),
    "policy in the wrong place": (
        "kind: Route\nid: r\nmatch: {path: /a}\nservice: s\npolicies: {outlier: {consecutive_5xx: 5}}\n",
        [("GC120", "policies.outlier", 5)],
    ),
    "origin": (
        "kind: Tenant\nid: a\npolicies: {cors: {origins: [shop.example]}}\n",
        [("GC121", "policies.cors.origins[0]", 3)],
    ),
    "jwks uri": (
        "kind: Tenant\nid: a\npolicies: {jwt: {jwks: {uri: 'file:///etc'}}}\n",
        [("GC121", "policies.jwt.jwks.uri", 3)],
    ),
    "a password in a jwks uri": (
        "kind: Tenant\nid: a\npolicies: {jwt: {jwks: {uri: 'https://ann:hunter2@a.example/keys'}}}\n",
        [("GC121", "policies.jwt.jwks.uri", 3)],
    ),
    "a shared secret among the keys": (
        "kind: Tenant\nid: a\npolicies: {jwt: {jwks: {keys: [{kty: oct, k: abc}]}}}\n",
        [("GC122", "policies.jwt.jwks.keys[0]", 3)],
    ),
    "a key that verifies nothing": (
        f"kind: Tenant\nid: a\npolicies:\n  jwt:\n    jwks:\n      keys:\n      - {KEY}\n"
        "      - {kty: RSA, n: x, e: AQAB}\n",
        [("GC124", "policies.jwt.jwks.keys[1]", 8)],
    ),
    "keys and algorithms that do not meet": (
        f"kind: Tenant\nid: a\npolicies: {{jwt: {{issuer: i, algorithms: [RS256], jwks: {{keys: [{KEY}]}}}}}}\n",
        [("GC107", "policies.jwt", 3)],
    ),
    "no algorithm": (
        "kind: Tenant\nid: a\npolicies: {jwt: {algorithms: [RS256, none]}}\n",
        [("GC105", "policies.jwt.algorithms[1]", 3)],
    ),
    "an issuer that is no URL and may inherit its keys": (
        "kind: Tenant\nid: a\npolicies: {jwt: {issuer: us, jwks: {uri: null}}}\n",
        [],
    ),
    **{
        f"a claim in the header {name}": (
            f"kind: Tenant\nid: a\npolicies:\n  jwt:\n    forward_claims: {{sub: {name}}}\n",
            [("GC107", "policies.jwt.forward_claims", 5)],
        )
        for name in ("Host", "authorization", "x-gatecast-claim", "X-Forwarded-For", "x-envoy-x", "Connection", "te")
    },
    "two claims in one header": (
        "kind: Tenant\nid: a\npolicies:\n  jwt:\n    forward_claims: {sub: x-a, name: X-A}\n",
        [("GC119", "policies.jwt.forward_claims", 5)],
    ),
    "an empty part of a claim": (
        "kind: Tenant\nid: a\npolicies: {jwt: {tenant_claim: realm..tenant}}\n",
        [("GC112", "policies.jwt.tenant_claim", 3)],
    ),
    "more traces than requests": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\ntracing:\n  service: otel\n  sample: 101\n",
        [("GC106", "tracing.sample", 6)],
    ),
    "an access log at no place": (
        "kind: Gateway\nid: other\nlisteners: [{name: p, port: 1}]\naccess_log:\n  path: access.log\n",
        [("GC105", "access_log.path", 5)],
    ),
    "an empty part of a gateway's claim": (
        "kind: Gateway\nid: g\nlisteners: [{name: a, port: 1}]\ntenant: {from: claim, name: .tenant}\n",
        [("GC112", "tenant.name", 4)],
    ),
    "a header of the gateway's own": (
        "kind: Tenant\nid: a\npolicies: {headers: {request: {set: {X-Gatecast-Host: a.b}}}}\n",
        [("GC107", "policies.headers.request.set", 3)],
    ),
    "a secret where its place belongs": (
        "kind: Certificate\nid: c\ncertificate: {file: c.pem}\nkey: |\n  -----BEGIN PRIVATE KEY-----\n  MIIE\n",
        [("GC125", "key", 4)],
    ),
    "a file outside the secrets directory": (
        "kind: Certificate\nid: c\ncertificate:\n  file: ../c.pem\nkey: {env: C-KEY}\n",
        [("GC126", "certificate.file", 4), ("GC126", "key.env", 5)],
    ),
    "private key": (
        "kind: Tenant\nid: a\npolicies: {jwt: {jwks: {keys: [{kty: RSA, n: x, d: y}]}}}\n",
        [("GC122", "policies.jwt.jwks.keys[0]", 3)],
    ),
    "port twice in a gateway": (
        "kind: Gateway\nid: g\nlisteners:\n  - {name: a, port: 1}\n  - {name: b, address: 10.0.0.1, port: 1}\n",
        [("GC123", "listeners", 3)],
    ),
    "a context that is ours": (
        "kind: Tenant\nid: a\npolicies: {authz: {context: {plan: x, tenant: b}}}\n",
        [("GC107", "policies.authz.context", 3)],
    ),
    "a wait without end": (
        "kind: Tenant\nid: a\npolicies: {authz: {timeout: 11s}}\n",
        [("GC106", "policies.authz.timeout", 3)],
    ),
    "a body too large to show": (
        "kind: Tenant\nid: a\npolicies: {authz: {body: 2MiB}}\n",
        [("GC106", "policies.authz.body", 3)],
    ),
    "everything at once": (
        "kind: Tenant\nid: a\nstatus: paused\nhost: x\npolicies: {timeout: {idle: 5, x: 1}}\n"
        "---\nkind: Rout\n---\nid: b\n",
        [
            ("GC101", "host", 4),
            ("GC109", "policies.timeout.idle", 5),
            ("GC101", "policies.timeout.x", 5),
            ("GC105", "status", 3),
            ("GC003", "kind", 7),
            ("GC003", "kind", 9),
        ],
    ),
}

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

# These have tests of their own below, or in the sources (GC011).
SECRETS = {"GC411", "GC412", "GC413", "GC414", "GC415", "GC416", "GC417"}  # tests/tenants/secrets
KEPT_OUT = {"GC012", "GC226", "GC227"}  # tests/gatecast/test_ledger_files.py, test_ledger_registry.py
ELSEWHERE = (
    SECRETS
    | KEPT_OUT
    | {
        "GC303",  # tests/tenants/test_exactness.py
        "GC007",
        "GC008",
        "GC009",
        "GC011",
        "GC211",
        "GC215",
        "GC301",
        "GC302",
        "GC401",
        "GC900",
        "GC901",
        "GC902",
    }
)


def places(problems: tuple[Problem, ...]) -> list[tuple[str, str, int]]:
    return [(problem.code, problem.path, problem.line) for problem in problems]


@pytest.mark.parametrize("case", ALONE)
def test_a_document_that_is_wrong_by_itself_is_refused_with_code_path_line_and_hint(case: str) -> None:
    text, expected = ALONE[case]
    reading = read(text, "b.yaml")
    assert sorted(places(reading.problems)) == sorted(expected)
    assert all(problem.hint and problem.message and problem.file == "b.yaml" for problem in reading.problems)


@pytest.mark.parametrize("case", BESIDE)
def test_a_document_that_is_wrong_beside_others_is_listed_with_code_path_line_and_hint(case: str) -> None:
    text, expected = BESIDE[case]
    assert read(text, "b.yaml").problems == ()
    problems = catalog(BASE).apply(changes(text, "b.yaml")).catalog.problems
    assert places(problems) == sorted(expected, key=lambda place: (place[2], place[1]))
    assert all(problem.hint and problem.message and problem.file == "b.yaml" for problem in problems)


def test_every_code_has_a_case() -> None:
    cases = {code for table in (ALONE, BESIDE) for _text, expected in table.values() for code, _path, _line in expected}
    assert cases | ELSEWHERE == set(CODES)


def test_base_has_no_problems() -> None:
    assert catalog(BASE).problems == ()


@pytest.mark.parametrize("name", [name for name in ALONE if "password" in name])
def test_a_password_is_not_repeated(name: str) -> None:
    assert "hunter2" not in "".join(map(str, read(ALONE[name][0], "a.yaml").problems))


def test_a_problem_says_where_what_and_what_would_be_right() -> None:
    (problem,) = read("kind: Tenant\nid: acme\nstatus: activ\n", "dir/a.yaml").problems
    assert str(problem) == (
        "dir/a.yaml:3 Tenant/acme status: 'activ' is not allowed here (did you mean active?) [GC105]"
    )
    assert problem.tenant == "acme"


def test_a_problem_is_one_line_that_cannot_steer_a_terminal() -> None:
    (problem,) = read('kind: Tenant\nid: acme\n"\\e[31m\\n": 1\n', "a\n.yaml").problems
    assert str(problem).startswith("a\\n.yaml:3 Tenant/acme \\x1b[31m\\n: unknown field")


def test_a_document_that_is_there_and_broken_is_not_said_to_be_missing() -> None:
    found = catalog(BASE.replace("id: foods", "id: foods\nx: 1"), "kind: Tenant\nid: a\norganisation: foods\n").problems
    (problem,) = [one for one in found if one.kind == "Tenant"]
    assert (problem.message, problem.hint) == (
        "no organisation 'foods' is in force",
        "add the Organisation, or mend it",
    )


def test_a_removed_document_that_is_still_referred_to_stays_and_is_listed() -> None:
    before = catalog(BASE)
    step = before.apply(Changes(drop=frozenset({Key("Service", "orders")})))
    assert places(step.catalog.problems) == [("GC211", "", 7)]
    assert "orders" in step.catalog.services


def test_documents_without_a_gateway_in_force_are_a_warning_until_one_is() -> None:
    (problem,) = catalog("kind: Organisation\nid: foods\n").problems
    assert str(problem) == "Gateway: no gateway is in force: nothing is served (add a Gateway, or mend it) [GC215]"
    assert (problem.kind, problem.id, problem.severity) == ("Gateway", "", "warning")
    assert catalog("kind: Organisation\nid: foods\n", BASE.split("---")[0]).problems == ()
    assert catalog().problems == ()


def test_a_broken_gateway_alone_leaves_nothing_unserved() -> None:
    broken = "kind: Gateway\nid: edge\nlisteners: []\n"
    assert "GC215" not in {problem.code for problem in catalog(broken).problems}
    assert "GC215" in {problem.code for problem in catalog(broken, "kind: Organisation\nid: foods\n").problems}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack(opening: str) -> None:
    reading = read("kind: Tenant\nid: a\nx:\n  " + opening * 20_000 + "\n", "b.yaml")
    assert reading.documents == ()
    assert {problem.code for problem in reading.problems} & {"GC001", "GC007"}


def test_balanced_deep_nesting_is_one_problem_and_its_siblings_are_read() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    reading = read(f"kind: Tenant\nid: a\npolicies: {{timeout: {deep}}}\n---\nkind: Tenant\nid: b\n", "b.yaml")
    assert "GC007" in {problem.code for problem in reading.problems}
    assert [given.key.id for given in reading.documents] == ["b"]


def test_an_alias_bomb_stays_small() -> None:
    bomb = "kind: Tenant\nid: a\na0: &a0 [x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    codes = {problem.code for problem in read(bomb, "b.yaml").problems}
    assert codes == {"GC006"}


def test_a_document_that_is_too_large_is_refused_and_its_siblings_are_read() -> None:
    large = f"kind: Tenant\nid: a\nhosts: [{'a' * 300_000}]\n---\nkind: Tenant\nid: b\n"
    reading = read(large, "b.yaml")
    assert "GC008" in {problem.code for problem in reading.problems}
    assert [given.key.id for given in reading.documents] == ["b"]


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    assert places(read(b"#" * (MAX_FILE + 1), "b.yaml").problems) == [("GC008", "", 0)]


@pytest.mark.parametrize("text", [b"kind: \xff\xfe", "kind: \ud800"])
def test_text_that_is_not_utf_8_is_refused(text: str | bytes) -> None:
    assert places(read(text, "b.yaml").problems) == [("GC009", "", 0)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"kind: \x00", 1),
        ("kind: a\x07b", 1),
        ("\ufeffkind: Tenant\nid: '\x1b'", 2),
        ("kind: Tenant\r\nid: a\r\nhosts: [\x07]\r\n", 3),
        ("# " + "\u00e9" * 30_000 + "\nid: a\x07\n\n\n", 2),
    ],
)
def test_control_characters_are_no_yaml_and_their_line_is_told(text: str | bytes, line: int) -> None:
    assert places(read(text, "b.yaml").problems) == [("GC001", "", line)]
