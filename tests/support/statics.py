"""Translated documents as one Envoy bootstrap without a control plane: for `envoy --mode validate` and for traffic.

The messages are ours; where Envoy would fetch what they name (scopes, routes, endpoints), that is put in their place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tenants.documents import Gateway, Service
from tenants.effective import TenantView
from xds import messages, translate
from xds.bootstrap import RUNTIME

Json = dict[str, Any]


def bootstrap(gateway: Gateway, views: Iterable[TenantView], services: Mapping[str, Service]) -> Json:
    """Everything of one gateway in one static bootstrap."""
    built = [translate.tenant(view) for view in views]
    tables = {one.name: one for resources, _needs in built for one in resources if one.kind == "RDS"}
    scopes = [one for resources, _needs in built for one in resources if one.kind == "SRDS"]
    inline = [_scope(one.message, tables) for one in scopes]
    needs = [translate.Needs(translate.gateway_needs(gateway), translate.claimed(gateway)), *(one for _, one in built)]
    specs = sorted({spec for one in needs for spec in one.clusters}, key=lambda spec: spec.name)
    clusters = [_cluster(services[spec.service], spec) for spec in specs]
    filters = _filters(needs)
    listeners = [_listener(messages.to_dict(one.message), inline, filters) for one in translate.listeners(gateway)]
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": RUNTIME}]},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _scope(scope: Any, tables: Mapping[str, translate.Built]) -> Json:
    found = messages.to_dict(scope)
    table = tables[found.pop("route_configuration_name")]
    return {**found, "route_configuration": messages.to_dict(table.message)}


def _filters(needs: Iterable[translate.Needs]) -> dict[str, Json]:
    """The configurations of filters that come by ECDS, by name."""
    providers = frozenset(one for need in needs for one in need.providers)
    names = (*translate.SHARD_NAMES, translate.CLAIM_SHARD)
    shards = [translate.shard(name, (one for one in providers if one.shard == name), {}) for name in names]
    return {one.name: messages.to_dict(one.message)["typed_config"] for one in shards}


def _listener(listener: Json, scopes: list[Json], filters: Mapping[str, Json]) -> Json:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    for one in manager.get("access_log", []):  # Envoy 1.40 crashes at the end of a mere check of shared statistics
        one["typed_config"].get("stats_scope", {}).pop("sharing_name", None)
    for one in manager["http_filters"]:
        if one.pop("config_discovery", None):
            one["typed_config"] = filters[one["name"]]
    listener["filter_chains"][0].pop("transport_socket", None)  # its certificates would come over a stream
    routes = manager["scoped_routes"]
    assert routes.pop("scoped_rds") == {"scoped_rds_config_source": routes.pop("rds_config_source")}
    routes["scoped_route_configurations_list"] = {"scoped_route_configurations": scopes}
    return listener


def _cluster(service: Service, spec: translate.ClusterSpec) -> Json:
    (built,) = translate.cluster(service, spec)
    found = messages.to_dict(built.message)
    found.pop("transport_socket", None)  # its authorities would come over a stream
    if built.companion:
        (endpoints,) = translate.endpoints(service)
        assert found.pop("eds_cluster_config")["service_name"] == built.companion == endpoints.name
        found |= {"type": "STATIC", "load_assignment": messages.to_dict(endpoints.message)}
    return found
