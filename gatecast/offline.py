"""Settings of a directory without a server: what `gatecast check` and `gatecast translate` read."""

import os
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from gatecast.exactness import exactness
from tenants.catalog import Catalog, Step
from tenants.documents import Gateway, Tenant
from tenants.effective import serves, view
from tenants.errors import Problem, Refused
from tenants.sources.directory import Limits, changes
from xds import translate
from xds.translate import Built, Needs


async def load(directory: Path) -> Step:
    """All documents as they are now, with their problems. `Refused` if there is nothing to look at."""
    limits = Limits(quiet=0.0, bound=0.0)
    async with aclosing(changes(directory, allow_empty=True, limits=limits)) as source:
        async for found in source:
            step = Catalog.empty(exactness).apply(found)
            if step.catalog.revision == 0:
                raise Refused(f"settings directory {directory}: it holds no documents (*.yaml, *.yml, *.json)")
            return step
    raise Refused(f"settings directory {directory}: it could not be read")


def resources(catalog: Catalog, gateway: Gateway, tenant: Tenant) -> tuple[Built, ...]:
    """Everything one tenant comes to on one gateway: its own resources, and the clusters and endpoints they use."""
    if not serves(gateway, tenant):
        return ()
    own, needs = translate.tenant(view(catalog, gateway, tenant))
    return _with(own, needs, catalog)


def common(catalog: Catalog, gateway: Gateway) -> tuple[Built, ...]:
    """What the listeners of a gateway need, whatever tenants there are."""
    return _with((), Needs(translate.gateway_needs(gateway), translate.claimed(gateway)), catalog)


def _with(own: tuple[Built, ...], needs: Needs, catalog: Catalog) -> tuple[Built, ...]:
    """Without keys that are fetched: nobody fetches any here."""
    shards = sorted({one.shard for one in needs.providers})
    shared = [translate.shard(name, (one for one in needs.providers if one.shard == name), {}) for name in shards]
    for spec in sorted(needs.clusters, key=lambda spec: spec.name):
        service = catalog.services[spec.service]
        shared += [*translate.cluster(service, spec), *translate.endpoints(service)]
    unique = {(one.kind, one.name): one for one in (*own, *shared)}
    return tuple(unique.values())


def problems(catalog: Catalog, directory: str) -> list[Problem]:
    """Everything wrong with the documents, and what they ask for that Envoy is not told. Files as seen from here."""
    found = dict.fromkeys((*catalog.problems, *(catalog.located(one) for one in _unsupported(catalog))))
    here = (replace(one, file=os.path.join(directory, one.file)) if one.file else one for one in found)
    return sorted(here, key=lambda one: (one.file, one.line, one.kind, one.id, one.path, one.code, one.message))


def _unsupported(catalog: Catalog) -> Iterator[Problem]:
    for _, gateway in sorted(catalog.gateways.items()):
        for _, tenant in sorted(catalog.tenants.items()):
            if serves(gateway, tenant):
                yield from translate.unsupported(view(catalog, gateway, tenant))
