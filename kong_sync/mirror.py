"""The sidecar's memory of a Kong: built of listings once, kept up by our own writes. A value, owned by the sidecar.

    mirror = Mirror.read(listings, schemas, ("gatecast", "gateway:edge"))
    made = plan(desired, mirror.ours, others=mirror.others)
    mirror = mirror.after(step)                       for each step that Kong took

It says what the database holds, not what the data plane shows. Drift is what a later listing finds different.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kong_sync.entities import KINDS, Entity
from kong_sync.forms import Schemas
from kong_sync.phases import Step
from kong_sync.states import EMPTY, Key, State, reference


@dataclass(frozen=True, slots=True)
class Mirror:
    """`ours`: what carries all our tags, and the targets below; `others`: the rest, as far as it was listed."""

    ours: State = EMPTY
    others: State = EMPTY

    @classmethod
    def read(cls, listings: Mapping[str, Iterable[Entity]], schemas: Schemas, tags: Iterable[str]) -> "Mirror":
        """From what `Admin.rows` gave, by kind, with or without the tags as a filter.

        Of others' plugins that no schema was read of, only names and places are kept: no more is asked of them.
        """
        mine = frozenset(tags)
        ours: list[tuple[str, Entity]] = []
        others: list[tuple[str, Entity]] = []
        for name, rows in listings.items():
            for row in rows:
                if mine <= frozenset(row.get("tags") or ()):
                    ours.append((name, schemas.held(KINDS[name], row)))
                else:
                    others.append((name, _named(name, row)))
        return cls(State.of(ours), State.of(others))

    def after(self, step: Step) -> "Mirror":
        """With this step done. A deletion takes along what Kong takes along."""
        if step.verb == "delete":
            return replace(self, ours=self.ours.changed(drop=_gone(self.ours, step.key)))
        return replace(self, ours=self.ours.changed(put=((step.kind, _written(self.ours, step)),)))

    def shared(self, wanted: State) -> "Mirror":
        """The same. If it holds just what is wanted, both are one value, not two of the same size."""
        return replace(self, ours=wanted) if self.ours.rows == wanted.rows else self


def drift(before: Mirror, found: Mirror) -> tuple[Key, ...]:
    """Entities of ours that are not as we left them: changed, deleted, or made by somebody else with our tags."""
    one, other = before.ours.rows, found.ours.rows
    changed = [key for key, row in one.items() if other.get(key) != row]
    return tuple(sorted([*changed, *(key for key in other if key not in one)]))


def _written(state: State, step: Step) -> Entity:
    """An entity after a step; the step's own body where that says it all."""
    if step.verb == "put" and step.body.get("id") == step.id and None not in step.body.values():
        return step.body
    there = state.rows.get(step.key, {}) if step.verb == "patch" else {}
    return {name: one for name, one in {**there, **step.body, "id": step.id}.items() if one is not None}


def _named(name: str, row: Entity) -> Entity:
    kind = KINDS[name]
    kept = {"id", "tags", *(field for fields in kind.unique for field in fields), *kind.foreign}
    return {field: row[field] for field in row if field in kept and row[field] is not None}


def _gone(state: State, key: Key) -> list[Key]:
    todo, gone = [key], []
    while todo:
        one = todo.pop()
        if one in gone or one not in state.rows:
            continue
        gone.append(one)
        for user in state.referring(*one):
            kind, row = KINDS[user[0]], state.rows[user]
            if any((kind.foreign[field], reference(row, field)) == one for field in kind.cascades):
                todo.append(user)
    return gone
