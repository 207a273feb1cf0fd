"""Two servers on one PostgreSQL, and real Envoys: what one writes the other serves, moving costs nothing, and while the
database is away everything that is served goes on.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envoys
import httpx
import ledgers
import planes
import pytest
import relays
import stages
import upstreams
from ledgers import API, put
from postgres import Postgres, database, own_server
from stages import Stage
from stores import QUICK

from gatecast.ledger import Ledger
from tenants.errors import Unavailable
from tenants.store import Store
from xds.bootstrap import bootstrap

pytestmark = pytest.mark.envoy


@pytest.fixture
def fragile() -> Iterator[Postgres]:
    """A server that tests may kill."""
    with own_server() as server:
        yield server


@pytest.fixture
def url(fragile: Postgres) -> Iterator[str]:
    with database(fragile.url) as url:
        yield url


@dataclass(frozen=True)
class Replica:
    """A server on the store, and an Envoy that may be anywhere."""

    ledger: Ledger
    served: planes.Served

    async def write(self, *documents: stages.Json) -> int:
        return (await self.ledger.write(put(*documents), API)).revision


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[Replica]:
    """It serves what the store holds, and follows it."""
    async with await Store.open(url, pace=QUICK) as store, planes.bare() as served:
        ledger = Ledger(store, served.plane)
        await ledger.load()
        await served.server.serving()
        async with ledgers.running(ledger):
            yield Replica(ledger, served)


@dataclass(frozen=True)
class Scene:
    """An upstream, two servers, a relay to one of them, and an Envoy that calls it."""

    one: Replica
    other: Replica
    relay: relays.Relay
    stage: Stage

    def at(self, server: Replica) -> Stage:
        """The stage, with the statistics of this server."""
        return Stage(server.served, self.stage.proxy, self.stage.port, self.stage.upstream, self.stage.http)

    async def level(self) -> None:
        """Wait until both servers serve the same: one that is behind would send what is older, and then the rest."""
        await self.stage.proxy.until(self._is_level, "both servers to serve the same", within=20)

    def _is_level(self) -> bool:
        return ledgers.versions(self.one.ledger) == ledgers.versions(self.other.ledger)

    async def move(self, server: Replica) -> Stage:
        """Have the Envoy call this server, and wait until it has nothing left to say."""
        self.relay.move(server.served.port)
        await self.stage.proxy.until(lambda: stages.caught_up(server.served), "Envoy to connect", within=20)
        return self.at(server)


@asynccontextmanager
async def scene(folder: Path, url: str, **variant: Any) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstreams.Upstream("orders"))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        port = envoys.free_port()
        async with await Store.open(url) as store:
            await store.commit(put(*stages.basics(port, upstream)), API)
        one = await stack.enter_async_context(replica(url))
        other = await stack.enter_async_context(replica(url))
        relay = await stack.enter_async_context(relays.relay(one.served.port))
        file = bootstrap("edge", "envoy-1", ("127.0.0.1", relay.port), **variant)
        proxy = await stack.enter_async_context(envoys.envoy(file, folder / "envoy"))
        await proxy.ready()
        yield Scene(one, other, relay, Stage(one.served, proxy, port, upstream, http))


async def test_what_one_server_writes_is_live_on_the_envoy_of_the_other(tmp_path: Path, url: str) -> None:
    async with scene(tmp_path, url) as here:
        await here.stage.until_tag("acme", "first")
        revision = await here.other.write(stages.tagged("acme", "second"))
        await here.stage.until_tag("acme", "second")
        assert (await here.one.ledger.rolled_out(revision, within=20)).done
        assert ledgers.versions(here.one.ledger) == ledgers.versions(here.other.ledger)
        await here.stage.holds()


@pytest.mark.parametrize("variant", [stages.DELTA, stages.SOTW], ids=["delta", "sotw"])
async def test_an_envoy_that_moves_is_sent_nothing_it_has(tmp_path: Path, url: str, variant: stages.Json) -> None:
    """R29: SotW cannot prove what it holds of the names it asks for, so these are answered once."""
    async with scene(tmp_path, url, **variant) as here:
        await here.stage.until_tag("acme", "first")
        await here.one.write(stages.tagged("acme", "second"))
        await here.stage.until_tag("acme", "second")
        async with here.stage.load() as traffic:
            await here.level()
            moved = await here.move(here.other)
            assert stages.sent(here.other.served) == ({"EDS": 1, "RDS": 1} if variant.get("sotw") else {})
            before = stages.sent(here.other.served)
            await here.one.write(stages.tagged("acme", "third"))  # by the server it has left
            await moved.until_tag("acme", "third")
            assert stages.since(here.other.served, before) == {"RDS": 1}
            before = stages.sent(here.one.served)
            back = await here.move(here.one)
            await back.until_tag("acme", "third")
            expected = {"EDS": 1, "RDS": 1} if variant.get("sotw") else {}
            assert stages.since(here.one.served, before) == expected
        assert traffic.failures == []
        await back.holds()


async def test_the_database_is_killed_and_back_while_envoys_are_connected_and_changes_wait(
    tmp_path: Path, url: str, fragile: Postgres
) -> None:
    async with scene(tmp_path, url) as here:
        await here.stage.until_tag("acme", "first")
        done = await here.other.write(stages.tagged("acme", "second"))
        async with here.stage.load() as traffic:
            fragile.crash()
            with pytest.raises(Unavailable):
                await here.one.write(stages.tagged("acme", "lost"))
            assert here.one.served.plane.hub.ready
            moved = await here.move(here.other)  # an Envoy that connects now is served, too
            await moved.until_tag("acme", "second")  # what was acknowledged
            fragile.start()
            await _written(here.one, stages.tagged("beta", "back"))
            await moved.until_tag("beta", "back")
        assert traffic.failures == []
        async with await Store.open(url) as store:
            assert await store.revision() == here.other.ledger.revision > done
        assert ledgers.versions(here.one.ledger) == ledgers.versions(here.other.ledger)


async def _written(server: Replica, document: stages.Json) -> None:
    """The first write after the database is back may meet a connection from before."""

    async def tried() -> bool:
        try:
            await server.write(document)
        except Unavailable:
            return False
        return True

    await envoys.until(tried, "the store to be back", within=20)
