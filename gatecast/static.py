"""One gateway's translation as a static bootstrap, and what a real Envoy says of it. Used by `gatecast check --envoy`.

What comes over streams in service stands inline here: scopes with their route tables, clusters with their endpoints,
configurations of filters.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from google.protobuf.message import Message

from gatecast.offline import common, resources
from tenants.catalog import Catalog
from tenants.documents import Gateway
from tenants.errors import Problem
from xds import messages, translate
from xds.bootstrap import RUNTIME
from xds.kinds import KINDS
from xds.translate import Built

CODE = "GC901"
HINT = "this is a defect of gatecast, which should have refused the setting: please report it"
NOBODY = {
    "name": "nobody",
    "key": {"fragments": [{"string_key": "nobody"}]},
    "route_configuration": {"name": "nobody"},
}
"""Envoy wants at least one scope inline; over a stream none is fine."""
Check = Callable[[Mapping[str, Any]], Awaitable[str]]
Static = Callable[[Sequence[str]], dict[str, Any]]


def builder(catalog: Catalog, gateway: Gateway) -> Static:
    """A function from ids of tenants to the bootstrap that holds them; each tenant is translated once."""
    listeners = [_json(one.message) for one in translate.listeners(gateway)]
    shared, known = common(catalog, gateway), dict[str, tuple[Built, ...]]()

    def static(tenants: Sequence[str]) -> dict[str, Any]:
        for name in tenants:
            if name not in known:
                known[name] = resources(catalog, gateway, catalog.tenants[name])
        return bootstrap(listeners, chain(shared, *(known[name] for name in tenants)))

    return static


def bootstrap(listeners: Iterable[Mapping[str, Any]], built: Iterable[Built]) -> dict[str, Any]:
    """A bootstrap that Envoy can check on its own, without a control plane."""
    kinds: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in KINDS}
    for one in built:
        known = kinds[one.kind].get(one.name, {})
        kinds[one.kind][one.name] = _together(known, _json(one.message)) if one.kind == "ECDS" else _json(one.message)
    scopes = [_scope(one, kinds["RDS"]) for one in kinds["SRDS"].values()] or [NOBODY]
    clusters = [_plain(_cluster(one, kinds["EDS"])) for one in kinds["CDS"].values()]
    inner = [_plain(_listener(one, scopes, kinds["ECDS"])) for one in listeners]
    return {
        "layered_runtime": {"layers": [{"name": "gatecast", "static_layer": RUNTIME}]},
        "static_resources": {"listeners": inner, "clusters": clusters},
    }


def _json(message: Message) -> dict[str, Any]:
    return messages.to_dict(message)


def _scope(scope: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """The scope with its route table inside; the name of the table would mean a stream."""
    inner = {key: value for key, value in scope.items() if key != "route_configuration_name"}
    return {**inner, "route_configuration": tables[scope["route_configuration_name"]]}


def _together(known: Any, one: Any) -> Any:
    """A filter's configuration with the parts of several tenants, who share it."""
    if not isinstance(known, Mapping) or not isinstance(one, Mapping):
        return one
    return {**known, **{name: _together(known.get(name), value) for name, value in one.items()}}


def _plain(one: Any) -> Any:
    """Without TLS, whose certificates come over a stream: what a document can say of it, Envoy takes."""
    if isinstance(one, list):
        return [_plain(item) for item in one]
    if not isinstance(one, Mapping):
        return one
    return {key: _plain(value) for key, value in one.items() if key != "transport_socket"}


def _cluster(cluster: Mapping[str, Any], endpoints: Mapping[str, Any]) -> dict[str, Any]:
    if cluster.get("type") != "EDS":
        return dict(cluster)
    source = cluster["eds_cluster_config"].get("service_name") or cluster["name"]
    fixed = {key: value for key, value in cluster.items() if key != "eds_cluster_config"}
    return {**fixed, "type": "STATIC", "load_assignment": {**endpoints[source], "cluster_name": cluster["name"]}}


def _listener(listener: Any, scopes: list[dict[str, Any]], filters: Mapping[str, Any]) -> Any:
    """The listener with these scopes and filters' configurations wherever it would ask a stream for them."""
    if isinstance(listener, list):
        return [_listener(item, scopes, filters) for item in listener]
    if not isinstance(listener, Mapping):
        return listener
    changed = {key: _listener(value, scopes, filters) for key, value in listener.items()}
    if "config_discovery" in changed:
        (type_url,) = changed.pop("config_discovery")["type_urls"]
        changed["typed_config"] = filters.get(changed["name"], {}).get("typed_config", {"@type": type_url})
    changed.pop("sharing_name", None)  # Envoy 1.40 crashes at the end of a mere check of shared statistics
    if "scoped_rds" in changed:
        changed.pop("scoped_rds")
        changed.pop("rds_config_source", None)
        changed["scoped_route_configurations_list"] = {"scoped_route_configurations": scopes}
    return changed


async def refusals(catalog: Catalog, gateway: Gateway, check: Check) -> AsyncIterator[Problem]:
    """What Envoy refuses of this gateway, put down to the tenant it comes from. `check` returns "" or Envoy's words."""
    static = builder(catalog, gateway)
    if said := await check(static(())):
        yield Problem(CODE, "Gateway", gateway.id, "", f"Envoy refuses it: {_short(said)}", HINT)
        return
    async for names, said in culprits(sorted(catalog.tenants), lambda some: check(static(some))):
        yield _refusal(gateway, names, _short(said))


def _refusal(gateway: Gateway, names: Sequence[str], said: str) -> Problem:
    if len(names) == 1:
        return Problem(CODE, "Tenant", names[0], "", f"Envoy refuses it: {said}", HINT, tenant=names[0])
    some = f"the {len(names)} tenants {names[0]} to {names[-1]}"
    return Problem(CODE, "Gateway", gateway.id, "", f"Envoy takes each half of {some}, but not both: {said}", HINT)


async def culprits(
    names: Sequence[str], check: Callable[[Sequence[str]], Awaitable[str]]
) -> AsyncIterator[tuple[Sequence[str], str]]:
    """The names that are refused, by halving: few checks if few are bad. More than one name: refused only together."""
    said = await check(names) if names else ""
    if not said:
        return
    half, found = len(names) // 2, False
    for some in (names[:half], names[half:]) if half else ():
        async for one in culprits(some, check):
            found = True
            yield one
    if not found:
        yield names, said


def _short(said: str) -> str:
    """The reason. Before it Envoy names the file that we made, and prints the whole message that it is about."""
    reason = said.rpartition("bootstrap.json': ")[2].strip().splitlines() or ["no reason given"]
    told = reason[-1].removeprefix(": ").strip()
    return told if len(told) <= 600 else told[:600] + "..."
