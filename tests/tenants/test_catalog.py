"""What comes into force, what stays, what waits, what is touched, and how much is looked at, step by step."""

import os
import subprocess
import sys

import pytest
from catalogs import BASE, catalog, changes

from tenants.catalog import Catalog, Changes, Step, Touched
from tenants.documents import Key, Tenant
from tenants.reading import read

ACME, BETA = Key("Tenant", "acme"), Key("Tenant", "beta")


def tenant(id: str, *hosts: str, more: str = "") -> str:
    return f"---\nkind: Tenant\nid: {id}\nhosts: [{', '.join(hosts)}]\n{more}"


def codes(made: Catalog) -> list[tuple[str, str]]:
    return [(problem.id, problem.code) for problem in made.problems]


def hosts(made: Catalog) -> dict[str, tuple[str, ...]]:
    return {name: made.tenants[name].hosts for name in sorted(made.tenants)}


def test_a_broken_document_stays_at_its_last_good_version_and_the_rest_goes_on() -> None:
    made = catalog(BASE + tenant("acme", "a.b") + tenant("beta", "c.d"))
    step = made.apply(changes(BASE + tenant("acme", "a.b", more="status: x\n") + tenant("beta", "e.f")))
    assert hosts(step.catalog) == {"acme": ("a.b",), "beta": ("e.f",)}
    assert codes(step.catalog) == [("acme", "GC105")]
    assert step.touched == Touched(tenants=frozenset({"beta"}))


def test_a_document_that_was_never_good_is_absent_until_it_is() -> None:
    made = catalog(BASE + tenant("acme", "a.b", more="status: x\n"))
    assert hosts(made) == {}
    assert codes(made.apply(changes(tenant("acme", "a.b"))).catalog) == []


def test_a_document_that_waits_comes_into_force_when_what_it_misses_appears() -> None:
    waiting = catalog(BASE + tenant("acme", more="routes: {late: {service: new}}\n"))
    assert codes(waiting) == [("acme", "GC203"), ("acme", "GC202")]
    route = "kind: Route\nid: late\nmatch: {path: /late}\nservice: new\n"
    still = waiting.apply(changes(route, "b.yaml"))
    assert codes(still.catalog) == [("acme", "GC203"), ("acme", "GC202"), ("late", "GC202")]
    done = still.catalog.apply(changes("kind: Service\nid: new\ndns: 'a:1'\n", "c.yaml"))
    assert done.catalog.problems == ()
    assert "acme" in done.touched.tenants
    assert set(done.catalog.tenants["acme"].routes) == {"late"}


def test_a_removed_document_goes_once_nobody_refers_to_it() -> None:
    made = catalog(BASE, tenant("acme", more="organisation: foods\n"))
    kept = made.apply(Changes(drop=frozenset({Key("Organisation", "foods")}))).catalog
    assert ("foods", "GC211") in codes(kept)
    assert "foods" in kept.organisations
    freed = kept.apply(changes(tenant("acme"), "b.yaml")).catalog
    assert freed.problems == ()
    assert "foods" not in freed.organisations


def test_a_removed_document_and_its_users_go_together() -> None:
    made = catalog(BASE, tenant("acme", more="organisation: foods\n"))
    gone = made.apply(Changes(drop=frozenset({Key("Organisation", "foods"), ACME}))).catalog
    assert gone.problems == ()
    assert (len(gone.organisations), len(gone.tenants)) == (0, 0)


def test_a_removed_document_that_comes_back_is_as_it_was() -> None:
    made = catalog(BASE, tenant("acme", more="organisation: foods\n"))
    back = made.apply(Changes(drop=frozenset({Key("Organisation", "foods")}))).catalog.apply(changes(BASE))
    assert back.catalog.problems == ()
    assert back.touched == Touched()


def test_on_a_cold_start_the_lowest_id_keeps_a_host() -> None:
    made = catalog(BASE + tenant("beta", "a.b") + tenant("acme", "a.b"))
    assert hosts(made) == {"acme": ("a.b",)}
    assert codes(made) == [("beta", "GC204")]


def test_whoever_holds_a_host_keeps_it_and_the_next_gets_it_when_it_is_free() -> None:
    made = catalog(BASE, tenant("beta", "a.b"), tenant("acme", "a.b"))
    assert hosts(made) == {"beta": ("a.b",)}
    assert codes(made) == [("acme", "GC204")]
    freed = made.apply(changes(tenant("beta", "c.d"), "b.yaml"))
    assert hosts(freed.catalog) == {"acme": ("a.b",), "beta": ("c.d",)}
    assert freed.catalog.problems == ()
    assert freed.touched.tenants == {"acme", "beta"}


@pytest.mark.parametrize("together", [True, False])
def test_two_tenants_can_swap_hosts(together: bool) -> None:
    made = catalog(BASE, tenant("acme", "a.b"), tenant("beta", "c.d"))
    first, second = tenant("acme", "c.d"), tenant("beta", "a.b")
    if together:
        put = read(first, "b.yaml").documents + read(second, "c.yaml").documents
        swapped = made.apply(Changes(put=put)).catalog
    else:
        swapped = made.apply(changes(first, "b.yaml")).catalog
        assert hosts(swapped) == {"acme": ("a.b",), "beta": ("c.d",)}
        swapped = swapped.apply(changes(second, "c.yaml")).catalog
    assert hosts(swapped) == {"acme": ("c.d",), "beta": ("a.b",)}
    assert swapped.problems == ()


def test_thousands_that_claim_one_host_are_told_so_and_one_has_it() -> None:
    many = "".join(tenant(f"t{n:05}", "a.b") for n in range(3000))
    step = Catalog.empty().apply(changes(BASE + many))
    assert hosts(step.catalog) == {"t00000": ("a.b",)}
    assert {code for _id, code in codes(step.catalog)} == {"GC204"}
    assert len(step.catalog.problems) == 2999
    assert step.checked < 5 * 3000


def test_who_lost_a_host_to_one_that_failed_as_well_is_tried_again() -> None:
    made = catalog(BASE, tenant("beta", "c.d"))
    put = read(tenant("beta", "a.b"), "b.yaml").documents + read(tenant("acme", "a.b", "c.d"), "c.yaml").documents
    after = made.apply(Changes(put=put)).catalog
    assert hosts(after) == {"beta": ("a.b",)}
    assert codes(after) == [("acme", "GC204")]


def test_a_route_can_take_the_place_of_another_in_one_change() -> None:
    made = catalog(BASE, tenant("acme", more="routes: {orders: {service: orders-next}}\n"))
    renamed = BASE.replace("kind: Route\nid: orders", "kind: Route\nid: orders2")
    put = read(renamed, "a.yaml").documents
    put += read(tenant("acme", more="routes: {orders2: {service: orders-next}}\n"), "b.yaml").documents
    after = made.apply(Changes(put=put, withdrawn=frozenset({("a.yaml", Key("Route", "orders"))}))).catalog
    assert after.problems == ()
    assert set(after.routes) == {"orders2"}


def test_the_first_of_two_files_with_the_same_document_counts_and_the_other_is_listed() -> None:
    made = catalog(BASE, tenant("acme", "a.b"), tenant("acme", "c.d"))
    assert hosts(made) == {"acme": ("a.b",)}
    (problem,) = made.problems
    assert (problem.code, problem.file, problem.line) == ("GC212", "c.yaml", 3)
    assert "b.yaml:2" in problem.message
    second = made.apply(Changes(withdrawn=frozenset({("b.yaml", ACME)})))
    assert hosts(second.catalog) == {"acme": ("c.d",)}
    assert second.catalog.problems == ()


def test_a_duplicate_that_goes_leaves_the_first_alone() -> None:
    made = catalog(BASE, tenant("acme", "a.b"), tenant("acme", "c.d"))
    first = made.apply(Changes(withdrawn=frozenset({("c.yaml", ACME)})))
    assert (hosts(first.catalog), first.catalog.problems, first.touched) == ({"acme": ("a.b",)}, (), Touched())


def test_twice_in_one_file_is_once_and_a_problem() -> None:
    made = catalog(BASE + tenant("acme", "a.b") + tenant("acme", "c.d"))
    assert hosts(made) == {"acme": ("a.b",)}
    assert codes(made) == [("acme", "GC212")]
    assert made.apply(changes(BASE + tenant("acme", "c.d"))).catalog.problems == ()


def test_a_document_that_moves_to_another_file_is_the_same_document() -> None:
    made = catalog(BASE, tenant("acme", "a.b"))
    put = read(tenant("acme", "a.b"), "z.yaml").documents
    moved = made.apply(Changes(put=put, withdrawn=frozenset({("b.yaml", ACME)})))
    assert (moved.touched, moved.catalog.problems) == (Touched(), ())


def test_problems_of_a_file_without_names_last_until_it_is_read_again() -> None:
    made = catalog(BASE, "kind: [")
    assert [(problem.code, problem.file) for problem in made.problems] == [("GC001", "b.yaml")]
    assert made.apply(changes(tenant("acme"), "c.yaml")).catalog.problems == made.problems
    assert made.apply(changes("", "b.yaml")).catalog.problems == ()


def test_a_local_endpoint_waits_for_the_gateway_to_allow_it() -> None:
    made = catalog(BASE, "kind: Service\nid: s\nendpoints: ['127.0.0.1:1']\n")
    assert codes(made) == [("s", "GC210")]
    allowed = made.apply(changes(BASE.replace("id: edge", "id: edge\nallow_local_endpoints: true")))
    assert allowed.catalog.problems == ()
    assert allowed.touched == Touched(gateways=frozenset({"edge"}), services=frozenset({"s"}))
    back = allowed.catalog.apply(changes(BASE)).catalog
    assert codes(back) == [("edge", "GC210")]
    assert back.gateways["edge"].allow_local_endpoints


OPA = "kind: Service\nid: opa\nprotocol: %s\nendpoints: ['10.0.0.9:1']\n"
ASKS = "kind: Tenant\nid: %s\npolicies: {authz: {service: %s}}\n"


def test_who_asks_waits_for_a_server_that_speaks_grpc() -> None:
    made = catalog(BASE, OPA % "http2", ASKS % ("acme", "opa"))
    assert codes(made) == [("acme", "GC216")]
    assert "acme" not in made.tenants
    mended = made.apply(changes(OPA % "grpc", "b.yaml")).catalog
    assert mended.problems == ()
    assert "acme" in mended.tenants


def test_a_server_that_is_asked_stays_one_until_nobody_asks() -> None:
    made = catalog(BASE, OPA % "grpc", ASKS % ("acme", "opa"), ASKS % ("beta", "opa"))
    assert made.problems == ()
    other = made.apply(changes(OPA % "http1", "b.yaml")).catalog
    (problem,) = other.problems
    said = "Tenant/acme asks it in `authz`, by gRPC (grpc; or change Tenant/acme first)"
    assert str(problem) == f"b.yaml:3 Service/opa protocol: {said} [GC216]"
    assert other.services["opa"].protocol == "grpc"
    fewer = other.apply(changes("kind: Tenant\nid: acme\n", "c.yaml")).catalog
    assert codes(fewer) == [("opa", "GC216")]
    none = fewer.apply(changes("kind: Tenant\nid: beta\n", "d.yaml")).catalog
    assert (none.problems, none.services["opa"].protocol) == ((), "http1")


def test_nobody_who_asks_a_service_holds_up_its_changes() -> None:
    made = catalog(BASE, OPA % "http1", ASKS % ("acme", "opa"))
    moved = made.apply(changes((OPA % "http1").replace("10.0.0.9", "10.0.0.10"), "b.yaml")).catalog
    assert codes(moved) == [("acme", "GC216")]
    assert str(moved.services["opa"].endpoints[0].address) == "10.0.0.10:1"


def test_a_route_called_authz_asks_nobody() -> None:
    """Its override names a service for requests, in a path that looks alike."""
    named = "kind: Route\nid: authz\nmatch: {path: /authz}\nservice: orders\n"
    assert catalog(BASE, named, "kind: Tenant\nid: a\nroutes: {authz: {service: orders}}\n").problems == ()


def test_nothing_new_is_the_same_catalog() -> None:
    made = catalog(BASE)
    assert made.apply(changes(BASE)) == Step(made, Touched())
    assert made.apply(Changes()).catalog is made


def test_a_revision_is_one_more_than_the_last() -> None:
    made = catalog(BASE)
    assert (Catalog.empty().revision, made.revision) == (0, 1)
    assert made.apply(changes(tenant("acme"), "b.yaml")).catalog.revision == 2


TOUCHES = {
    "endpoint": (BASE.replace("10.0.0.1", "10.0.0.9"), Touched(services=frozenset({"orders"}))),
    "organisation": (
        BASE.replace("id: foods", "id: foods\npolicies: {timeout: {idle: 1s}}"),
        Touched(tenants=frozenset({"acme"})),
    ),
    "route": (
        BASE.replace("service: orders", "service: orders\npolicies: {timeout: {idle: 1s}}"),
        Touched(tenants=frozenset({"acme", "beta"})),
    ),
    "listener": (BASE.replace("8080", "8081"), Touched(gateways=frozenset({"edge"}))),
    "gateway policy": (
        BASE.replace("requests: 100", "requests: 99"),
        Touched(gateways=frozenset({"edge"}), tenants=frozenset({"acme", "beta"})),
    ),
    "gateway of some": (
        BASE.replace("id: edge", "id: edge\ntenants: [beta]"),
        Touched(gateways=frozenset({"edge"}), tenants=frozenset({"acme", "beta"})),
    ),
}


@pytest.mark.parametrize("case", TOUCHES)
def test_a_change_touches_what_depends_on_it(case: str) -> None:
    text, expected = TOUCHES[case]
    made = catalog(BASE, tenant("acme", more="organisation: foods\n") + tenant("beta"))
    assert made.apply(changes(text)).touched == expected


@pytest.mark.parametrize("broken", [False, True])
def test_one_tenant_costs_the_same_among_ten_and_among_five_thousand(broken: bool) -> None:
    edit = tenant("t3", "new.example", more="organisation: nobody\n" if broken else "")
    costs = []
    for count in (10, 5000):
        many = "".join(tenant(f"t{n}", f"t{n}.example", more="organisation: foods\n") for n in range(count))
        step = catalog(BASE, many).apply(changes(edit, "b.yaml"))
        costs.append((step.checked, step.touched))
    assert costs[0] == costs[1]
    assert costs[0][0] <= 2


SHOW = """
import sys; sys.path.insert(0, "tests/support")
from catalogs import BASE, catalog
from tenants.effective import view
texts = [BASE, *sys.argv[1:]]
made = catalog(*texts)
print([str(problem) for problem in made.problems])
for name in sorted(made.tenants):
    seen = view(made, made.gateways["edge"], made.tenants[name]).routes
    print([(one.route.id, one.backends, one.policies) for one in seen])
"""


def test_every_process_comes_to_the_same_whatever_its_hash_seed() -> None:
    texts = [
        tenant("beta", "a.b", "x.y")
        + tenant("acme", "a.b", "x.y")
        + tenant("z", more="routes: {a: {}, b: {}, c: {}}\n"),
        tenant(
            "p", more="policies: {headers: {request: {set: {x-b: '1', x-a: '2', x-c: '3'}}}, retry: {attempts: 1}}\n"
        ),
    ]
    said = {
        subprocess.run(
            [sys.executable, "-c", SHOW, *texts],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1
    assert "x-a" in said.pop()


def test_a_served_tenant_is_a_tenant() -> None:
    assert isinstance(catalog(BASE, tenant("acme")).get(ACME), Tenant)
    assert catalog(BASE).get(BETA) is None
