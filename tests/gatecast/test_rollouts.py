"""Who has a revision: by what it changed and what each client acknowledged, also when newer ones follow at once."""

import asyncio
from pathlib import Path

import pytest
from ledgers import API, BASICS, answer, client, drop, ledger, limited, put
from worlds import service

from gatecast.ledger import Rollout
from xds.stream import Adjust, Ask

RDS = ("CDS", "EDS", "RDS")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def states(found: Rollout) -> dict[str, str]:
    return {one.node: one.state for one in found.clients}


async def test_each_client_has_it_when_it_has_acknowledged_what_changed(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        first, second = client(one, "first", RDS), client(one, "second", RDS)
        assert states(one.rollout(1)) == {"first": "pending", "second": "pending"}
        answer(one, first)
        answer(one, second)
        assert one.rollout(1).done
        done = await one.write(put(limited("acme", 2)), API)
        answer(one, first)
        now = one.rollout(done.revision)
        assert (states(now), now.done) == ({"first": "has", "second": "pending"}, False)
        assert now.clients[1].detail == "RDS is not acknowledged yet"
        assert one.rollout(1).done  # it has what that changed, or newer
        answer(one, second)
        assert one.rollout(done.revision).done


async def test_the_lag_of_a_gateway_is_that_of_its_most_outdated_client(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1), limited("beta", 1)) as one:
        first, second = client(one, "first", RDS), client(one, "second", RDS)
        answer(one, first)
        answer(one, second)
        assert one.rollouts.lag() == {"edge": 0}
        for name in ("acme", "beta"):
            await one.write(put(limited(name, 2)), API)
        answer(one, first)
        assert one.rollouts.lag() == {"edge": 2}
        answer(one, second)
        assert one.rollouts.lag() == {"edge": 0}


async def test_a_client_that_asks_for_nothing_of_it_has_it(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        proxy = client(one, "clusters", ("CDS", "EDS"))
        answer(one, proxy)
        done = await one.write(put(limited("acme", 2)), API)
        assert one.rollout(done.revision).done
        later = await one.write(put(service("more", endpoints=["127.0.0.1:1"])), API)
        assert one.rollout(later.revision).done  # nobody uses the service, so no proxy is told


async def test_who_refuses_it_is_told_with_the_words_and_is_nobody_to_wait_for(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        proxy = client(one, "strict", RDS)
        answer(one, proxy)
        done = await one.write(put(limited("acme", 2)), API)
        answer(one, proxy, refuse="RDS")
        found = await one.rolled_out(done.revision, within=10)
        assert [(who.state, who.detail) for who in found.clients] == [("refused", "no")]
        assert not found.done
        better = await one.write(put(limited("acme", 3)), API)
        answer(one, proxy)
        assert one.rollout(better.revision).done


async def test_waiting_ends_with_the_last_answer_or_with_the_time(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        proxy = client(one, "slow", RDS)
        answer(one, proxy)
        done = await one.write(put(limited("acme", 2)), API)
        assert not (await one.rolled_out(done.revision, within=0.05)).done
        waiting = asyncio.create_task(one.rolled_out(done.revision, within=60))
        await asyncio.sleep(0)
        answer(one, proxy)
        assert (await waiting).done
        gone = asyncio.create_task(one.rolled_out((await one.write(drop("acme"), API)).revision, within=60))
        await asyncio.sleep(0)
        one.plane.hub.leave(proxy)
        assert (await gone).clients == ()


async def test_a_revision_that_is_not_here_yet_is_waited_for(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one, ledger(url) as other:
        answer(one, client(one, "here", RDS))
        done = await other.write(put(limited("acme", 2)), API)
        await other.write(put(limited("acme", 3)), API)
        assert states(one.rollout(done.revision)) == {"here": "pending"}
        waiting = asyncio.create_task(one.rolled_out(done.revision, within=60))
        await asyncio.sleep(0)
        await one.load()
        (proxy,) = one.plane.hub.clients.values()
        answer(one, proxy)
        assert (await waiting).done


async def test_someone_always_one_behind_has_the_older_ones(url: str) -> None:
    """A thousand changes a second: he is never up to date, and has what was before."""
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        proxy = client(one, "busy", RDS)
        answer(one, proxy)
        for count in range(2, 6):
            sent = [say for say in proxy.machine.answers(0.0) if say.kind == "RDS"]
            done = await one.write(put(limited("acme", count)), API)
            for say in sent:
                proxy.machine.receive(Ask("RDS", Adjust(), say.nonce), 0.0)
            assert states(one.rollout(done.revision)) == {"busy": "pending"}
            assert states(one.rollout(done.revision - 1)) == {"busy": "has"}


async def test_what_is_remembered_is_bounded_and_of_the_rest_only_the_whole_is_known(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatecast.rollouts.REVISIONS", 3)
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        proxy = client(one, "old", RDS)
        answer(one, proxy)
        for count in range(2, 8):
            await one.write(put(limited("acme", count)), API)
        assert len(one.rollouts._made) == 3
        assert states(one.rollout(2)) == {"old": "pending"}
        answer(one, proxy)
        assert all(one.rollout(number).done for number in range(8))


async def test_there_is_no_rollout_of_what_nobody_made(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        assert not one.rollout(99).done
