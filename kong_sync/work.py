"""What a plan has to do, before it is put in order. Filled by `diff`, read by `order` and `moves`."""

from collections import defaultdict
from dataclasses import dataclass, field

from kong_sync.entities import Entity
from kong_sync.states import Key, State

Put = tuple[Key, Entity | None, Entity]
"""Key, before, after."""


@dataclass(slots=True)
class Work:
    """What is to be done, by the keys of Kong: (before, after) of each entity to put, each entity to drop."""

    actual: State
    puts: dict[Key, tuple[Entity | None, Entity]] = field(default_factory=dict)
    drops: dict[Key, Entity] = field(default_factory=dict)
    _kinds: dict[str, list[Put]] = field(default_factory=lambda: defaultdict(list))

    def put(self, key: Key, before: Entity | None, after: Entity) -> None:
        """To be done once for each key."""
        self.puts[key] = before, after
        self._kinds[key[0]].append((key, before, after))

    def after(self, kind: str, id_: str) -> Entity | None:
        """The entity as it will be."""
        if (kind, id_) in self.puts:
            return self.puts[kind, id_][1]
        return None if (kind, id_) in self.drops else self.actual.get(kind, id_)

    def put_of(self, *kinds: str) -> list[Put]:
        return [one for kind in kinds for one in self._kinds.get(kind, ())]
