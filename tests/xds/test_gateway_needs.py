"""What a gateway itself calls is on its proxies, whether or not a route uses it, and for as long as a listener may."""

import json

import worlds
from catalogs import changes

from tenants.catalog import Catalog
from xds.builder import Builder
from xds.kinds import KINDS

OTEL = {"tracing": {"service": "otel"}}


class Bench:
    """A catalog and a builder that follows it."""

    def __init__(self, *documents: worlds.Json) -> None:
        self.catalog, self.builder = Catalog.empty(), Builder()
        self.put(*documents)

    def put(self, *documents: worlds.Json) -> None:
        text = "\n---\n".join(map(json.dumps, documents))
        step = self.catalog.apply(changes(text, f"{documents[0]['kind']}.yaml"))
        assert not [one for one in step.catalog.problems if one.severity == "error"], step.catalog.problems
        self.catalog = step.catalog
        self.builder.update(step.catalog, step.touched)

    def names(self, kind: str) -> set[str]:
        return set(self.builder.snapshots["edge"].resources.get(kind, ()))


def gateway(**more: object) -> worlds.Json:
    return worlds.gateway(allow_local_endpoints=True, **more)


def bench(**more: object) -> Bench:
    made = Bench(worlds.service("otel", protocol="grpc"), worlds.service())
    made.put(gateway(**more))
    made.put(worlds.route())
    made.put(worlds.tenant())
    return made


def test_a_collector_that_no_route_uses_has_its_cluster_and_endpoints() -> None:
    made = bench(**OTEL)
    assert made.names("CDS") == made.names("EDS") == {"otel", "orders"}
    listener = made.builder.snapshots["edge"].get("LDS", "public")
    assert listener is not None
    assert listener.uses == frozenset({"otel"})


def test_it_comes_and_goes_with_the_gateways_wish_and_touches_no_table() -> None:
    made = bench()
    tables = made.builder.snapshots["edge"].resources["RDS"]
    assert made.names("CDS") == {"orders"}
    made.put(gateway(**OTEL))
    assert made.names("CDS") == {"otel", "orders"}
    made.put(gateway())
    assert made.names("CDS") == {"orders"}
    assert made.builder.snapshots["edge"].get("RDS", "acme") is tables["acme"]


def test_a_new_endpoint_of_the_collector_is_sent_alone() -> None:
    made = bench(**OTEL)
    before = {kind: dict(rows) for kind, rows in made.builder.snapshots["edge"].resources.items()}
    moved = worlds.service("otel", protocol="grpc") | {"endpoints": ["127.0.0.1:9"]}
    made.put(moved, worlds.service())
    now = made.builder.snapshots["edge"].resources
    assert {kind for kind in now if dict(now[kind]) != before.get(kind, {})} == {"EDS"}


def test_listeners_go_after_the_clusters_they_name_and_these_outlive_them() -> None:
    assert KINDS["LDS"].needs == ("CDS",)
    assert "LDS" in KINDS["CDS"].users
