"""A defect of ours costs the one whom it meets: he stays as he was, and all else goes on."""

from typing import Any

import pytest
import stages
import worlds
from benches import LIMITS, gateway, service, versions, world

from tenants.catalog import Touched
from tenants.documents import Key
from tenants.effective import TenantView
from xds import translate
from xds.builder import Builder


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Tenants whose translation raises."""
    names: set[str] = set()
    real = translate.tenant

    def fail(view: TenantView) -> Any:
        if view.tenant.id in names:
            raise ValueError("no such luck")
        return real(view)

    monkeypatch.setattr(translate, "tenant", fail)
    return names


def test_a_tenant_that_cannot_be_translated_stays_and_the_others_go_on(failing: set[str]) -> None:
    bench = world(3)
    good = bench.get("RDS", "t1")
    failing.add("t1")
    bench.put(*(stages.tagged(f"t{n}", "new") for n in range(3)))
    assert bench.get("RDS", "t1") is good
    assert b"new" in bench.get("RDS", "t0").body
    assert b"new" in bench.get("RDS", "t2").body
    (problem,) = bench.builder.problems["edge", Key("Tenant", "t1")]
    assert (problem.code, problem.tenant, "no such luck" in problem.message) == ("GC900", "t1", True)
    failing.clear()
    bench.put(stages.tagged("t1", "newer"))
    assert b"newer" in bench.get("RDS", "t1").body
    assert bench.builder.problems == {}


def test_a_tenant_that_was_never_translated_is_absent_and_can_be_dropped(failing: set[str]) -> None:
    failing.add("t9")
    bench = world(1)
    bench.put(worlds.tenant("t9"))
    assert bench.names("RDS") == {"t0"}
    bench.put(drop=[("Tenant", "t9")])
    assert bench.builder.problems == {}


def test_a_failure_on_one_gateway_is_told_though_another_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    real = translate.tenant

    def fail(view: TenantView) -> Any:
        if (view.gateway.id, view.tenant.id) == ("edge", "t0"):
            raise ValueError("no such luck")
        return real(view)

    monkeypatch.setattr(translate, "tenant", fail)
    bench = world(1, gateway("inner", 8081))
    assert "edge" in bench.builder.problems["edge", Key("Tenant", "t0")][0].message
    assert (bench.names("RDS"), bench.names("RDS", "inner")) == (set(), {"t0"})

    bench.put(drop=[("Gateway", "edge")])
    assert bench.builder.problems == {}


@pytest.mark.parametrize(("kind", "name"), [("RDS", "t0"), ("CDS", "orders"), ("EDS", "orders"), ("LDS", "l0")])
def test_what_cannot_be_encoded_stays_as_it_was_and_all_else_goes_on(kind: str, name: str) -> None:
    bench = world(2)
    before = bench.snapshot()
    bench.broken.add((kind, name))
    bench.put(
        gateway(tenant={"from": "header", "name": "x-other"}),
        service("orders", 9009, connect_timeout="9s"),
        service("search", 9008, connect_timeout="9s"),
        stages.tagged("t0", "new"),
        stages.tagged("t1", "new"),
    )
    assert bench.get(kind, name) is before.get(kind, name)
    assert b"new" in bench.get("RDS", "t1").body
    assert bench.get("CDS", "search") is not before.get("CDS", "search")
    ((problem,),) = bench.builder.problems.values()
    assert problem.code == "GC900"
    bench.broken.clear()
    bench.put(gateway(), service("orders", 9007, connect_timeout="8s"), worlds.tenant("t0"))
    assert bench.builder.problems == {}
    assert (bench.get(kind, name).version == before.get(kind, name).version) == (kind in ("LDS", "RDS"))  # type: ignore[union-attr]


def test_an_update_that_is_broken_off_is_finished_by_the_next_one() -> None:
    """As when the task that applies it is cancelled: nothing that it took note of is lost."""
    bench = world(200)
    step = bench.catalog.apply(stages.changes(*(worlds.tenant(f"t{n}", policies=LIMITS) for n in range(100, 200))))
    bench.catalog = step.catalog.apply(stages.changes(drop=(("Tenant", "t0"),))).catalog
    touched = Touched(tenants=step.touched.tenants | {"t0"})
    steps = bench.builder.steps(bench.catalog, touched)
    next(steps)
    steps.close()
    assert bench.names("CDS") == {"orders", "search"}
    bench.builder.update(bench.catalog, touched)
    fresh = Builder()
    assert versions(fresh.update(bench.catalog, Touched())["edge"]) == versions(bench.snapshot())


def test_what_envoy_is_not_told_is_a_problem_until_it_is_taken_out() -> None:
    bench = world(1)
    bench.put(worlds.tenant("t0", policies={"rate_limit": {"requests": 1, "per": "hour", "scope": "global"}}))
    (problem,) = bench.builder.problems["edge", Key("Tenant", "t0")]
    assert (problem.code, problem.path) == ("GC301", "policies.rate_limit")
    bench.put(worlds.tenant("t0"))
    bench.put(drop=[("Tenant", "t0")])
    assert bench.builder.problems == {}
