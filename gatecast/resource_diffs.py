"""What a change of documents would come to on the wire, without sending it: dry runs and restores show it."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tenants.catalog import Catalog, Step
from tenants.supplies import Supplies
from xds.builder import Builder
from xds.forking import fork
from xds.kinds import KINDS
from xds.snapshot import Snapshot


@dataclass(frozen=True, slots=True, order=True)
class ResourceChange:
    """One resource of a gateway: "created", "changed" or "deleted". `tenant` is the one it is of, "" if it is shared.

    `kind` is a row of `xds.kinds`.
    """

    gateway: str
    kind: str
    name: str
    what: str
    tenant: str


async def resource_changes(builder: Builder, step: Step, supplies: Supplies) -> tuple[ResourceChange, ...]:
    """By gateway, kind and name. The builder stays as it is; others get their turn now and then.

    Certificates that were not named before are not read for this, so their secrets are not among it.
    """
    before, twin = dict(builder.snapshots), fork(builder)
    steps = twin.steps(step.catalog, step.touched, supplies)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return tuple(sorted(_changes(before, done.value, step.catalog)))
        await asyncio.sleep(0)


def _changes(
    before: Mapping[str, Snapshot], after: Mapping[str, Snapshot], catalog: Catalog
) -> Iterator[ResourceChange]:
    for gateway in {*before, *after}:
        old, new = before.get(gateway, Snapshot.empty(gateway)), after.get(gateway, Snapshot.empty(gateway))
        for kind in KINDS:
            names = new.changed(kind, 0) if gateway in before and gateway in after else None
            yield from _of_kind(
                old, new, kind, names if names is not None else {*old.resources[kind], *new.resources[kind]}
            )


def _of_kind(
    old: Snapshot, new: Snapshot, kind: str, names: Iterator[str] | frozenset[str] | set[str]
) -> Iterator[ResourceChange]:
    for name in names:
        was, now = old.get(kind, name), new.get(kind, name)
        one = now or was
        if one is None or (was and now and was.version == now.version):
            continue
        what = "created" if was is None else "deleted" if now is None else "changed"
        yield ResourceChange(new.gateway, kind, name, what, one.owner)
