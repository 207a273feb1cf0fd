"""Who uses which token provider on one gateway, and which shards of them must be built anew. Owned by `xds.builder`.

A provider that nobody uses any more stays until the next sweep: route tables that still demand it are on proxies for
as long as the new ones are on their way, and a demand that a proxy cannot find is a refusal.
"""

from collections.abc import Iterable

from tenants.keysets.source import Source
from xds.translate import CLAIM_SHARD, SHARD_NAMES, Provider


class Shards:
    """The providers of one gateway by shard. `dirty`: shards whose content changed since they were built."""

    def __init__(self) -> None:
        self.dirty: set[str] = set(SHARD_NAMES)  # an empty one is content too: a listener waits for each
        self.unused: set[Provider] = set()
        self._users: dict[Provider, set[str]] = {}
        self._shards: dict[str, set[Provider]] = {name: set() for name in (*SHARD_NAMES, CLAIM_SHARD)}
        self._sources: dict[Source, set[Provider]] = {}

    @property
    def sources(self) -> frozenset[Source]:
        """Where the keys of the providers in use come from."""
        return frozenset(self._sources)

    def of(self, shard: str) -> frozenset[Provider]:
        """The providers of a shard, those that linger too: but for the one that all requests are asked for."""
        found = frozenset(self._shards[shard])
        return found - self.unused if shard == CLAIM_SHARD else found

    def users(self, source: Source) -> frozenset[str]:
        """The tenants whose tokens are checked with the keys of this source."""
        return frozenset().union(*(self._users[one] for one in self._sources.get(source, ()) if one in self._users))

    def use(self, tenant: str, now: frozenset[Provider], before: frozenset[Provider]) -> None:
        """A tenant uses these providers now, and used those before."""
        self.dirty |= {CLAIM_SHARD} & {one.shard for one in now ^ before}
        for one in now - before:
            self._users.setdefault(one, set()).add(tenant)
            self.unused.discard(one)
            self._add(one)
        for one in before - now:
            self._users[one].discard(tenant)
            if not self._users[one]:
                del self._users[one]
                self.unused.add(one)

    def supplied(self, sources: Iterable[Source]) -> None:
        """These sources have other keys now."""
        self.dirty |= {one.shard for source in sources for one in self._sources.get(source, ())}

    def sweep(self) -> None:
        """Let go of the providers that nobody uses."""
        for one in self.unused:
            self._shards[one.shard].discard(one)
            self.dirty.add(one.shard)
            if one.source is not None:
                self._sources[one.source].discard(one)
                if not self._sources[one.source]:
                    del self._sources[one.source]
        self.unused.clear()

    def _add(self, one: Provider) -> None:
        if one in self._shards[one.shard]:
            return
        self._shards[one.shard].add(one)
        self.dirty.add(one.shard)
        if one.source is not None:
            self._sources.setdefault(one.source, set()).add(one)
