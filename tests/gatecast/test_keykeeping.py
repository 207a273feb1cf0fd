"""Key sets over a restart: what an issuer said last serves on, while it is as old as it is and no older."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fetchers
import idps
import pytest

from gatecast.keykeeping import AGED, keep, known, news, supplies
from tenants.errors import Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.holding import Known
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.store import Store
from xds.waiting import until

NOW = 1_800_000_000.0


async def _ignore(_states: object) -> None: ...


def restarted(source: Source, before: Known, wall: float, limits: Limits = fetchers.QUICK) -> Fetcher:
    """The fetcher of a new process at this time, which was told nothing yet but what is wanted."""
    made = Fetcher(_ignore, clock=lambda: 5.0, wall=lambda: wall, limits=limits, known={source: before})
    made.want(frozenset({source}))
    return made


async def test_a_set_of_before_is_used_at_once_and_ages_from_its_fetch() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(Source(idp.issuer, local=True)) as one:
        source = Source(idp.issuer, local=True)
        await until(lambda: one.fetcher.state(source).usable, "the keys")
        state = one.fetcher.state(source)
    assert state.keys is not None
    before = Known(state.keys, NOW)
    limits = Limits(stale=86400.0)
    young, old, odd = (restarted(source, before, wall, limits) for wall in (NOW + 86399, NOW + 86401, NOW - 3600))
    assert (young.state(source).usable, young.state(source).fetched) == (state.keys, NOW)
    assert (old.state(source).usable, old.state(source).stale) == (None, True)
    assert (odd.state(source).usable, odd.state(source).fetched) == (state.keys, NOW - 3600)  # a clock that went back
    assert dict(supplies({source: before}, NOW - 1).keys) == {source: state.keys.text}
    assert not supplies({source: before}, NOW).keys


async def test_what_is_kept_is_what_is_new_or_much_later(tmp_path: Path) -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(Source(idp.issuer, local=True)) as one:
        source = Source(idp.issuer, local=True)
        await until(lambda: one.fetcher.state(source).usable, "the keys")
        state = one.fetcher.state(source)
    assert state.keys is not None
    fresh = Known(state.keys, state.fetched)
    assert news({source: state}, {}) == {source: fresh}
    assert news({source: state}, {source: fresh}) == {}
    assert news({source: replace(state, fetched=state.fetched + AGED)}, {source: fresh}).keys() == {source}
    assert news({source: replace(state, stale=True)}, {}) == {}
    assert news({source: State(problem="no")}, {}) == {}


async def test_the_store_keeps_them_also_if_it_was_away_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []
    async with await Store.open(f"{tmp_path}/store.db") as store, idps.Idp(alg="ES256") as idp:
        source = Source(idp.issuer, local=True)
        async with fetchers.running(source) as one:
            await until(lambda: one.fetcher.state(source).usable, "the keys")
            put = type(store.keysets).keep

            async def away(rooms: object, found: object) -> None:
                tries.append(found)
                if len(tries) < 3:
                    raise Unavailable("the store is away")
                await put(rooms, found)  # type: ignore[arg-type]

            monkeypatch.setattr(type(store.keysets), "keep", away)
            task = asyncio.create_task(keep(store, one.fetcher, {}, every=0.01))
            await until(lambda: len(tries) > 4, "some looks")
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            source_of = await known(store)
        assert {where: found.keys for where, found in source_of.items()} == {source: one.fetcher.state(source).keys}
    assert tries[-1] == {}
