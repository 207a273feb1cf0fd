"""How exactly Envoy does what each policy says: one row a policy. `support` makes it a problem where a document demands
more; the API shows it.

A row says `exact`, or how Envoy's answer differs from what docs/settings.md promises everywhere (`approximate: why`),
or that nothing enforces it (`unsupported: why`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from tenants.documents import Gateway
from tenants.policies import RateLimit, RequiredHeader
from xds.translate.rate_limits import BUCKETS

Level = Literal["exact", "approximate", "unsupported"]


@dataclass(frozen=True, slots=True)
class Parity:
    """How a value is enforced, and if not exactly, why."""

    level: Level = "exact"
    why: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.why}" if self.why else self.level


EXACT = Parity()


@dataclass(frozen=True, slots=True)
class Row:
    """A policy; `of` says how a value of it is enforced on a gateway."""

    policy: str
    of: Callable[[Any, Gateway], Parity] = lambda _value, _gateway: EXACT


def _rate_limit(policy: RateLimit, gateway: Gateway) -> Parity:
    if policy.scope == "global" and gateway.rate_limit_service is not None:
        burst = ", and `burst` is left out" if policy.burst else ""
        return Parity("approximate", f"windows begin by the clock, so twice `requests` may pass around a turn{burst}")
    if policy.scope == "global":
        return Parity("unsupported", "the gateway has no `rate_limit_service`, so each proxy counts for itself")
    if policy.by != "tenant":
        return Parity("approximate", f"a proxy keeps {BUCKETS:,} values apart; beyond, the oldest starts afresh")
    return EXACT


def _required_headers(rules: tuple[RequiredHeader, ...], _gateway: Gateway) -> Parity:
    if not any(rule.pattern for rule in rules):
        return EXACT
    return Parity("approximate", "of a header that is repeated one value that fits the pattern is enough")


_ROWS = (
    Row("rate_limit", _rate_limit),
    Row("jwt"),
    Row("cors"),
    Row("required_headers", _required_headers),
    Row("correlation_id"),
    Row("headers"),
    Row("timeout"),
    Row("retry"),
    Row("circuit_breaker"),
    Row("outlier"),
    Row("access"),
    Row("body_limit"),
    Row("authz"),
    Row("maintenance"),
)
ROWS: Mapping[str, Row] = MappingProxyType({row.policy: row for row in _ROWS})


def parity(policy: str, value: Any, gateway: Gateway) -> Parity:
    """How Envoy enforces this value of a policy on this gateway."""
    return ROWS[policy].of(value, gateway)
