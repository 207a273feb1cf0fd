"""Random histories of documents: good, broken, removed, given again; alone and in batches.

Oracles, after every step: (1) what is in force is consistent; (2) checking everything anew finds nothing else, so no
wake-up was missed; (3) a document that is not in force as given has an error; (4) a tenant's document changes only to
its own newest version; (5) tenants that are not touched have the same settings as before; (6) where the newest texts
make a catalog without problems, every history that ends in them comes to that catalog.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tenants.catalog import Catalog, Changes
from tenants.documents import Key
from tenants.effective import view
from tenants.errors import Problem
from tenants.reading import Given, read
from tenants.references import exclusive, local_endpoint, references
from tenants.settling import settle

GATEWAY = "kind: Gateway\nid: g\nlisteners: [{name: a, port: 80}]\n"
ROUTE = "kind: Route\nid: %s\nmatch: {path: /%s}\n%s"
TENANT = "kind: Tenant\nid: %s\n%s"
BODIES = {
    Key("Gateway", "g"): [
        GATEWAY,
        GATEWAY + "policies: {rate_limit: {requests: 1, per: hour}}\n",
        GATEWAY + "allow_local_endpoints: true\npolicies: {authz: {service: s}}\n",
        GATEWAY + "tenant: {from: host}\ntenants: [a, c]\n",
        GATEWAY + "tenant: nobody\n",
    ],
    Key("Service", "s"): [
        "kind: Service\nid: s\ndns: 'a:1'\nprotocol: grpc\n",
        "kind: Service\nid: s\ndns: 'a:1'\n",
        "kind: Service\nid: s\nendpoints: ['127.0.0.1:1']\nprotocol: grpc\n",
        "kind: Service\nid: s\n",
    ],
    Key("Service", "t"): ["kind: Service\nid: t\ndns: 'b:1'\n", "kind: Service\nid: t\nendpoints: ['10.0.0.1:1']\n"],
    Key("Organisation", "o"): [
        "kind: Organisation\nid: o\n",
        "kind: Organisation\nid: o\npolicies: {rate_limit: {burst: 3}}\n",
        "kind: Organisation\nid: o\npolicies: {retry: {attempts: 2}}\n",
    ],
    **{
        Key("Route", name): [
            ROUTE % (name, "x", "service: s\n"),
            ROUTE % (name, "y", "service: t\n"),
            ROUTE % (name, "x", "service: t\npolicies: {rate_limit: {per: day, requests: 2}}\n"),
            ROUTE % (name, "x", "service: T\n"),
        ]
        for name in ("p", "q")
    },
    **{
        Key("Tenant", name): [
            TENANT % (name, "hosts: [one.example]\n"),
            TENANT % (name, "hosts: [two.example]\norganisation: o\n"),
            TENANT % (name, "hosts: [one.example, two.example]\n"),
            TENANT % (name, "routes: {p: {service: t}}\n"),
            TENANT
            % (
                name,
                "organisation: o\npolicies: {rate_limit: {requests: 5}}\n"
                "routes: {q: {policies: {retry: {on: [5xx]}}}}\n",
            ),
            TENANT % (name, "policies: {rate_limit: null, authz: {service: s}}\n"),
            TENANT % (name, "status: unknown\n"),
        ]
        for name in ("a", "b", "c")
    },
}
KEYS = sorted(BODIES)

Edit = tuple[Key, int | None]
EDIT = st.sampled_from(KEYS).flatmap(
    lambda key: st.tuples(st.just(key), st.none() | st.integers(0, len(BODIES[key]) - 1))
)
HISTORY = st.lists(st.lists(EDIT, min_size=1, max_size=4), min_size=1, max_size=12)


def changes_of(edits: dict[Key, int | None]) -> Changes:
    put: tuple[Given, ...] = ()
    broken, drop = [], set()
    for key, variant in edits.items():
        if variant is None:
            drop.add(key)
            continue
        reading = read(BODIES[key][variant], f"{key}.yaml")
        put += reading.documents
        broken += reading.problems
    return Changes(put=put, broken=tuple(broken), drop=frozenset(drop))


def cold(newest: dict[Key, int | None]) -> Catalog:
    return (
        Catalog.empty()
        .apply(changes_of({key: variant for key, variant in newest.items() if variant is not None}))
        .catalog
    )


def documents(made: Catalog) -> dict[Key, object]:
    return {key: document for key in KEYS if (document := made.get(key))}


def settings_of(made: Catalog) -> dict[tuple[str, str], object]:
    return {
        (gateway.id, tenant.id): view(made, gateway, tenant)
        for gateway in made.gateways.values()
        for tenant in made.tenants.values()
    }


def is_consistent(made: Catalog) -> None:
    taken: set[str] = set()
    for key in KEYS:
        document = made.get(key)
        if document is None:
            continue
        assert all(made.get(target) for target, _loc in references(document))
        asked = [
            made.services[target.id]
            for target, loc in references(document)
            if loc[-3:] == ("policies", "authz", "service")
        ]
        assert all(service.protocol == "grpc" for service in asked)
        assert taken.isdisjoint(exclusive(document))
        taken |= set(exclusive(document))
    strict = any(not gateway.allow_local_endpoints for gateway in made.gateways.values())
    assert not (strict and any(local_endpoint(service) for service in made.services.values()))


def nothing_was_missed(made: Catalog) -> None:
    anew = settle(made, made.books, frozenset(KEYS))
    assert anew.changed == frozenset()
    for key in KEYS:
        assert [_told(one) for one in made.problems_of(key)] == [_told(one) for one in anew.books.flawed.get(key, ())]


def _told(problem: Problem) -> Problem:
    """A problem but for whom it names: one of several who refer."""
    return replace(problem, message="", hint="") if problem.code in ("GC211", "GC216") else problem


def lagging_documents_say_why(made: Catalog, newest: dict[Key, int | None]) -> None:
    for key in KEYS:
        errors = [problem for problem in made.problems_of(key) if problem.severity == "error"]
        variant = newest.get(key)
        wanted = read(BODIES[key][variant], "").documents if variant is not None else ()
        in_force = made.get(key) == (wanted[0].document if wanted else None)
        assert in_force or errors


def only_own_changes(
    before: Catalog, after: Catalog, newest: dict[Key, int | None], edits: dict[Key, int | None]
) -> None:
    for name in ("a", "b", "c"):
        key = Key("Tenant", name)
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        variant = newest[key]
        wanted = read(BODIES[key][variant], "").documents if variant is not None else ()
        assert new == (wanted[0].document if wanted else None)
        assert key in edits or before.problems_of(key)


@settings(max_examples=200, deadline=None)
@given(HISTORY)
def test_any_history_is_consistent_local_and_complete(history: list[list[Edit]]) -> None:
    made, newest = Catalog.empty(), dict[Key, int | None]()
    for batch in history:
        edits = dict(batch)
        newest |= edits
        step = made.apply(changes_of(edits))
        is_consistent(step.catalog)
        nothing_was_missed(step.catalog)
        lagging_documents_say_why(step.catalog, newest)
        only_own_changes(made, step.catalog, newest, edits)
        old, new = settings_of(made), settings_of(step.catalog)
        for pair in old.keys() | new.keys():
            if pair[1] not in step.touched.tenants and pair[0] not in step.touched.gateways:
                assert old.get(pair) == new.get(pair)
        made = step.catalog
    fresh = cold(newest)
    if not any(problem.severity == "error" for problem in fresh.problems):
        assert documents(made) == documents(fresh)
        assert made.problems == fresh.problems
