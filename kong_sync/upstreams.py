"""Where requests go: services, upstreams and targets. Kong keeps time-outs and tries at the service, so each distinct
setting is a service of its own (`ServiceSpec`); classes of tenants that come to the same share it. Called by
`translate`.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import gcd, lcm
from typing import Any

from kong_sync.names import Made, digest, identity, name, ref, tags
from tenants.documents import HealthCheck, Service
from tenants.effective import Backend
from tenants.policies import Outlier, Retry, Timeout, over
from tenants.values import Address

MOST_WEIGHT = 65535
READ = timedelta(seconds=15)
"""How long an answer may take where nothing is said: as on Envoy."""
CONNECT = timedelta(seconds=2)
IDLE = timedelta(minutes=5)
EJECTION = timedelta(seconds=30)
FAILURES = 5
_ALGORITHMS = {"round_robin": "round-robin", "least_request": "least-connections", "random": "round-robin"}


@dataclass(frozen=True, slots=True)
class Pool:
    """An upstream: services that answer by their shares. `outlier`: of the policy, over the service's own."""

    backends: tuple[Backend, ...]
    outlier: Outlier | None = None

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(one.service for one in self.backends)

    @property
    def label(self) -> str:
        """`orders.1f0c9b2e4d5a`: the first service and the content."""
        return f"{self.backends[0].service}.{digest(self.content)}"

    @property
    def content(self) -> Any:
        outlier = self.outlier and self.outlier.model_dump(mode="json")
        return [[[one.service, one.weight] for one in self.backends], outlier]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A pool with what Kong keeps at a service. Times are milliseconds."""

    pool: Pool
    read: int
    write: int
    retries: int

    @property
    def label(self) -> str:
        return f"{self.pool.backends[0].service}.{digest([self.pool.content, self.read, self.write, self.retries])}"


@lru_cache(maxsize=16384)
def spec(backends: tuple[Backend, ...], timeout: Timeout | None, retry: Retry | None, outlier: Outlier | None
         ) -> ServiceSpec:  # fmt: skip
    """The service that a route needs."""
    idle = timeout.idle if timeout else None
    read = min(one for one in ((timeout.request if timeout else None) or READ, idle) if one)
    return ServiceSpec(Pool(backends, outlier), _ms(read), _ms(idle or IDLE), retry.attempts if retry else 0)


def pool_entities(gateway: str, one: Pool, services: Mapping[str, Service]) -> Iterator[Made]:
    """The upstream and its targets. A service that is not there yet has none."""
    first, label = services.get(one.services[0]), one.label
    body = {
        "id": identity(gateway, "upstreams", label),
        "name": _pool_name(gateway, label),
        "algorithm": _ALGORITHMS[first.lb] if first else "round-robin",
        "host_header": _sni(first) or None,
        "healthchecks": _checks(first, one.outlier),
        "tags": tags(gateway),
    }
    yield Made("upstreams", body)
    found = weights(one.backends, services)
    for target in sorted(found):
        where = {"id": identity(gateway, "targets", label, target), "upstream": ref(gateway, "upstreams", label)}
        yield Made("targets", {**where, "target": target, "weight": found[target], "tags": tags(gateway)})


def service_entity(gateway: str, one: ServiceSpec, services: Mapping[str, Service]) -> Made:
    first = services.get(one.pool.services[0])
    tls = first.tls if first else None
    body = {
        "id": identity(gateway, "services", one.label),
        "name": name(gateway, one.label),
        "protocol": protocol(first),
        "host": _pool_name(gateway, one.pool.label),
        "port": 443 if tls else 80,
        "path": None,
        "retries": one.retries,
        "connect_timeout": _ms(first.connect_timeout if first else CONNECT),
        "read_timeout": one.read,
        "write_timeout": one.write,
        "enabled": True,
        "tls_verify": tls.verify if tls and protocol(first) == "https" else None,
        "tags": tags(gateway),
    }
    return Made("services", body)


def _pool_name(gateway: str, label: str) -> str:
    """The name of a host, as Kong wants it of an upstream."""
    return f"{label}.{gateway}.gatecast"


def _sni(service: Service | None) -> str:
    if service is None or service.tls is None:
        return ""
    return service.tls.sni or (service.dns.host if service.dns else "")


def protocol(service: Service | None) -> str:
    """What Kong speaks to it. HTTP/2 it speaks for gRPC alone."""
    secure = "s" if service is not None and service.tls is not None else ""
    return ("grpc" if service is not None and service.protocol == "grpc" else "http") + secure


def _ms(length: timedelta) -> int:
    return max(1, min(length // timedelta(milliseconds=1), 2**31 - 2))


def weights(backends: tuple[Backend, ...], services: Mapping[str, Service]) -> dict[str, int]:
    """By target: so that each service gets its share, and within it each endpoint its own."""
    pools = {one.service: _endpoints(services[one.service]) for one in backends if one.service in services}
    common = lcm(*(sum(pool.values()) for pool in pools.values() if pool))
    found: dict[str, int] = {}
    for one in backends:
        pool = pools.get(one.service, {}) if one.weight else {}
        for target, weight in pool.items():
            found[target] = found.get(target, 0) + one.weight * weight * (common // sum(pool.values()))
    return _scaled(found)


def _scaled(found: dict[str, int]) -> dict[str, int]:
    """As small as they can be with the same shares; a lone target has Kong's usual weight."""
    divisor = gcd(*found.values()) or 1
    least = {target: weight // divisor for target, weight in found.items()}
    most = max(least.values(), default=0)
    if most > MOST_WEIGHT:
        return {target: max(1, weight * MOST_WEIGHT // most) for target, weight in least.items()}
    factor = 100 if most <= MOST_WEIGHT // 100 else 1
    return {target: weight * factor for target, weight in least.items()}


def _endpoints(service: Service) -> dict[str, int]:
    """Kong cannot verify a service that speaks gRPC: where that is asked for, it gets no requests."""
    if service.tls is not None and service.tls.verify and service.protocol == "grpc":
        return {}
    if service.dns is not None:
        return {f"{service.dns.host}:{service.dns.port}": 1}
    return {_target(one.address): one.weight for one in service.endpoints}


def _target(address: Address) -> str:
    """As Kong writes it: an IPv6 address in full."""
    if ":" not in address.host:
        return str(address)
    return f"[{ipaddress.IPv6Address(address.host).exploded}]:{address.port}"


def _checks(service: Service | None, policy: Outlier | None) -> dict[str, Any]:
    """All that Kong has of health checks, so that what is no longer said is taken back."""
    probe = service.health_check if service else None
    outlier = over(policy, service.outlier if service else None)
    failures = min((outlier.consecutive_5xx or FAILURES), 255) if outlier else 0
    back = _seconds((outlier.base_ejection or EJECTION) if outlier else timedelta())
    return {
        "threshold": 0,
        "active": _active(service, probe) if probe else _way_back(back),
        "passive": {
            "type": "http",
            "healthy": {"successes": 1 if failures else 0},
            "unhealthy": {
                "http_failures": failures,
                "tcp_failures": failures,
                "timeouts": failures,
                "http_statuses": [500, 501, 502, 503, 504],
            },
        },
    }


def _active(service: Service | None, probe: HealthCheck) -> dict[str, Any]:
    failed = dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), probe.unhealthy_after)
    host = probe.host or (service.id if service else "")
    secure = "s" if service is not None and service.tls is not None else ""
    return {
        "type": f"http{secure}" if probe.path else "tcp",
        "http_path": probe.path or "/",
        "headers": {"Host": [host]} if probe.path else None,
        "timeout": _seconds(probe.timeout),
        "healthy": {"interval": _seconds(probe.interval), "successes": probe.healthy_after},
        "unhealthy": {"interval": _seconds(probe.interval), **failed},
    }


def _way_back(seconds: float) -> dict[str, Any]:
    """Passive checks bring nobody back: whoever was left out is looked at after `seconds`. 0: there are no checks."""
    failed = dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), 0)
    return {
        "type": "tcp",
        "http_path": "/",
        "headers": None,
        "timeout": 1,
        "healthy": {"interval": 0, "successes": 1 if seconds else 0},
        "unhealthy": {"interval": seconds, **failed},
    }


def _seconds(length: timedelta) -> float:
    """Whole seconds as whole numbers: so they come back from Kong as they were sent."""
    seconds = min(length.total_seconds(), 65535.0)
    return int(seconds) if seconds == int(seconds) else seconds
