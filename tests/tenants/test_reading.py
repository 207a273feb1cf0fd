"""What `read` takes as settings: several documents a file, JSON, words and numbers as in YAML 1.2; round trips."""

import json
from datetime import timedelta
from ipaddress import ip_network

import pytest
from catalogs import BASE
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tenants.documents import KINDS, Certificate, Gateway, Key, Route, Service, Tenant
from tenants.policies import POLICIES, CircuitBreaker, Policies, over
from tenants.reading import Given, read, take
from tenants.values import Address, Duration, duration_text

EVERYTHING = """
kind: Gateway
id: edge
listeners:
  - {name: public, address: "::", port: 8080}
  - name: safe
    port: 8443
    tls: {min_version: "1.3", default: ours, client_ca: private/ca.pem, require_client_certificate: true}
tenant: {from: claim, name: tenant}
tenants: [acme]
organisations: [foods]
allow_local_endpoints: true
parity: exact
policies:
  rate_limit: {requests: 100, per: second, burst: 5, by: "header:X-Key", scope: global}
  jwt:
    issuer: https://login.example
    audiences: [a]
    jwks:
      keys:
        - kty: EC
          crv: P-256
          kid: "1"
          x: 9FD0GTGmyyOWswg7zxBygQaLVlJ13fHP5nFFqASpv4A
          y: LK1cbXheYWfNVSdMDqKtMHL6cmSz60Ofk8j6P4sBgkw
    algorithms: [ES256]
    required: false
    tenant_claim: tenant
    forward_claims: {sub: x-user}
    clock_skew: 30s
  cors:
    {origins: ["https://Shop.example", "regex:https://.*"], methods: [GET], headers: [X-A], expose: [X-B], max_age: 10m}
  required_headers: [{name: Idempotency-Key, methods: [POST], pattern: "[a-z]+", status: 428}]
  correlation_id: {header: X-Correlation-Id, generate: false, echo: false}
  headers: {request: {set: {x-b: "2", X-A: "1"}, add: {x-c: ""}, remove: [x-d]}, response: {remove: [server]}}
  timeout: {request: 1.5s, idle: 1h}
  retry: {attempts: 2, on: [5xx, reset], per_try_timeout: 250ms}
  access: {allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.1.0.0/16]}
  body_limit: {max: 64KiB}
  authz: {service: opa, timeout: 1s, on_failure: allow, context: {tier: gold}, body: 8KiB}
  maintenance: {status: 502, message: "Back at %d{10}."}
---
kind: Service
id: orders
endpoints: ["127.0.0.1:9001", {address: "[::1]:9002", weight: 2}]
protocol: grpc
lb: least_request
connect_timeout: 1s
tls: {sni: Orders.internal, ca_file: private/ca.pem, verify: true, certificate: ours}
health_check: {path: /healthz, host: a.b, interval: 5s, timeout: 1s, unhealthy_after: 3, healthy_after: 2}
circuit_breaker: {max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4}
outlier: {consecutive_5xx: 5, interval: 10s, base_ejection: 30s, max_ejection_percent: 50}
---
kind: Service
id: named
dns: Orders.internal:8080
---
kind: Route
id: orders
match:
  regex: "/api/o.*s"
  methods: [GET, POST]
  headers: {x-a: b, X-B: {prefix: c}, x-c: {regex: d}, x-d: {present: false}}
split: [{service: orders, weight: 90}, {service: named, weight: 10}]
rewrite: {regex: "^/api", substitution: /v1, host: inner.example}
policies: {timeout: null}
---
kind: Organisation
id: foods
policies: {cors: {max_age: null}}
---
kind: Tenant
id: acme
organisation: foods
hosts: [Acme.example.com]
status: suspended
policies: {circuit_breaker: {max_requests: 5}, outlier: {interval: 1s}, required_headers: []}
routes: {orders: {service: orders, policies: {rate_limit: null}}, other: {split: [{service: orders, weight: 100}]}}
---
kind: Certificate
id: ours
certificate: {file: private/ours.pem}
key: {env: OUR_KEY}
hosts: [Acme.example.com, "*.Example.com"]
tenant: acme
"""


def one(text: str) -> Given:
    (given,) = read(text, "a.yaml").documents
    return given


def test_every_field_of_every_kind_is_read() -> None:
    reading = read(EVERYTHING, "a.yaml")
    assert reading.problems == ()
    assert {given.key.kind for given in reading.documents} == set(KINDS)
    gateway, orders, named, route, _foods, acme, ours = (given.document for given in reading.documents)
    assert isinstance(gateway, Gateway)
    assert gateway.tenant.source == "claim"
    assert isinstance(orders, Service)
    assert [(endpoint.host, endpoint.port, endpoint.weight) for endpoint in orders.endpoints] == [
        ("127.0.0.1", 9001, 1),
        ("::1", 9002, 2),
    ]
    assert isinstance(named, Service)
    assert named.dns == Address("orders.internal", 8080)
    assert isinstance(route, Route)
    assert [name for name, _match in route.match.headers] == ["x-a", "x-b", "x-c", "x-d"]
    assert isinstance(acme, Tenant)
    assert acme.hosts == ("acme.example.com",)
    assert acme.routes["orders"].policies["rate_limit"] is None
    assert isinstance(ours, Certificate)
    assert ours.hosts == ("acme.example.com", "*.example.com")
    assert (ours.certificate.file, ours.private_key.env) == ("private/ours.pem", "OUR_KEY")


def test_policies_are_parsed_to_durations_bytes_networks_and_sorted_pairs() -> None:
    gateway = read(EVERYTHING, "a.yaml").documents[0].document
    policies = Policies.model_validate(dict(gateway.as_given()["policies"].items()))
    assert policies.timeout
    assert policies.timeout.request == timedelta(seconds=1.5)
    assert policies.body_limit
    assert policies.body_limit.max == 65536
    assert policies.access
    assert policies.access.allow == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert policies.headers
    assert policies.headers.request.set == (("x-a", "1"), ("x-b", "2"))
    assert policies.rate_limit
    assert policies.rate_limit.header == "x-key"
    assert policies.rate_limit.period == timedelta(seconds=1)
    assert policies.jwt
    assert policies.jwt.jwks
    assert json.loads(policies.jwt.jwks.text())["keys"][0]["kid"] == "1"


@pytest.mark.parametrize("index", range(6))
def test_a_document_written_as_json_reads_back_as_the_same_document(index: int) -> None:
    document = read(EVERYTHING, "a.yaml").documents[index].document
    assert one(json.dumps(document.as_given())).document == document
    taken = take(json.loads(json.dumps(document.as_given())))
    assert isinstance(taken, Given)
    assert taken.document == document
    assert hash(taken.document) == hash(document)


def test_take_says_what_is_wrong_with_json_that_came_without_a_file() -> None:
    problems = take({"kind": "Tenant", "id": "acme", "host": "a.b"})
    assert [str(problem) for problem in problems] == ["Tenant/acme host: unknown field (did you mean hosts?) [GC101]"]


def test_each_document_knows_its_line_and_empty_ones_are_passed_over() -> None:
    reading = read("# nothing\n---\n---\n# a\nkind: Tenant\nid: a\n---\nnull\n---\n{kind: Tenant, id: b}\n...\n", "f")
    assert [(given.key, given.line) for given in reading.documents] == [
        (Key("Tenant", "a"), 5),
        (Key("Tenant", "b"), 10),
    ]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n", "\ufeff"])
def test_a_file_without_documents_is_complete_and_empty(text: str) -> None:
    reading = read(text, "f")
    assert (reading.documents, reading.problems, reading.complete) == ((), (), True)


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "y", "n", "On", "TRUE", "0x10", "1_000", "12:30:45", "2026-11-20"]
)
def test_words_that_old_yaml_takes_for_other_things_are_text(word: str) -> None:
    given = one(f"kind: Tenant\nid: a\npolicies: {{maintenance: {{message: {word}}}}}\n")
    assert isinstance(given.document, Tenant)
    assert given.document.policies["maintenance"]["message"] == word


def test_a_key_called_on_is_a_key_called_on() -> None:
    given = one("kind: Tenant\nid: a\npolicies: {retry: {attempts: 1, on: [reset]}}\n")
    assert isinstance(given.document, Tenant)
    assert given.document.policies["retry"]["on"] == ("reset",)


def test_a_broken_document_leaves_its_siblings_alone_and_is_named() -> None:
    reading = read("kind: Tenant\nid: a\nx: 1\n---\nkind: Tenant\nid: b\n", "f")
    assert [given.key.id for given in reading.documents] == ["b"]
    assert reading.keys == {Key("Tenant", "a"), Key("Tenant", "b")}
    assert reading.complete


def test_a_file_with_text_that_cannot_be_named_is_not_complete() -> None:
    assert not read("kind: Tenant\n---\nkind: Tenant\nid: b\n", "f").complete
    half = read("kind: Tenant\nid: a\n---\nkind: Tenant\nid: [b\n", "f")
    assert not half.complete
    assert half.documents == ()


def test_a_policy_given_in_part_is_accepted_and_its_nulls_are_kept() -> None:
    given = one("kind: Tenant\nid: a\npolicies: {rate_limit: {burst: 5, per: null}, cors: null}\n")
    assert isinstance(given.document, Tenant)
    assert given.document.policies["rate_limit"]["per"] is None
    assert "cors" in given.document.policies


def test_every_policy_has_a_row_and_a_model() -> None:
    assert set(POLICIES) == set(Policies.model_fields)


def test_base_is_read() -> None:
    assert len(read(BASE, "a.yaml").documents) == 5


@pytest.mark.parametrize("text", ["500ms", "5s", "90s", "10m", "1h", "36h"])
def test_a_duration_is_written_in_its_largest_whole_unit(text: str) -> None:
    seconds = {"90s": 90, "500ms": 0.5, "5s": 5, "10m": 600, "1h": 3600, "36h": 129600}[text]
    assert duration_text(timedelta(seconds=seconds)) == text


@given(st.integers(1, 24 * 3600 * 10**6))
def test_every_duration_reads_back_as_it_was(microseconds: int) -> None:
    length = timedelta(microseconds=microseconds)
    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    assert adapter.validate_python(duration_text(length)) == length


def test_a_circuit_breaker_over_another_keeps_what_it_leaves_open() -> None:
    service = CircuitBreaker(max_requests=10, max_retries=1)
    assert over(CircuitBreaker(max_requests=5), service) == CircuitBreaker(max_requests=5, max_retries=1)
    assert over(None, service) == service
    assert over(service, None) == service
