"""Puts the writes of a plan into phases: the order that is safe whatever each of Kong's two timers shows. Pure.

Called by `diff.plan`. The phases, and why they are so: `docs/decisions/0012-kong-plan.md`. In short: what refuses comes
before what lets through, what lets through goes before what refuses, and a route is only ever widened or only narrowed
in one write:

    revoke     credentials and groups that go (in effect at once); names that others will need are given free
    close      routes lose values that would otherwise meet a gate of something else
    prepare    all that is new or changed apart from what routes match; new routes are parked
    early      routes get their values that take them from one whose gate changes next
    replace    gates that change in place, if there was anything early; else they are with `prepare`
    uncover    gates go that hide the ones that are to act
    retarget   services point to another place
    open       routes get their values, those that hide others first
    narrow     routes lose values that others have got by now; routes that go are parked
    remove     the rest

`cover`, `settle` and `reopen` are for routes that are blocked meanwhile, which is rare: see `moves`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kong_sync import gates, moves, routing
from kong_sync.entities import KINDS, Entity, tenant
from kong_sync.phases import BOTH, PLUGINS, ROUTER, Drafting, Plan, Step, put
from kong_sync.states import Key, reference, unique
from kong_sync.work import Work

CREDENTIALS = ("jwt_secrets", "keyauth_credentials")
WHERE = ("host", "port", "path", "protocol", "enabled")
"""Fields of a service that say where requests go."""


def _levels() -> tuple[tuple[str, ...], ...]:
    """Kinds by how far they stand from those that refer to nothing."""
    depth: dict[str, int] = {}
    for kind in KINDS.values():
        depth[kind.name] = 1 + max((depth[other] for other in kind.foreign.values()), default=-1)
    return tuple(tuple(one for one in depth if depth[one] == n) for n in range(max(depth.values()) + 1))


LEVELS = _levels()


def ordered(work: Work, unsettled: frozenset[str]) -> Plan:
    """The phases. `unsettled`: timers that may not show yet what was written before."""
    draft = Drafting(unsettled)
    rows = _rows(work)
    routes = moves.moves(work, rows.finds, frozenset(key[1] for key, _before, _after in rows.retargeted))
    revoked = _revoked(work)
    draft.add("revoke", [_delete(work, key) for key in sorted(revoked)])
    draft.add("revoke", _released(work))
    draft.add("close", moves.blocked(work, routes.blocked, "close"), BOTH)
    _layered(draft, "close", routes.close, work, BOTH)
    placed = {("plugins", id_) for id_ in rows.finds.placed} if routes.early else set()
    _prepare(draft, work, rows, placed)
    _layered(draft, "early", routes.early, work, BOTH)
    draft.add("replace", [put("plugins", work.puts[key][1]) for key in sorted(placed)], BOTH)
    draft.add("uncover", [_ended(work, key) for key in sorted(rows.uncovered)], BOTH)
    targets = [put("services", after) for _key, _before, after in rows.retargeted]
    draft.add("retarget", targets, BOTH)
    draft.add("cover", moves.blocked(work, routes.blocked, "cover"), BOTH)
    _layered(draft, "open", routes.open, work, BOTH if targets or routes.blocked else frozenset({PLUGINS}))
    for step in ("settle", "reopen"):
        draft.add(step, moves.blocked(work, routes.blocked, step), BOTH)
    draft.add("narrow", [put("services", after) for after in rows.disabled], BOTH)
    _layered(draft, "narrow", routes.narrow, work, BOTH)
    _remove(draft, work, rows, revoked)
    return Plan(phases=tuple(draft.phases), pending=draft.pending)


# -- plugins and services -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """How plugins are found; gates that uncover others; plugins that end; services by what happens to them."""

    finds: gates.Finds
    uncovered: frozenset[Key]
    ended: frozenset[Key]
    retargeted: tuple[tuple[Key, Entity, Entity], ...]
    disabled: tuple[Entity, ...]


def _rows(work: Work) -> _Rows:
    puts = work.put_of("plugins")
    over: dict[tuple[Any, ...], Entity | None] = {
        gates.natural(row): None for key, row in work.drops.items() if key[0] == "plugins"
    }
    over |= {gates.natural(after): after for _key, _before, after in puts}
    stopped = {key: before for key, before, after in puts if before and gates.acts(before) and not gates.acts(after)}
    gone = {key: row for key, row in work.drops.items() if key[0] == "plugins" and not _carried(work, key)}
    ended = stopped | gone
    last = gates.finder(work.actual, over)
    uncovered = {key for key, row in ended.items() if gates.uncovers(row, last, _service_of(work))}
    late = {gates.natural(row): row for key, row in ended.items() if key not in uncovered}
    late |= {gates.natural(row): row for key, row in work.drops.items() if key[0] == "plugins" and key not in ended}
    away = [(key, before, after) for key, before, after in work.put_of("services") if before and moved(before, after)]
    now = gates.finder(work.actual, {})
    placed = {key[1]: gates.natural(row) for key, _before, row in puts if key not in ended and _placed(now, row)}
    added = {key: row for key, row in over.items() if row is not None and key not in placed.values()}
    finds = gates.Finds(
        now,
        early=gates.finder(work.actual, added),
        mid=gates.finder(work.actual, over | late),
        placed=frozenset(placed),
        changed=frozenset(placed) | {key[1] for key in uncovered},
    )
    return _Rows(
        finds,
        uncovered=frozenset(uncovered),
        ended=frozenset(ended),
        retargeted=tuple(one for one in away if one[2].get("enabled", True)),
        disabled=tuple(after for _key, _before, after in away if not after.get("enabled", True)),
    )


def _placed(now: gates.Find, row: Entity) -> bool:
    """Whether a gate is changed, or hides another when it comes; those of a consumer and those of all are left out."""
    if row["name"] not in gates.GATES or reference(row, "consumer") or not gates.scoped(row):
        return False
    return gates.acting(now, row["name"], reference(row, "route"), reference(row, "service")) is not None


def moved(before: Entity, after: Entity) -> bool:
    return any(before.get(name) != after.get(name) for name in WHERE)


def _service_of(work: Work) -> Callable[[str], str]:
    return lambda route: reference(work.after("routes", route) or {}, "service")


def _carried(work: Work, key: Key) -> bool:
    """Whether it goes with something that is deleted."""
    kind = KINDS[key[0]]
    row = work.drops[key]
    return any((kind.foreign[name], reference(row, name)) in work.drops for name in kind.cascades)


# -- routes -------------------------------------------------------------------------------------------------------


def _layered(draft: Drafting, name: str, writes: Mapping[str, moves.Write], work: Work, first: frozenset[str]) -> None:
    """Routes that hide others are opened before and closed after these."""
    depths = routing.layers(moves.places(writes))
    layers: dict[int, list[Step]] = defaultdict(list)
    for id_, (body, _place) in sorted(writes.items()):
        layers[depths[id_]].append(put("routes", body, part=body != work.after("routes", id_)))
    for n, depth in enumerate(sorted(layers, reverse=name != "open")):
        draft.add(name, layers[depth], BOTH if n else first)


# -- the other phases ---------------------------------------------------------------------------------------------


def _revoked(work: Work) -> set[Key]:
    """Credentials and groups that go at once: all but those that are asked for until routes have changed, of a consumer
    that gets another kind of credential, of a tenant that gets in by another route, of groups that go out of use."""
    gone = {key: row for key, row in work.drops.items() if key[0] in (*CREDENTIALS, "acls")}
    groups = {key: row for key, row in gone.items() if key[0] == "acls"}
    led = _led(work) if any(tenant(row) for row in groups.values()) else frozenset()
    late = {reference(row, "consumer") for row in groups.values() if tenant(row) in led}
    late |= _unasked(work, groups.values()) if not all(tenant(row) for row in groups.values()) else set()
    who = {key: reference(row, "consumer") for key, row in gone.items()}
    return {key for key, consumer in who.items() if consumer not in late and not _swaps(work, consumer)}


def _unasked(work: Work, groups: Iterable[Entity]) -> set[str]:
    """Consumers that go with groups for which no gate will ask."""
    of: dict[str, set[str]] = defaultdict(set)
    for row in groups:
        of[reference(row, "consumer")].add(row["group"])
    rows = (work.after(*key) for key in {key for key in work.actual.rows if key[0] == "plugins"} | work.puts.keys())
    gates_left = [row for row in rows if row and row.get("name") == "acl" and gates.acts(row)]
    asked = {
        group
        for row in gates_left
        for group in (*(row["config"].get("allow") or ()), *(row["config"].get("deny") or ()))
    }
    return {one for one, named in of.items() if named.isdisjoint(asked) and ("consumers", one) in work.drops}


def _led(work: Work) -> frozenset[str]:
    """Tenants that a route that comes or changes leads to something: by its tag, or by a header that it asks for."""
    found: set[str] = set()
    for _key, _before, after in work.put_of("routes"):
        if reference(after, "service"):
            found |= {tenant(after), *(one for values in (after.get("headers") or {}).values() for one in values)}
    return frozenset(found - {""})


def _swaps(work: Work, consumer: str) -> bool:
    mine = "consumers", consumer
    if mine in work.drops or mine in work.puts:  # renamed, an old key would open what it never opened
        return False
    had = {kind for kind, _id in work.actual.referring("consumers", consumer) if kind in CREDENTIALS}
    kept = {key[0] for key in work.actual.referring("consumers", consumer) if key not in work.drops}
    got = {key[0] for key, _before, after in work.put_of(*CREDENTIALS) if reference(after, "consumer") == consumer}
    has = (kept | got).intersection(CREDENTIALS)
    return bool(had) and bool(has) and not had & has


def _released(work: Work) -> list[Step]:
    """Second keys that others hold: taken from these first, so that no order of writes collides."""
    steps = {}
    for (name, id_), (_before, after) in work.puts.items():
        for fields in KINDS[name].unique[1:]:
            holder = work.actual.find(unique(KINDS[name], after, fields))
            if holder and holder != id_:
                steps[holder, fields] = Step("patch", name, holder, dict.fromkeys(fields), part=True)
    return [steps[one] for one in sorted(steps)]


def _prepare(draft: Drafting, work: Work, rows: _Rows, placed: set[Key]) -> None:
    needed = {reference(after, "route") for _key, _before, after in work.put_of("plugins")}
    closed = frozenset({ROUTER}) & draft.pending
    later = {key for key, _before, _after in rows.retargeted} | {("services", one["id"]) for one in rows.disabled}
    later |= placed
    for level in LEVELS:
        steps = []
        for key, before, after in sorted(work.put_of(*level), key=lambda one: one[0]):
            if key[0] == "routes":
                if before is None and key[1] in needed:
                    steps.append(put("routes", routing.park(after), part=True))
            elif key not in later and key not in rows.ended and not _emptied(key, before, after):
                steps.append(_update(key[0], before, after))
        draft.add("prepare", steps, closed if _touches_gates(steps) else frozenset())


def _touches_gates(steps: Iterable[Step]) -> bool:
    """Routes that were closed, and those of a plan before, must be so before a gate is another."""
    return any(step.kind == "plugins" and step.body["name"] in gates.GATES for step in steps)


def _emptied(key: Key, before: Entity | None, after: Entity) -> bool:
    """A target that gets no requests any more is as good as deleted."""
    return key[0] == "targets" and before is not None and after["weight"] == 0


def _update(kind: str, before: Entity | None, after: Entity) -> Step:
    if kind == "certificates" and before is not None:  # a PUT would delete its SNIs
        return Step("patch", kind, after["id"], {**dict.fromkeys(before), **after})
    return put(kind, after)


def _remove(draft: Drafting, work: Work, rows: _Rows, revoked: set[Key]) -> None:
    for level in reversed(LEVELS):
        steps = [_ended(work, key) for key in sorted(rows.ended - rows.uncovered) if key[0] in level]
        emptied = (one for one in work.put_of(*level) if _emptied(*one))
        steps += [_update(key[0], before, after) for key, before, after in emptied]
        steps += [
            _delete(work, key)
            for key in sorted(work.drops)
            if key[0] in level and key not in rows.ended and key not in revoked and not _carried(work, key)
        ]
        draft.add("remove", steps, BOTH)


def _ended(work: Work, key: Key) -> Step:
    """A plugin that acts no more: deleted, or switched off."""
    return put("plugins", work.puts[key][1]) if key in work.puts else _delete(work, key)


def _delete(work: Work, key: Key) -> Step:
    kind, row = KINDS[key[0]], work.drops[key]
    return Step("delete", key[0], key[1], parent=reference(row, kind.parent) if kind.nested else "")
