"""Keeps the key sets of issuers in the store, for the next start. `gatecast.serve` runs it."""

import asyncio
from collections.abc import Mapping

import structlog
from immutables import Map

from tenants.errors import Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.holding import Known
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.store import Store
from tenants.supplies import Supplies

EVERY = 5.0  # seconds between two looks
AGED = 3600.0  # seconds: the same keys are kept again when the time of their fetch has moved so much

log = structlog.get_logger("gatecast")


async def known(store: Store) -> dict[Source, Known]:
    """What an earlier process kept; nothing if the store is away now."""
    try:
        return await store.keysets.all()
    except Unavailable as error:
        log.warning("key sets of before are not known: the store is away", error=str(error))
        return {}


def supplies(before: Mapping[Source, Known], since: float) -> Supplies:
    """What the first translation has of it: what was fetched after `since`. The fetcher says later what it thinks."""
    return Supplies(keys=Map({source: one.keys.text for source, one in before.items() if one.fetched > since}))


def news(states: Mapping[Source, State], kept: Mapping[Source, Known]) -> dict[Source, Known]:
    """The sets to keep: other keys than those that are kept, or fetched much later."""
    found = {}
    for source, state in states.items():
        before = kept.get(source)
        if state.keys is None or state.stale:
            continue
        if before is None or before.keys != state.keys or state.fetched - before.fetched >= AGED:
            found[source] = Known(state.keys, state.fetched)
    return found


async def keep(store: Store, fetcher: Fetcher, before: Mapping[Source, Known], every: float = EVERY) -> None:
    """Keep what comes, until cancelled. While the store is away, it is kept later."""
    kept = dict(before)
    while True:
        await asyncio.sleep(every)
        found = news(fetcher.states, kept)
        try:
            await store.keysets.keep(found)
        except Unavailable as error:
            log.warning("key sets are not kept: the store is away", error=str(error))
            continue
        kept |= found
