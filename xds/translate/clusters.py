"""Services as clusters (CDS) and endpoints (EDS). Called by `xds.builder` for the specs that tenants need.

Endpoints are named by the service, so all clusters of a service share them and an endpoint change never touches CDS.
"""

from datetime import timedelta

from google.protobuf.message import Message

from tenants.documents import HealthCheck, Service
from tenants.policies import CircuitBreaker, Outlier, over
from tenants.values import Address as ServiceAddress
from xds import messages
from xds.translate.built import Built, ClusterSpec
from xds.translate.secrets import upstream
from xds.translate.sources import ADS

_CORE = "envoy.config.core.v3."
_CLUSTER = "envoy.config.cluster.v3."
_ENDPOINT = "envoy.config.endpoint.v3."
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
Cluster = messages.message(_CLUSTER + "Cluster")
CustomClusterType = messages.message(_CLUSTER + "Cluster.CustomClusterType")
DnsCluster = messages.message("envoy.extensions.clusters.dns.v3.DnsCluster")
CommonLbConfig = messages.message(_CLUSTER + "Cluster.CommonLbConfig")
EdsClusterConfig = messages.message(_CLUSTER + "Cluster.EdsClusterConfig")
CircuitBreakers = messages.message(_CLUSTER + "CircuitBreakers")
Thresholds = messages.message(_CLUSTER + "CircuitBreakers.Thresholds")
OutlierDetection = messages.message(_CLUSTER + "OutlierDetection")
ClusterLoadAssignment = messages.message(_ENDPOINT + "ClusterLoadAssignment")
LocalityLbEndpoints = messages.message(_ENDPOINT + "LocalityLbEndpoints")
LbEndpoint = messages.message(_ENDPOINT + "LbEndpoint")
Endpoint = messages.message(_ENDPOINT + "Endpoint")
Address = messages.message(_CORE + "Address")
SocketAddress = messages.message(_CORE + "SocketAddress")
EnvoyHealthCheck = messages.message(_CORE + "HealthCheck")
HttpHealthCheck = messages.message(_CORE + "HealthCheck.HttpHealthCheck")
TcpHealthCheck = messages.message(_CORE + "HealthCheck.TcpHealthCheck")
GrpcHealthCheck = messages.message(_CORE + "HealthCheck.GrpcHealthCheck")
Http2ProtocolOptions = messages.message(_CORE + "Http2ProtocolOptions")
UpstreamOptions = messages.message(_OPTIONS)
ExplicitHttpConfig = messages.message(_OPTIONS + ".ExplicitHttpConfig")
Percent = messages.message("envoy.type.v3.Percent")
BoolValue = messages.message("google.protobuf.BoolValue")
UInt32Value = messages.message("google.protobuf.UInt32Value")

DNS_REFRESH = timedelta(seconds=5)
"""How often a name is resolved anew whose answer has no lifetime of its own; every address is an endpoint."""

EJECTION = timedelta(minutes=5)
HALF = 50

_LB = {"round_robin": "ROUND_ROBIN", "least_request": "LEAST_REQUEST", "random": "RANDOM"}


def cluster(service: Service, spec: ClusterSpec, *, ready: bool = True) -> tuple[Built, ...]:
    """The cluster of a service under these limits; what a spec leaves open is as the service has it.

    One that is not `ready` lacks what its TLS needs: it has no endpoints, and nothing goes out in the clear.
    """
    outlier = over(spec.outlier, service.outlier)
    made = Cluster(
        name=spec.name,
        connect_timeout=messages.duration(service.connect_timeout),
        lb_policy=_LB[service.lb],
        health_checks=[_health_check(service, service.health_check)] if service.health_check else [],
        circuit_breakers=_circuit_breakers(over(spec.circuit_breaker, service.circuit_breaker)),
        outlier_detection=None if outlier is None else _outlier(outlier),
        typed_extension_protocol_options=_protocol(service),
        # An endpoint that is known to be down gets no requests, even if all are; one that is removed is gone at once.
        common_lb_config=CommonLbConfig(healthy_panic_threshold=Percent(value=0)),
        ignore_health_on_host_removal=True,
    )
    if service.tls and ready:
        made.MergeFrom(Cluster(transport_socket=upstream(service, service.tls)))
    made.MergeFrom(_source(service) if ready else Cluster(type="STATIC", load_assignment=_assignment(service, ())))
    companion = service.id if ready and service.dns is None else ""
    return (Built("CDS", spec.name, made, companion=companion, owner=spec.owner),)


def _source(service: Service) -> Message:
    """Where the endpoints come from."""
    if service.dns is None:
        return Cluster(type="EDS", eds_cluster_config=EdsClusterConfig(eds_config=ADS, service_name=service.id))
    refresh = messages.duration(DNS_REFRESH)
    by_name = messages.pack(
        DnsCluster(dns_refresh_rate=refresh, respect_dns_ttl=True, dns_lookup_family="V4_PREFERRED")
    )
    return Cluster(
        cluster_type=CustomClusterType(name="envoy.clusters.dns", typed_config=by_name),
        load_assignment=_assignment(service, ((service.dns, 1),)),
    )


def endpoints(service: Service, *, ready: bool = True) -> tuple[Built, ...]:
    """The endpoints of a service, by its id; none for a DNS name, which the proxy resolves."""
    if service.dns is not None or not ready:
        return ()
    found = tuple((endpoint.address, endpoint.weight) for endpoint in service.endpoints)
    return (Built("EDS", service.id, _assignment(service, found)),)


def _assignment(service: Service, found: tuple[tuple[ServiceAddress, int], ...]) -> Message:
    group = LocalityLbEndpoints(lb_endpoints=[_endpoint(address, weight) for address, weight in found])
    return ClusterLoadAssignment(cluster_name=service.id, endpoints=[group] if found else [])


def _endpoint(address: ServiceAddress, weight: int) -> Message:
    place = Address(socket_address=SocketAddress(address=address.host, port_value=address.port))
    return LbEndpoint(endpoint=Endpoint(address=place), load_balancing_weight=UInt32Value(value=weight))


def _protocol(service: Service) -> dict[str, Message]:
    """HTTP/1.1 is Envoy's default; http2 and grpc speak HTTP/2 from the first byte."""
    if service.protocol == "http1":
        return {}
    http2 = ExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    return {_OPTIONS: messages.pack(UpstreamOptions(explicit_http_config=http2))}


def _health_check(service: Service, check: HealthCheck) -> Message:
    """Without traffic Envoy would probe once a minute; an operator who says 5 s means always."""
    interval = messages.duration(check.interval)
    common = EnvoyHealthCheck(
        timeout=messages.duration(check.timeout),
        interval=interval,
        no_traffic_interval=interval,
        unhealthy_threshold=UInt32Value(value=check.unhealthy_after),
        healthy_threshold=UInt32Value(value=check.healthy_after),
    )
    common.MergeFrom(_probe(service, check))
    return common


def _probe(service: Service, check: HealthCheck) -> Message:
    if check.path is not None:
        codec = "HTTP1" if service.protocol == "http1" else "HTTP2"
        http = HttpHealthCheck(path=check.path, host=check.host or service.id, codec_client_type=codec)
        return EnvoyHealthCheck(http_health_check=http)
    if service.protocol == "grpc":
        return EnvoyHealthCheck(grpc_health_check=GrpcHealthCheck(authority=check.host or ""))
    return EnvoyHealthCheck(tcp_health_check=TcpHealthCheck())


def _circuit_breakers(limits: CircuitBreaker | None) -> Message | None:
    if limits is None:
        return None
    given = {name: value for name, value in limits.model_dump().items() if value is not None}
    found = {name: UInt32Value(value=value) for name, value in given.items()}
    return CircuitBreakers(thresholds=[Thresholds(**found)])


def _outlier(policy: Outlier) -> Message:
    """Only what was asked for: Envoy's statistics of success rates stay off.

    Half of the endpoints may be out at once unless the document says otherwise: Envoy's 10 % of two or five is none.
    """
    most = HALF if policy.max_ejection_percent is None else policy.max_ejection_percent
    found = {"consecutive_5xx": policy.consecutive_5xx, "max_ejection_percent": most, "enforcing_success_rate": 0}
    times = {"interval": policy.interval, "base_ejection_time": policy.base_ejection}
    if policy.base_ejection is not None:
        times["max_ejection_time"] = max(policy.base_ejection, EJECTION)
    numbers = {name: UInt32Value(value=value) for name, value in found.items() if value is not None}
    lengths = {name: messages.duration(value) for name, value in times.items() if value is not None}
    return OutlierDetection(**numbers, **lengths)
