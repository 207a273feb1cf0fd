"""The file an Envoy starts with: who it is, where its control plane listens, and nothing about tenants.

`gatecast bootstrap`, `gatecast demo` and the tests call `bootstrap()` for the document and `as_yaml()` for the text.
Pure: nothing is read, written or looked up.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tenants.values import MAX_PROGRAM

XDS_CLUSTER = "gatecast_xds"
"""Name of the one static cluster: the control plane itself."""

RUNTIME = {"re2.max_program_size.error_level": MAX_PROGRAM}
"""Envoy takes the regular expressions that the model takes: by itself it stops at 100 instructions."""

STATS = {
    # Ten numbers about the updates of each tenant's table: 6 KB a tenant. The server knows them too.
    "stats_config": {
        "stats_matcher": {"exclusion_list": {"patterns": [{"safe_regex": {"regex": r"http\.[^.]+\.rds\..*"}}]}}
    },
    # A cluster that nobody calls counts nothing: 20 KB each.
    "deferred_stat_options": {"enable_deferred_creation_stats": True},
    # Counters of tenants that nobody asked for during one to two hours are forgotten (`xds.translate.tenant_stats`).
    "stats_eviction_interval": "3600s",
}
"""What keeps the memory that statistics take from growing with the number of tenants and clusters."""

LOOPBACK = "127.0.0.1"

_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards the server: files on the proxy. `ca` signs the server's certificate, which must have `name`;
    `certificate` and `key` are the proxy's own.
    """

    ca: str
    name: str
    certificate: str = ""
    key: str = ""


def bootstrap(
    gateway: str,
    node: str,
    xds: tuple[str, int],
    *,
    sotw: bool = False,
    separate: bool = False,
    admin_port: int = 0,
    tls: Tls | None = None,
) -> dict[str, Any]:
    """Return a complete Envoy bootstrap, ready for JSON or YAML.

    `gateway` becomes `node.cluster`, by which the server chooses what to send. `node` must be unique: it names this
    Envoy among the connected clients. `xds` is the host (name or IP address, without brackets) and port of the server.
    `sotw` asks for state of the world in place of delta. `separate` takes listeners and clusters by streams of their
    own; what these name (scopes, routes, endpoints) still comes by ADS, as our listeners and clusters say.
    `tls`: how to reach a server that speaks TLS.
    `admin_port` 0 lets the system choose one; `envoy --admin-address-path FILE` then writes it down.
    """
    api_type = "GRPC" if sotw else "DELTA_GRPC"
    return {
        "node": {"id": node, "cluster": gateway},
        "admin": {"address": _address(LOOPBACK, admin_port)},
        "layered_runtime": {"layers": [{"name": "gatecast", "static_layer": RUNTIME}]},
        **STATS,
        "dynamic_resources": {
            "ads_config": _grpc_source(api_type),
            "cds_config": _config_source(api_type, separate),
            "lds_config": _config_source(api_type, separate),
        },
        "static_resources": {"clusters": [_xds_cluster(*xds) | (_transport(tls) if tls else {})]},
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return the bootstrap as YAML that says in its head what it is and how to run it."""
    node = document["node"]
    head = (
        f"# Envoy bootstrap for node {node['id']!r} of gateway {node['cluster']!r}. Written by `gatecast bootstrap`.\n"
        "# Run: envoy -c FILE\n"
        "# One file for each Envoy: the node id is what tells one from another.\n"
    )
    return head + yaml.safe_dump(dict(document), sort_keys=False, width=120)


def _grpc_source(api_type: str) -> dict[str, Any]:
    return {
        "api_type": api_type,
        "transport_api_version": "V3",
        # The node is 61 KB (R1); once a stream is enough.
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": _reconnect()}}],
    }


def _reconnect() -> dict[str, Any]:
    """Come back within 5 s of a server restart; Envoy's own limit is 30 s. Envoy adds the jitter."""
    return {"retry_back_off": {"base_interval": "0.25s", "max_interval": "5s"}}


def _config_source(api_type: str, separate: bool) -> dict[str, Any]:
    source: dict[str, Any] = {"api_config_source": _grpc_source(api_type)} if separate else {"ads": {}}
    return {**source, "resource_api_version": "V3", "initial_fetch_timeout": "15s"}


def _xds_cluster(host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "name": XDS_CLUSTER,
        **_discovery(host),
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": XDS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    # Without pings a connection that a firewall forgot looks alive for ever.
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
                },
            }
        },
    }


def _transport(tls: Tls) -> dict[str, Any]:
    named = {"san_type": "IP_ADDRESS" if _is_ip(tls.name) else "DNS", "matcher": {"exact": tls.name}}
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "validation_context": {"trusted_ca": {"filename": tls.ca}, "match_typed_subject_alt_names": [named]},
    }
    if tls.certificate:
        pair = {"certificate_chain": {"filename": tls.certificate}, "private_key": {"filename": tls.key}}
        common["tls_certificates"] = [pair]
    context = {"@type": f"type.googleapis.com/{_TLS}", "common_tls_context": common}
    sni = {} if _is_ip(tls.name) else {"sni": tls.name}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context | sni}}


def _discovery(host: str) -> dict[str, Any]:
    """A name is resolved again and again, in both address families (`localhost` is often ::1 first)."""
    if _is_ip(host):
        return {"type": "STATIC"}
    return {"type": "STRICT_DNS", "dns_lookup_family": "ALL"}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
