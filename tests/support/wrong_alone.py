"""Documents that are wrong by themselves: case -> (YAML, the (code, path, line) that must come of it).

The rows of `tests/tenants/test_problems.py`.
"""

Expected = list[tuple[str, str, int]]

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
