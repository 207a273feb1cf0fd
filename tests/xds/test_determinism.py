"""The same documents are the same bytes: in fresh processes, whatever the hash seed, whatever the order they came in
(R43, F41, F42).

Run as a program this file prints the versions that the tests compare.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import catalogs
import corpora
import pytest

from tenants.catalog import Catalog, Changes, Touched
from tenants.policies import POLICIES
from tenants.reading import read
from tenants.served import Served
from xds.builder import Builder
from xds.kinds import KINDS
from xds.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "gatecast" / "example"


def worlds() -> Iterator[tuple[str, Served]]:
    """Every policy with every odd value, three ways of naming a tenant, and the example that is shipped."""
    for number, world in enumerate(corpora.all_worlds()):
        yield f"corpus {number}", world.served
    texts = [path.read_text() for path in sorted(EXAMPLE.glob("*.yaml"))]
    yield "example", catalogs.catalog(*texts)


def snapshots(served: Served) -> Mapping[str, Snapshot]:
    return Builder().update(served, Touched())  # type: ignore[arg-type]


def versions() -> dict[str, dict[str, str]]:
    """World, gateway and kind -> the version of the kind, and that of each resource."""
    found = {}
    for name, served in worlds():
        for gateway, snapshot in snapshots(served).items():
            for kind in KINDS:
                rows = {row.name: row.version for row in snapshot.full(kind).resources}
                found[f"{name} {gateway} {kind}"] = {"": snapshot.version(kind), **rows}
    return found


def printed(seed: str) -> dict[str, dict[str, str]]:
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_fresh_processes_with_other_hash_seeds_make_the_same_versions() -> None:
    here = versions()
    assert sum(map(len, here.values())) > 200
    assert printed("1") == here
    assert printed("4242") == here


def test_the_corpus_uses_every_policy() -> None:
    assert corpora.POLICIES.keys() == POLICIES.keys()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_in_which_documents_came_does_not_matter(reverse: bool) -> None:
    given = [one for path in EXAMPLE.glob("*.yaml") for one in read(path.read_text(), path.name).documents]
    at_once = Catalog.empty().apply(Changes(put=tuple(given))).catalog
    catalog, builder = Catalog.empty(), Builder()
    for one in sorted(given, key=lambda one: one.key, reverse=reverse):
        step = catalog.apply(Changes(put=(one,)))
        catalog = step.catalog
        builder.update(catalog, step.touched)
    for name, wanted in snapshots(at_once).items():
        assert {kind: builder.snapshots[name].version(kind) for kind in KINDS} == {
            kind: wanted.version(kind) for kind in KINDS
        }


if __name__ == "__main__":
    json.dump(versions(), sys.stdout)
