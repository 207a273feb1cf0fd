"""Which address a request goes to, and how targets fall sick and get well. State is per node, by upstream and target.

Modelled: weighted round robin, hashing on a header, active and passive checks with their counters, the threshold.
Not modelled: DNS (a target is its address), least-connections and latency (taken as round robin).
"""

import hashlib
from dataclasses import dataclass, field

from kong_double.refusals import Json


@dataclass
class Pulse:
    """What is known of one target."""

    well: bool = True
    successes: int = 0
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Balancer:
    """`turns` is the state of the round robin, `pulses` that of the health: both by (upstream name, target)."""

    turns: dict[tuple[str, str], float] = field(default_factory=dict)
    pulses: dict[tuple[str, str], Pulse] = field(default_factory=dict)

    def pulse(self, upstream: Json, target: str) -> Pulse:
        return self.pulses.setdefault((upstream["name"], target), Pulse())

    def health(self, upstream: Json, target: Json) -> str:
        """As `/upstreams/{u}/health` says it."""
        if not _checked(upstream):
            return "HEALTHCHECKS_OFF"
        return "HEALTHY" if self.pulse(upstream, target["target"]).well else "UNHEALTHY"

    def pick(self, upstream: Json, targets: list[Json], key: str | None, tried: set[str]) -> str | None:
        """The address for a request (`key`: what it is hashed by), None if there is none."""
        there = sorted((one for one in targets if one["weight"] > 0), key=lambda one: str(one["target"]))
        well = [one for one in there if self.pulse(upstream, one["target"]).well]
        total, good = (sum(one["weight"] for one in some) for some in (there, well))
        if not good or good * 100 < upstream["healthchecks"]["threshold"] * total:
            return None
        fresh = [one for one in well if one["target"] not in tried] or well
        return _hashed(fresh, key) if key is not None else self._next(upstream, fresh)

    def _next(self, upstream: Json, targets: list[Json]) -> str:
        """Smooth weighted round robin."""
        for one in targets:
            mark = upstream["name"], one["target"]
            self.turns[mark] = self.turns.get(mark, 0.0) + one["weight"]
        best = max(targets, key=lambda one: self.turns[upstream["name"], one["target"]])
        self.turns[upstream["name"], best["target"]] -= sum(one["weight"] for one in targets)
        return str(best["target"])

    def report(self, upstream: Json, target: str, outcome: int | str, *, active: bool = False) -> None:
        """Count what came of a request or a probe: a status, "tcp_failures" or "timeouts"."""
        checks, pulse = upstream["healthchecks"]["active" if active else "passive"], self.pulse(upstream, target)
        if outcome in checks["healthy"]["http_statuses"]:
            self._count_well(pulse, checks["healthy"]["successes"])
        elif isinstance(outcome, str) or outcome in checks["unhealthy"]["http_statuses"]:
            kind = outcome if isinstance(outcome, str) else "http_failures"
            self._count_sick(pulse, kind, checks["unhealthy"][kind])

    def _count_well(self, pulse: Pulse, needed: int) -> None:
        pulse.failures.clear()
        pulse.successes += 1
        if needed and pulse.successes >= needed:
            pulse.well = True

    def _count_sick(self, pulse: Pulse, kind: str, allowed: int) -> None:
        pulse.successes = 0
        pulse.failures[kind] = pulse.failures.get(kind, 0) + 1
        if allowed and pulse.failures[kind] >= allowed:
            pulse.well = False


def _checked(upstream: Json) -> bool:
    checks = upstream["healthchecks"]
    active = checks["active"]["healthy"]["interval"] or checks["active"]["unhealthy"]["interval"]
    passive = checks["passive"]["unhealthy"]
    return bool(active or any(passive[kind] for kind in ("http_failures", "tcp_failures", "timeouts")))


def _hashed(targets: list[Json], key: str) -> str:
    """The same address for the same key as long as the targets stay."""
    ranked = max(targets, key=lambda one: hashlib.sha256(f"{key}|{one['target']}".encode()).digest())
    return str(ranked["target"])
