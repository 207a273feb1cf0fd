"""The way back: any kept revision, byte for byte what it was; files and registries do not undo it silently."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import API, BASICS, drop, ledger, limited, put, requests, tenants, versions
from worlds import service, tenant

from gatecast.ledger import Invalid
from tenants.documents import Key
from tenants.errors import Refused
from tenants.store import NotFound, Stale, Store, Write, backup, put_back


def change(dice: random.Random) -> list[Write]:
    """Some tenants put, some dropped; they are good whatever was before."""
    names = dice.sample([f"t{n}" for n in range(12)], dice.randint(1, 4))
    kept = [name for name in names if dice.random() < 0.7]
    return [*put(*(limited(name, dice.randint(1, 1000)) for name in kept)), *drop(*(set(names) - set(kept)))]


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_sequence_of_changes_a_restore_gives_the_very_same_versions(url: str, seed: int) -> None:
    dice = random.Random(seed)
    async with ledger(url, *BASICS) as one:
        seen = {1: versions(one)}
        for _ in range(25):
            if dice.random() < 0.15:
                number = dice.choice(list(seen))
                await one.restore(number, API)
                assert versions(one) == seen[number]
            else:
                await one.write(change(dice), API)
            seen[one.revision] = versions(one)
        for number in dice.sample(list(seen), 6):
            await one.restore(number, API)
            assert versions(one) == seen[number], f"revision {number}"
        async with ledger(url) as fresh:  # what a server that starts now serves
            assert versions(fresh) == versions(one)
        assert not (await one.store.audit.verify()).problems


async def test_a_restore_tells_documents_and_resources_first_if_asked(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 10)) as one:
        await one.write([*put(limited("beta", 1)), *drop("acme")], API)
        told = await one.restore(1, API, dry_run=True)
        assert (told.made, one.revision, tenants(one)) == (False, 2, ["beta"])
        done = await one.restore(1, API)
        for outcome in (told, done):
            assert {(change.key.id, change.what) for change in outcome.changes} == {
                ("acme", "created"), ("beta", "deleted")
            }  # fmt: skip
            assert outcome.resources is not None
            assert {(change.name, change.what) for change in outcome.resources if change.kind == "RDS"} == {
                ("acme", "created"), ("beta", "deleted")
            }  # fmt: skip
        assert (done.revision, tenants(one)) == (3, ["acme"])
        assert (await one.store.changes(3))[0].restores == 1


async def test_a_restore_needs_a_reason_and_a_revision_that_is_kept(url: str) -> None:
    async with ledger(url, *BASICS) as one:
        await one.write(put(limited("acme", 1)), API)
        with pytest.raises(Refused, match="reason"):
            await one.restore(1, replace(API, reason=" "))
        with pytest.raises(NotFound):
            await one.restore(7, API)
        with pytest.raises(Stale):
            await one.restore(1, API, if_revision=1)
        assert requests(one, "acme") == 1


async def test_what_was_in_force_comes_back_also_where_it_would_not_be_let_in_today(url: str) -> None:
    """The rules may have become stricter with a newer gatecast: the way back stays open, and the faults are told."""
    async with await Store.open(url) as store:
        old = tenant("acme", organisation="nobody")
        await store.commit(put(*BASICS, old, service("more")), API)
        await store.commit(drop("acme"), API)
    async with ledger(url) as one:
        done = await one.restore(1, API)
        assert [problem.code for problem in done.problems] == ["GC201"]
        assert tenants(one) == ["acme"]
        async with ledger(url) as other:
            assert versions(other) == versions(one)


async def test_a_document_that_cannot_be_read_any_more_is_told_and_nothing_is_restored(url: str) -> None:
    async with await Store.open(url) as store:
        await store.commit(put(*BASICS, tenant("acme", colour="of an older gatecast")), API)
        await store.commit(drop("acme"), API)
    async with ledger(url) as one:
        with pytest.raises(Invalid) as refused:
            await one.restore(1, API)
        assert [(problem.code, problem.id) for problem in refused.value.problems] == [("GC101", "acme")]
        assert one.revision == 2


async def test_a_restore_over_another_servers_newer_revision_counts_that_too(url: str) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one, ledger(url) as other:
        await other.write(put(limited("acme", 2), limited("beta", 1)), API)
        await one.restore(1, API)
        assert (tenants(one), requests(one, "acme")) == (["acme"], 1)
        await other.load()
        assert versions(other) == versions(one)
        assert [pin.key for pin in await one.store.pins()] == []
        assert (await one.store.document(Key("Tenant", "acme"))).source == "api"


async def test_a_backup_that_was_put_back_serves_the_very_same_versions(url: str, tmp_path: Path) -> None:
    async with ledger(url, *BASICS, limited("acme", 1)) as one:
        await one.write(put(limited("acme", 2), limited("beta", 3)), API)
        served = versions(one)
        await backup(url, tmp_path / "copy")
    target = f"sqlite:///{tmp_path}/back.db"
    await put_back(tmp_path / "copy", target)
    async with ledger(target) as back:
        assert versions(back) == served
