"""`tracing` as a listener says it, and the clusters that a gateway needs by itself."""

import pytest
from worlds import Json, document, gateway

from xds import messages, translate

OTEL = {"service": "otel"}


def manager(**fields: object) -> Json:
    (built,) = translate.listeners(document(**gateway(**fields)))
    (chain,) = messages.to_dict(built.message)["filter_chains"]
    return dict(chain["filters"][0]["typed_config"])


def test_without_it_nothing_is_traced() -> None:
    assert "tracing" not in manager()
    assert translate.gateway_needs(document(**gateway())) == frozenset()


def test_spans_go_to_the_services_cluster_which_the_listener_uses() -> None:
    asked = document(**gateway(tracing=OTEL, rate_limit_service={"service": "limits"}))
    config = manager(tracing=OTEL)["tracing"]["provider"]["typed_config"]
    assert config["grpc_service"] == {"envoy_grpc": {"cluster_name": "otel"}}
    assert config["service_name"] == "edge"
    assert {spec.name for spec in translate.gateway_needs(asked)} == {"otel", "limits"}
    assert [one.uses for one in translate.listeners(asked)] == [frozenset({"otel", "limits"})]


@pytest.mark.parametrize(("sample", "millionths"), [(100, 1_000_000), (1, 10_000), (0.0001, 1), (0, 0)])
def test_the_share_is_of_the_trace_ids(sample: float, millionths: int) -> None:
    found = manager(tracing=OTEL | {"sample": sample})["tracing"]
    share = found["provider"]["typed_config"]["sampler"]["typed_config"]["sampling_percentage"]
    assert (share.get("numerator", 0), share["denominator"]) == (millionths, "MILLION")
    assert found["client_sampling"] == {}


def test_spans_carry_tenant_and_route_of_ours() -> None:
    tags = {one["tag"]: one["value"] for one in manager(tracing=OTEL)["tracing"]["custom_tags"]}
    assert tags.keys() == {"gatecast.tenant", "gatecast.route", "gatecast.revision", "http.url"}
    assert not any("REQ(" in value for tag, value in tags.items() if tag != "http.url")
