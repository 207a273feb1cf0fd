"""Services as clusters and endpoints, and which tenants share one."""

from typing import Any

import pytest
import tables
from worlds import Json, document, route, service

from tenants.policies import CircuitBreaker, Outlier
from xds import messages, translate
from xds.translate import ClusterSpec


def made(spec: ClusterSpec | None = None, **fields: Any) -> Json:
    (built,) = translate.cluster(document(**service(**fields)), spec or ClusterSpec("orders"))
    return messages.to_dict(built.message)


def clusters(**tenant_fields: Any) -> set[str]:
    """The names of the clusters that acme's routes `orders` and `b`, both to the service `orders`, need."""
    documents = tables.small(route("b"), **tenant_fields)
    built, needs = translate.tenant(documents.view("acme"))
    assert built[-1].uses == {spec.name for spec in needs.clusters}
    return {spec.name for spec in needs.clusters}


def test_endpoints_come_by_eds_under_the_name_of_the_service() -> None:
    one = document(**service(endpoints=["127.0.0.1:9001", {"address": "[::1]:9002", "weight": 3}]))
    (cluster,) = translate.cluster(one, ClusterSpec("orders", "acme"))
    (endpoints,) = translate.endpoints(one)
    assert (cluster.kind, cluster.name, cluster.companion, cluster.owner) == ("CDS", "orders@acme", "orders", "acme")
    found = messages.to_dict(cluster.message)
    assert (found["type"], found["eds_cluster_config"]["service_name"]) == ("EDS", "orders")
    assert (endpoints.kind, endpoints.name, endpoints.owner) == ("EDS", "orders", "")
    (group,) = messages.to_dict(endpoints.message)["endpoints"]
    addresses = [one["endpoint"]["address"]["socket_address"] for one in group["lb_endpoints"]]
    assert addresses == [{"address": "127.0.0.1", "port_value": 9001}, {"address": "::1", "port_value": 9002}]
    assert [one["load_balancing_weight"] for one in group["lb_endpoints"]] == [1, 3]


def test_a_change_of_endpoints_leaves_the_cluster_as_it_is() -> None:
    assert made(endpoints=["127.0.0.1:1"]) == made(endpoints=["127.0.0.1:2", "127.0.0.1:3"])


def test_a_name_is_resolved_by_the_proxy() -> None:
    one = document(**service(dns="orders.internal:8080"))
    (cluster,) = translate.cluster(one, ClusterSpec("orders"))
    found = messages.to_dict(cluster.message)
    assert found["cluster_type"]["name"] == "envoy.clusters.dns"
    assert found["cluster_type"]["typed_config"]["dns_refresh_rate"] == "5s"
    ((endpoint,),) = (group["lb_endpoints"] for group in found["load_assignment"]["endpoints"])
    expected = {"address": "orders.internal", "port_value": 8080}
    assert endpoint["endpoint"]["address"]["socket_address"] == expected
    assert cluster.companion == ""
    assert translate.endpoints(one) == ()


def test_a_service_whose_tls_lacks_something_gets_no_requests() -> None:
    one = document(**service(tls={"sni": "orders.internal"}))
    (cluster,) = translate.cluster(one, ClusterSpec("orders"), ready=False)
    found = messages.to_dict(cluster.message)
    assert "endpoints" not in found["load_assignment"]
    assert "transport_socket" not in found  # it would wait for what is not there
    assert (cluster.companion, translate.endpoints(one, ready=False)) == ("", ())


@pytest.mark.parametrize(("protocol", "http2"), [("http1", False), ("http2", True), ("grpc", True)])
def test_the_protocol_of_a_service(protocol: str, http2: bool) -> None:
    found = made(protocol=protocol).get("typed_extension_protocol_options", {})
    assert any("http2_protocol_options" in one["explicit_http_config"] for one in found.values()) == http2


@pytest.mark.parametrize(
    ("service_fields", "probe"),
    [
        (
            {"health_check": {"path": "/up"}},
            {"http_health_check": {"path": "/up", "host": "orders"}},
        ),
        (
            {"health_check": {"path": "/up", "host": "h.example"}, "protocol": "http2"},
            {"http_health_check": {"path": "/up", "host": "h.example", "codec_client_type": "HTTP2"}},
        ),
        ({"health_check": {}}, {"tcp_health_check": {}}),
        ({"health_check": {}, "protocol": "grpc"}, {"grpc_health_check": {}}),
    ],
)
def test_health_checks_by_what_the_service_speaks(service_fields: Json, probe: Json) -> None:
    (found,) = made(**service_fields)["health_checks"]
    assert {name: value for name, value in found.items() if name.endswith("_health_check")} == probe


def test_a_health_check_is_as_frequent_without_traffic() -> None:
    said = {"path": "/up", "interval": "7s", "timeout": "500ms", "unhealthy_after": 4, "healthy_after": 3}
    (found,) = made(health_check=said)["health_checks"]
    assert found["interval"] == found["no_traffic_interval"] == "7s"
    assert (found["timeout"], found["unhealthy_threshold"], found["healthy_threshold"]) == ("0.500s", 4, 3)


def test_an_endpoint_that_is_down_gets_nothing_and_one_that_is_removed_is_gone() -> None:
    found = made()
    assert found["common_lb_config"] == {"healthy_panic_threshold": {}}
    assert found["ignore_health_on_host_removal"] is True


def test_a_tenants_limits_stand_over_those_of_the_service() -> None:
    limits = {"max_connections": 1, "max_requests": 2}
    spec = ClusterSpec("orders", "acme", CircuitBreaker(max_requests=9), Outlier(consecutive_5xx=3))
    found = made(spec, circuit_breaker=limits, outlier={"interval": "5s", "consecutive_5xx": 7})
    assert found["circuit_breakers"] == {"thresholds": [{"max_connections": 1, "max_requests": 9}]}
    assert (found["outlier_detection"]["consecutive_5xx"], found["outlier_detection"]["interval"]) == (3, "5s")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, {"max_ejection_percent": 50}),
        ({"max_ejection_percent": 0}, {"max_ejection_percent": 0}),
        (
            {"base_ejection": "1s"},
            {"max_ejection_percent": 50, "base_ejection_time": "1s", "max_ejection_time": "300s"},
        ),
        (
            {"base_ejection": "1h"},
            {"max_ejection_percent": 50, "base_ejection_time": "3600s", "max_ejection_time": "3600s"},
        ),
    ],
)
def test_outlier_detection_does_what_was_asked_and_nothing_else(policy: Json, expected: Json) -> None:
    assert made(outlier=policy)["outlier_detection"] == {"enforcing_success_rate": 0, **expected}


def test_tenants_without_limits_of_their_own_share_the_cluster_of_the_service() -> None:
    assert clusters() == {"orders"}
    assert clusters(policies={"circuit_breaker": None}) == {"orders"}


@pytest.mark.parametrize("policy", [{"circuit_breaker": {"max_requests": 1}}, {"outlier": {"consecutive_5xx": 1}}])
def test_a_tenant_with_limits_of_its_own_has_its_own_cluster(policy: Json) -> None:
    assert clusters(policies=policy) == {"orders@acme"}


def test_a_new_limit_does_not_rename_the_cluster() -> None:
    before, after = (clusters(policies={"circuit_breaker": {"max_requests": limit}}) for limit in (1, 2))
    assert before == after == {"orders@acme"}


def test_several_own_clusters_of_one_service_are_told_apart_by_content() -> None:
    general = {"circuit_breaker": {"max_requests": 1}}
    other = {"b": {"policies": {"circuit_breaker": {"max_requests": 2}}}}
    plain, further = sorted(clusters(policies=general, routes=other))
    assert plain == "orders@acme"
    assert further.startswith("orders@acme~")
    assert clusters(routes=other) == {"orders", "orders@acme"}


def test_limits_that_no_tenant_owns_are_shared_by_content() -> None:
    one, same, other = (ClusterSpec("orders", "", CircuitBreaker(max_requests=limit), Outlier()) for limit in (1, 1, 2))
    assert one.name == same.name != other.name
    assert one.name.startswith("orders~")
    assert len(one.name) == len("orders~") + 8
