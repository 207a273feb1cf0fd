"""Documents for the benchmarks: N tenants that differ, on one gateway with five routes. Called by the other files
here.
"""

from collections.abc import Iterator

GATEWAY = """
kind: Gateway
id: edge
listeners: [{{name: public, address: 127.0.0.1, port: {port}}}]
tenant: {{from: header, name: x-tenant-id}}
allow_local_endpoints: true
policies: {{rate_limit: {{requests: 1000, per: second}}, correlation_id: {{header: x-correlation-id}}}}
---
kind: Service
id: backend
endpoints: ["127.0.0.1:{upstream}"]
---
kind: Organisation
id: foods
policies: {{cors: {{origins: ["https://shop.foods.example"], methods: [GET, POST]}}}}
"""

ROUTE = """
---
kind: Route
id: api-{k}
match: {{prefix: /api/{k}}}
service: backend
policies: {{timeout: {{request: 5s}}}}
"""

TENANT = """
---
kind: Tenant
id: t{i}
organisation: foods
policies:
  rate_limit: {{requests: {limit}, per: minute, burst: 50}}
  headers: {{response: {{set: {{x-revision: "{revision}"}}}}}}
"""


def shared(port: int, upstream: int) -> str:
    """Gateway, service, organisation and five routes."""
    return GATEWAY.format(port=port, upstream=upstream) + "".join(ROUTE.format(k=k) for k in range(5))


def tenant(i: int, revision: int = 0) -> str:
    """One tenant's document; `revision` shows in the header x-revision of its answers."""
    return TENANT.format(i=i, limit=600 + i % 97, revision=revision)


def batches(count: int, size: int = 1000) -> Iterator[str]:
    """All tenants, in texts of `size` documents."""
    for start in range(0, count, size):
        yield "".join(tenant(i) for i in range(start, min(start + size, count)))
