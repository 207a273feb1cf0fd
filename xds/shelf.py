"""Which shared documents and key sets of one gateway must be told anew, to those who are told our own model. Owned by
`xds.builder`.
"""

from collections.abc import Iterable, Iterator, Mapping

from tenants.documents import Document, Gateway
from tenants.keysets.source import Source
from tenants.served import Served
from xds.translate import Built, settings


class Shelf:
    """What was told last. Documents are compared as objects: one that changed is another one."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()  # the maps that were looked through
        self._documents: Mapping[str, Document] = {}
        self._keys: Mapping[str, str] = {}

    def stale(
        self, served: Served, gateway: Gateway, sources: Iterable[Source], keys: Mapping[Source, str]
    ) -> Iterator[tuple[str, Built | None]]:
        """The resources to put (or, None, to remove), each once. Without a Kong there are none."""
        yield from self._of_documents(served, gateway)
        told = sources if gateway.kong else ()
        yield from self._of_keys({source: keys[source] for source in told if source in keys})

    def _of_documents(self, served: Served, gateway: Gateway) -> Iterator[tuple[str, Built | None]]:
        maps = (served.services, served.routes, gateway)
        if len(maps) == len(self._seen) and all(one is other for one, other in zip(maps, self._seen, strict=True)):
            return
        before, now = self._documents, settings.shared(served, gateway)
        for name in sorted({*before, *now}):
            one = now.get(name)
            if one is not before.get(name):
                yield name, settings.document(one) if one else None
        self._seen, self._documents = maps, now

    def _of_keys(self, found: Mapping[Source, str]) -> Iterator[tuple[str, Built | None]]:
        before, now = self._keys, {settings.key_set_name(source): text for source, text in found.items()}
        named = {settings.key_set_name(source): source for source in found}
        for name in sorted({*before, *now}):
            if now.get(name) != before.get(name):
                yield name, settings.key_set(named[name], now[name]) if name in now else None
        self._keys = now
