"""The builder touches what changed and nothing else: counted, not timed."""

from collections import Counter

import pytest
import stages
import worlds
from benches import LIMITS, Bench, gateway, moved, service, versions, world

from xds.kinds import KINDS
from xds.stream import Adjust, Ask, Stream
from xds.translate import SHARD_NAMES

# -- what it costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenants", [1, 10, 300])
def test_a_cold_start_encodes_each_resource_once(tenants: int) -> None:
    bench = world(tenants)
    resources = [(kind, name) for kind in KINDS for name in bench.names(kind)]
    assert len(resources) == 2 * tenants + 5 + len(SHARD_NAMES)
    assert bench.counted == Counter(resources)


@pytest.mark.parametrize("tenants", [10, 3000])
def test_a_change_of_one_tenant_encodes_that_tenant_however_many_there_are(tenants: int) -> None:
    bench = world(tenants)
    before = bench.snapshot()
    assert bench.put(stages.tagged("t5", "new")) == {("SRDS", "t5"): 1, ("RDS", "t5"): 1}
    assert moved(before, bench.snapshot()) == {"RDS"}
    assert bench.snapshot().changed("RDS", before.serial) == {"t5"}


@pytest.mark.parametrize("tenants", [10, 3000])
def test_a_change_of_a_service_touches_no_tenant(tenants: int) -> None:
    bench = world(tenants)
    before = bench.snapshot()
    done = bench.put(service("orders", 9009))
    assert done == {("CDS", "orders"): 1, ("EDS", "orders"): 1}
    assert moved(before, bench.snapshot()) == {"EDS"}
    assert bench.snapshot().changed("EDS", before.serial) == {"orders"}
    assert bench.get("CDS", "orders") is before.get("CDS", "orders")


def test_a_push_encodes_nothing() -> None:
    bench = world(50)
    for variant in (True, False):
        stream = Stream(bench.snapshot(), delta=variant)
        before = bench.builder.encoded
        stream.receive(Ask("CDS", Adjust()), 0.0)
        stream.receive(Ask("RDS", Adjust(subscribe=("*",))), 0.0)
        answers = list(stream.answers(0.0))
        assert sum(len(answer.batch.resources) for answer in answers) >= 2
        assert all(answer.batch.delta() and answer.batch.sotw() for answer in answers)
        assert bench.builder.encoded == before


def test_a_cluster_setting_changes_its_cluster_alone() -> None:
    bench = world()
    before = bench.snapshot()
    bench.put(service("orders", connect_timeout="9s"))
    assert moved(before, bench.snapshot()) == {"CDS"}
    assert bench.snapshot().changed("CDS", before.serial) == {"orders"}


# -- the same stays the same --------------------------------------------------------------------------------------


def test_documents_given_again_give_the_same_snapshot() -> None:
    bench = world(5)
    before = bench.snapshot()
    bench.put(*(worlds.tenant(f"t{n}") for n in range(5)), service("orders"), gateway())
    assert bench.snapshot() is before


def test_a_change_that_comes_to_the_same_bytes_is_no_change() -> None:
    bench = world()
    before = bench.snapshot()
    bench.put(worlds.tenant("t0", policies={"rate_limit": None}))
    assert bench.snapshot() is before


def test_a_change_that_is_undone_has_the_versions_it_had() -> None:
    bench = world()
    before = bench.snapshot()
    bench.put(stages.tagged("t0", "x"), worlds.tenant("more"), service("orders", connect_timeout="9s"))
    assert moved(before, bench.snapshot()) == {"CDS", "SRDS", "RDS"}
    bench.put(worlds.tenant("t0"), service("orders"), drop=[("Tenant", "more")])
    assert versions(bench.snapshot()) == versions(before)
    assert bench.snapshot().resources == before.resources or all(
        {n: r.version for n, r in bench.snapshot().resources[k].items()}
        == {n: r.version for n, r in before.resources[k].items()}
        for k in KINDS
    )


# -- who uses which cluster ---------------------------------------------------------------------------------------


def test_a_service_nobody_uses_has_no_cluster_until_somebody_does() -> None:
    bench = world(1)
    bench.put(service("spare", 9003))
    assert bench.names("CDS") == {"orders", "search"}
    bench.put(worlds.route("spare", service="spare"))
    assert bench.names("CDS") == bench.names("EDS") == {"orders", "search", "spare"}


def test_the_cluster_goes_with_its_last_user() -> None:
    bench = world(2)
    bench.put(drop=[("Tenant", "t0")])
    assert bench.names("CDS") == bench.names("EDS") == {"orders", "search"}
    bench.put(drop=[("Tenant", "t1")])
    assert bench.names("CDS") == bench.names("EDS") == set()
    bench.put(worlds.tenant("t2"))
    assert bench.names("CDS") == bench.names("EDS") == {"orders", "search"}


def test_a_swap_of_services_in_one_change_leaves_one_cluster() -> None:
    bench = Bench(gateway(), service("orders"), worlds.route("orders"), worlds.tenant("t0"))
    bench.put(service("next", 9003), worlds.route("orders", service="next"), drop=[("Service", "orders")])
    assert bench.names("CDS") == bench.names("EDS") == {"next"}
    assert bench.get("RDS", "t0").uses == {"next"}


def test_limits_of_its_own_give_a_tenant_a_cluster_whose_name_is_stable() -> None:
    bench = world(2)
    bench.put(worlds.tenant("t0", policies=LIMITS))
    assert bench.names("CDS") == {"orders", "search", "orders@t0", "search@t0"}
    assert bench.names("EDS") == {"orders", "search"}
    assert bench.get("CDS", "orders@t0").owner == "t0"
    assert bench.get("CDS", "orders@t0").companion == "orders"
    before = bench.snapshot()
    bench.put(worlds.tenant("t0", policies={"circuit_breaker": {"max_requests": 6}}))
    assert moved(before, bench.snapshot()) == {"CDS"}
    assert bench.names("CDS") == set(before.resources["CDS"])
    bench.put(worlds.tenant("t0"))
    assert bench.names("CDS") == {"orders", "search"}


def test_endpoints_are_shared_by_all_clusters_of_a_service() -> None:
    bench = world(2, worlds.tenant("own", policies=LIMITS))
    before = bench.snapshot()
    bench.put(service("orders", 9009))
    assert bench.snapshot().changed("EDS", before.serial) == {"orders"}
    assert moved(before, bench.snapshot()) == {"EDS"}


# -- gateways -----------------------------------------------------------------------------------------------------


def test_gateways_share_the_resources_that_are_equal() -> None:
    bench = world(3, gateway("inner", 8081))
    for kind in ("CDS", "EDS", "SRDS", "RDS"):
        assert bench.names(kind) == bench.names(kind, "inner") != set()
        assert all(bench.get(kind, name) is bench.get(kind, name, "inner") for name in bench.names(kind))
    assert bench.get("LDS", "l0") is not bench.get("LDS", "l0", "inner")


def test_a_gateway_comes_with_all_its_tenants_and_goes_without_touching_others() -> None:
    bench = world(3)
    edge = bench.snapshot()
    bench.put(gateway("inner", 8081))
    assert bench.names("RDS", "inner") == {"t0", "t1", "t2"}
    assert bench.snapshot() is edge
    bench.put(drop=[("Gateway", "inner")])
    assert bench.builder.snapshots == {"edge": edge}
    bench.put(gateway("inner", 8081))
    assert bench.names("RDS", "inner") == {"t0", "t1", "t2"}


def test_a_tenant_leaves_a_gateway_that_no_longer_selects_it() -> None:
    bench = world(3)
    bench.put(gateway(tenants=["t0", "t1"]))
    assert bench.names("SRDS") == bench.names("RDS") == {"t0", "t1"}
    bench.put(gateway(tenants=["t2"]))
    assert bench.names("SRDS") == bench.names("RDS") == {"t2"}
    bench.put(gateway())
    assert bench.names("RDS") == {"t0", "t1", "t2"}


def test_a_tenant_moves_between_gateways_with_its_organisation() -> None:
    organisations = [{"kind": "Organisation", "id": name} for name in ("foods", "books")]
    bench = Bench(
        gateway(organisations=["foods"]),
        gateway("inner", 8081, organisations=["books"]),
        service("orders"),
        worlds.route("orders"),
        *organisations,
        worlds.tenant("t0", organisation="foods"),
    )
    assert (bench.names("RDS"), bench.names("RDS", "inner")) == ({"t0"}, set())
    bench.put(worlds.tenant("t0", organisation="books"))
    assert (bench.names("RDS"), bench.names("RDS", "inner")) == (set(), {"t0"})
    assert (bench.names("CDS"), bench.names("CDS", "inner")) == (set(), {"orders"})


def test_a_listener_comes_changes_and_goes() -> None:
    bench = world(1)
    before = bench.snapshot()
    bench.put(stages.gateway(8080, 8081))
    assert (bench.names("LDS"), moved(before, bench.snapshot())) == ({"l0", "l1"}, {"LDS"})
    bench.put(stages.gateway(8080))
    assert bench.names("LDS") == {"l0"}
    assert versions(bench.snapshot()) == versions(before)


def test_a_host_that_moves_to_another_tenant_is_one_scope_that_changes() -> None:
    by_host = {"tenant": {"from": "host"}}
    bench = Bench(
        gateway(**by_host), service("orders"), worlds.route("orders"), worlds.tenant("t0", hosts=["a.example"])
    )
    bench.put(worlds.tenant("t0", hosts=["b.example"]))
    bench.put(worlds.tenant("t1", hosts=["a.example"]))
    assert bench.names("SRDS") == {"a.example", "b.example"}
    assert bench.get("SRDS", "a.example").uses == {"t1"}
    bench.put(worlds.tenant("t0", hosts=["a.example"]), worlds.tenant("t1", hosts=["b.example"]))
    assert bench.names("SRDS") == {"a.example", "b.example"}
    assert {name: bench.get("SRDS", name).uses for name in bench.names("SRDS")} == {
        "a.example": {"t0"},
        "b.example": {"t1"},
    }
