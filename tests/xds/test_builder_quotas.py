"""What a change of a shared limit costs: one small resource for its service, however many tenants there are."""

import stages
import worlds

from tenants.catalog import Catalog
from xds.builder import Builder
from xds.kinds import KINDS
from xds.snapshot import Snapshot

LIMIT = {"requests": 5, "per": "minute", "scope": "global"}
TENANTS = 300
PROXIES = [kind for kind, row in KINDS.items() if row.service]
"""The types that proxies and their rate limit service ask for."""


class Bench:
    """A catalog and a builder, fed by changes as in service."""

    def __init__(self, *documents: worlds.Json) -> None:
        self.catalog = Catalog.empty()
        self.builder = Builder()
        self.put(*documents)

    def put(self, *documents: worlds.Json, drop: tuple[tuple[str, str], ...] = ()) -> dict[str, frozenset[str]]:
        """Apply documents, which must be good; the names that changed, by kind."""
        before = self.builder.snapshots.get("edge", Snapshot.empty())
        step = self.catalog.apply(stages.changes(*documents, drop=drop))
        assert step.catalog.problems == ()
        self.catalog = step.catalog
        after = self.builder.update(step.catalog, step.touched)["edge"]
        changed = {kind: after.changed(kind, before.serial) for kind in PROXIES}
        return {kind: names for kind, names in changed.items() if names}

    def limits(self) -> set[str]:
        return set(self.builder.snapshots["edge"].resources["RLS"])


def limited(name: str, requests: int = 5) -> worlds.Json:
    return worlds.tenant(name, policies={"rate_limit": LIMIT | {"requests": requests}})


def world(**more: object) -> Bench:
    """Tenants t0, t1, ... with a shared limit each."""
    asks = {"rate_limit_service": {"service": "limits"}}
    services = stages.service("orders", 9001), stages.service("limits", 9002, protocol="grpc")
    tenants = (limited(f"t{n}") for n in range(TENANTS))
    return Bench(stages.gateway(8080, **asks | more), *services, worlds.route("orders"), *tenants)


def test_a_new_number_is_one_domain_and_nothing_for_a_proxy() -> None:
    bench = world()
    encoded = bench.builder.encoded
    assert bench.put(limited("t7", 6)) == {"RLS": frozenset({"edge/t7"})}
    assert bench.builder.encoded - encoded < 10  # its scope and its table are looked at, and are what they were
    found = bench.builder.snapshots["edge"].get("RLS", "edge/t7")
    assert found is not None
    assert (found.owner, len(found.body) < 100) == ("t7", True)


def test_a_limit_that_comes_or_goes_is_a_table_and_a_domain() -> None:
    bench = world()
    both = {"RDS": frozenset({"t7"}), "RLS": frozenset({"edge/t7"})}
    assert bench.put(worlds.tenant("t7")) == both
    assert "edge/t7" not in bench.limits()
    assert bench.put(limited("t7")) == both
    gone = bench.put(drop=(("Tenant", "t7"),))
    assert gone["RLS"] == frozenset({"edge/t7"})


def test_a_gateway_that_gets_or_loses_its_service_moves_everybody_once() -> None:
    bench = world()
    everybody = frozenset(f"t{n}" for n in range(TENANTS))
    without = bench.put(stages.gateway(8080))
    assert bench.limits() == set()
    assert (without["RDS"], without["LDS"], without["CDS"]) == (everybody, frozenset({"l0"}), frozenset({"limits"}))
    again = bench.put(stages.gateway(8080, rate_limit_service={"service": "limits"}))
    assert (again["RDS"], again["LDS"], len(bench.limits())) == (everybody, frozenset({"l0"}), TENANTS)


def test_another_timeout_is_a_change_of_listeners_alone() -> None:
    bench = world()
    changed = bench.put(stages.gateway(8080, rate_limit_service={"service": "limits", "timeout": "1s"}))
    assert changed == {"LDS": frozenset({"l0"})}


def test_gateways_count_apart() -> None:
    bench = world()
    other = stages.gateway(8081, id="inner", rate_limit_service={"service": "limits"})
    bench.put(other)
    inner = bench.builder.snapshots["inner"].resources["RLS"]
    assert set(inner) == {f"inner/t{n}" for n in range(TENANTS)}
