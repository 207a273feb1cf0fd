"""Writes: judged beside everything that is in force, committed, then published; or not at all."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ledgers import API, BASICS, drop, ledger, limited, put, requests, tenants, versions
from worlds import service, tenant

from gatecast.ledger import Busy, Invalid, Ledger
from tenants.documents import Key
from tenants.errors import Unavailable
from tenants.store import ABSENT, PRESENT, Answer, Commit, Once, Stale, Store, Write


async def test_a_write_is_a_revision_and_in_force_when_it_comes_back(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        done = await one.write(put(limited("acme", 10), expected=ABSENT), API)
        assert (done.revision, done.made, [change.what for change in done.changes]) == (2, True, ["created"])
        assert (one.revision, requests(one, "acme")) == (2, 10)
        assert "acme" in versions(one)["RDS"]
        assert (await one.store.document(Key("Tenant", "acme"))).source == "api"


async def test_what_says_nothing_new_makes_no_revision(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        before = one.plane.builder.snapshots["edge"]
        done = await one.write(put(service()), API)
        assert (done.revision, done.made, done.changes) == (1, False, ())
        assert one.plane.builder.snapshots["edge"] is before


async def test_a_document_that_is_wrong_refuses_all_and_is_audited(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        with pytest.raises(Invalid) as refused:
            await one.write(put(limited("acme", 10), tenant("beta", organisation="nobody"), tenant("c", color=1)), API)
        assert {problem.code for problem in refused.value.problems} == {"GC201", "GC101"}
        assert (one.revision, tenants(one), await one.store.revision()) == (1, [], 1)
        (entry,) = [entry for entry in await one.store.audit.entries() if entry.outcome == "refused"]
        assert (entry.actor, entry.action, entry.target) == ("dana", "documents apply", "3 documents")
        assert "Tenant/" in entry.details


async def test_a_write_that_would_harm_another_document_is_refused_naming_it(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 10)) as one:
        with pytest.raises(Invalid, match="Route/orders"):
            await one.write(drop("orders", kind="Service"), API)
        assert "orders" in one.plane.catalog.services


async def test_documents_that_need_each_other_come_together_and_go_together(url: str) -> None:
    async with ledger(url) as one:
        await one.write(put(*reversed(BASICS), limited("acme", 10)), API)
        assert (await one.write([*drop("orders", kind="Route"), *drop("orders", kind="Service")], API)).revision == 2
        assert not one.plane.catalog.services


async def test_a_dry_run_tells_problems_documents_and_resources_and_changes_nothing(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 10)) as one:
        before = versions(one)
        fine = await one.write([*put(limited("acme", 11), limited("beta", 1))], API, dry_run=True)
        assert [(change.key.id, change.what) for change in fine.changes] == [("acme", "changed"), ("beta", "created")]
        assert fine.resources is not None
        told = {(change.kind, change.name, change.what, change.tenant) for change in fine.resources}
        assert ("RDS", "acme", "changed", "acme") in told
        assert ("RDS", "beta", "created", "beta") in told
        assert not any(change.name == "orders" for change in fine.resources)  # a cluster that others use already
        bad = await one.write(put(tenant("beta", organisation="nobody")), API, dry_run=True)
        assert ([problem.code for problem in bad.problems], bad.resources) == (["GC201"], ())
        assert (versions(one), one.revision, await one.store.revision()) == (before, 1, 1)


async def test_a_dry_run_tells_exactly_the_resources_that_the_write_then_changes(url: str) -> None:
    writes = [*put(limited("acme", 11), limited("beta", 1), service("more")), *drop("gone")]
    async with ledger(url, *BASICS, limited("acme", 10), limited("gone", 1)) as one:
        before = versions(one)
        told = await one.write(writes, API, dry_run=True)
        await one.write(writes, API)
        after = versions(one)
        was = {(kind, name): version for kind, rows in before.items() for name, version in rows.items()}
        now = {(kind, name): version for kind, rows in after.items() for name, version in rows.items()}
        assert {(change.kind, change.name) for change in told.resources or ()} == {
            name for name in was.keys() | now.keys() if was.get(name) != now.get(name)
        }


async def test_a_stale_expectation_is_refused_and_a_stale_revision_too(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        with pytest.raises(Stale) as stale:
            await one.write(put(limited("acme", 1), expected=PRESENT), API)
        assert (stale.value.key, stale.value.current) == (Key("Tenant", "acme"), "absent")
        with pytest.raises(Stale) as stale:
            await one.write(put(limited("acme", 1)), API, if_revision=0)
        assert (stale.value.key, stale.value.current) == (None, "1")
        assert tenants(one) == []


async def test_what_another_server_wrote_is_read_before_judging_and_no_expectation_is_lost(url: str) -> None:
    async with ledger(url, *BASICS) as one, ledger(url) as other:
        await one.write(put({"kind": "Organisation", "id": "foods"}), API)
        assert other.revision == 1
        done = await other.write(put(limited("acme", 10, organisation="foods")), API)
        assert (done.revision, other.revision, "foods" in other.plane.catalog.organisations) == (3, 3, True)
        with pytest.raises(Stale):
            await one.write(put(limited("acme", 11), expected=ABSENT), API)
        entries = await one.store.audit.entries()
        assert [entry.outcome for entry in entries].count("refused") == 1  # reading on is no refusal
        await one.load()
        assert (one.revision, requests(one, "acme")) == (3, 10)
        assert versions(one) == versions(other)


async def test_two_servers_that_write_the_same_document_all_the_time_lose_nothing(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one, ledger(url) as other:

        async def add(by: Ledger, name: str) -> None:
            for count in range(8):
                await by.write(put(limited(name, count + 1)), API)

        await asyncio.gather(add(one, "beta"), add(other, "gamma"), add(one, "acme"), add(other, "acme"))
        await asyncio.gather(one.load(), other.load())
        assert versions(one) == versions(other)
        assert (requests(one, "beta"), requests(one, "gamma")) == (8, 8)
        assert not (await one.store.audit.verify()).problems


async def test_the_same_request_twice_has_one_effect_also_where_it_would_be_wrong_by_now(url: str) -> None:
    once = Once("dana PUT", "key-1", "hash", lambda commit: Answer(201, str(commit.revision)))
    async with ledger(url, *BASICS, {"kind": "Organisation", "id": "foods"}) as one:
        first = await one.write(put(limited("acme", 10, organisation="foods")), API, once=once)
        assert first.answer == Answer(201, "2")
        await one.write([*drop("acme"), *drop("foods", kind="Organisation")], API)
        again = await one.write(put(limited("acme", 10, organisation="foods")), API, once=once)
        assert (again.replayed, again.answer, tenants(one)) == (True, Answer(201, "2"), [])


async def test_what_the_store_does_not_take_is_not_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ledger(f"sqlite:///{tmp_path}/store.db", *BASICS) as one:
        before = versions(one)
        monkeypatch.setattr(Store, "commit", _away)
        with pytest.raises(Unavailable):
            await one.write(put(limited("acme", 1)), API)
        assert (versions(one), one.revision) == (before, 1)


async def _away(*_: object, **__: object) -> None:
    raise Unavailable("the store is away")


async def test_whoever_asked_may_go_away_and_what_was_committed_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger(f"sqlite:///{tmp_path}/store.db", *BASICS) as one:
        commit, there, gate = Store.commit, asyncio.Event(), asyncio.Event()

        async def slow(*given: Any, **more: Any) -> Commit:
            done = await commit(*given, **more)
            there.set()
            await gate.wait()
            return done

        monkeypatch.setattr(Store, "commit", slow)
        asking = asyncio.create_task(one.write(put(limited("acme", 1)), API))
        await there.wait()
        asking.cancel()
        gate.set()
        await asyncio.wait({asking})
        await one.load()  # its turn comes after the other's
        assert asking.cancelled()
        assert (one.revision, tenants(one)) == (2, ["acme"])


async def test_a_flood_of_one_tenant_is_refused_beyond_a_few_and_another_tenant_goes_on(tmp_path: Path) -> None:
    """1,000 changes at once of acme: those that may wait are few, so that beta waits for few."""
    async with ledger(f"sqlite:///{tmp_path}/store.db", *BASICS) as one:
        flood = [asyncio.create_task(one.write(put(limited("acme", 1 + n)), API)) for n in range(1000)]
        await asyncio.sleep(0)
        done = await one.write(put(limited("beta", 1)), API)
        came = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(one, Busy) for one in came) == 1000 - 8
        assert done.revision <= 2 + 8
        assert requests(one, "acme") == 8
        await one.write(put(limited("acme", 9)), API)  # there is room again


async def test_nobody_waits_behind_more_than_a_bound(tmp_path: Path) -> None:
    async with ledger(f"sqlite:///{tmp_path}/store.db", *BASICS) as one:
        asked = [asyncio.create_task(one.write([Write.put(limited(f"t{n}", 1))], API)) for n in range(300)]
        came = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, Busy) for one in came) == 300 - 256
        assert len(tenants(one)) == 256
