"""How long a plan for Kong takes at 10,000 tenants: of everything, and after one tenant's change. No Kong, no network.

`python bench/kong_plan.py`. Each tenant has a consumer, two keys, a group and a limit of its own; they share the routes
of 20 classes on five paths. `looked` counts the entities that a plan looked at.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid5

sys.path.insert(0, str(Path(__file__).parent.parent))

from kong_sync.diff import plan
from kong_sync.entities import Entity
from kong_sync.phases import Plan
from kong_sync.states import EMPTY, State

SPACE = UUID("2d9f0a52-0000-4000-8000-000000000000")
CLASSES, PATHS = 20, 5


def ident(*parts: object) -> str:
    return str(uuid5(SPACE, "/".join(map(str, parts))))


def ref(*parts: object) -> Entity:
    return {"id": ident(*parts)}


def row(kind: str, *parts: object, tag: str, **more: Any) -> tuple[str, Entity]:
    return kind, {"id": ident(kind, *parts), "tags": ["gatecast", "gateway:edge", tag], **more}


def tenant(i: int, limit: int) -> Iterator[tuple[str, Entity]]:
    """Five entities."""
    mine, tag = {"consumer": ref("consumers", i)}, f"tenant:t{i}"
    yield row("consumers", i, tag=tag, username=f"t{i}")
    for n in range(2):
        yield row(
            "jwt_secrets", i, n, tag=tag, key=f"kid-{i}-{n}", algorithm="RS256", rsa_public_key="PEM" * 150, **mine
        )
    yield row("acls", i, tag=tag, group=f"t:t{i}", **mine)
    config = {"minute": limit, "limit_by": "consumer"}
    yield row("plugins", "limit", i, tag=tag, name="rate-limiting", config=config, **mine)


def classes(tenants: int) -> Iterator[tuple[str, Entity]]:
    """Routes on services with their gates."""
    for path in range(PATHS):
        place = {"service": ref("services", path)}
        yield row("services", path, tag="shared", name=f"s{path}", host=f"s{path}.test")
        yield row("plugins", "jwt", path, tag="shared", name="jwt", config={"key_claim_name": "kid"}, **place)
        yield row("plugins", "post", path, tag="shared", name="post-function", config={"access": ["isolate"]}, **place)
        for one in range(CLASSES):
            values = sorted(f"t{i}" for i in range(one, tenants, CLASSES))
            where = {"paths": [f"~/api/{path}(?:/|$)"], "regex_priority": 10, "headers": {"x-tenant-id": values}}
            yield row("routes", path, one, tag=f"class:{one}", name=f"r{path}-{one}", **where, **place)
            cors = {"origins": [f"https://{one}.example"]}
            yield row(
                "plugins",
                "cors",
                path,
                one,
                tag=f"class:{one}",
                name="cors",
                config=cors,
                route=ref("routes", path, one),
            )


def everything(tenants: int) -> State:
    return State.of([*classes(tenants), *(one for i in range(tenants) for one in tenant(i, 100))])


def timed(work: Callable[[], Plan], times: int = 5) -> tuple[float, Plan]:
    """Milliseconds of CPU, the median. Garbage is collected between: what is there is frozen, as in the sidecar."""
    taken = []
    for _ in range(times):
        gc.collect()
        gc.freeze()
        began = time.process_time()
        made = work()
        taken.append((time.process_time() - began) * 1e3)
    return median(taken), made


def figures(tenants: int = 10_000) -> list[dict[str, Any]]:
    """One row a case: milliseconds, steps, waits, entities looked at."""
    desired, there = everything(tenants), everything(tenants)
    limit = desired.changed(put=tenant(7, 50))
    rotated = desired.changed(
        put=[row("jwt_secrets", 7, 2, tag="tenant:t7", key="kid-7-2", consumer=ref("consumers", 7))]
    )
    edits = desired.changed(put=[one for i in range(0, tenants, 10) for one in tenant(i, 50)])
    gone = moved(desired)
    cases: dict[str, Callable[[], Plan]] = {
        "first sync": lambda: plan(desired, EMPTY),
        "nothing changed": lambda: plan(desired, there),
        "a tenth of the limits": lambda: plan(edits, there),
        "one limit": lambda: plan(limit, there, owners=("tenant:t7",)),
        "one key more": lambda: plan(rotated, there, owners=("tenant:t7",)),
        "to another class": lambda: plan(gone, there, owners=("tenant:t7", "class:7", "class:8")),
    }
    found = []
    for name, work in cases.items():
        milliseconds, made = timed(work)
        steps = sum(1 for _ in made.steps)
        found.append(
            {
                "tenants": tenants,
                "entities": len(desired),
                "plan": name,
                "ms": round(milliseconds, 2),
                "steps": steps,
                "waits": made.waits,
                "looked": made.looked,
            }
        )
    return found


def moved(desired: State) -> State:
    """Tenant 7 is in class 8."""
    put = []
    for path in range(PATHS):
        for one in (7, 8):
            route = desired.rows["routes", ident("routes", path, one)]
            values = (
                {*route["headers"]["x-tenant-id"]} - {"t7"} if one == 7 else {*route["headers"]["x-tenant-id"], "t7"}
            )
            put.append(("routes", {**route, "headers": {"x-tenant-id": sorted(values)}}))
    return desired.changed(put=put)


if __name__ == "__main__":
    for line in figures():
        print(line)
