"""A settings directory beside the store: its changes become revisions, and its last good versions survive a restart."""

import json
from pathlib import Path

import pytest
from ledgers import API, BASICS, Json, drop, files, ledger, limited, problems, put, requests, tenants, until, versions
from worlds import service, tenant

from gatecast.ledger import Ledger
from tenants.documents import Key
from tenants.errors import Refused, Unavailable
from tenants.store import By, Foreign, Store


def say(folder: Path, name: str, *documents: Json) -> None:
    """Write a file as an editor does."""
    beside = folder / f".{name}.new"
    beside.write_text("\n---\n".join(json.dumps(one, indent=1) for one in documents))
    beside.rename(folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "settings"
    made.mkdir()
    say(made, "a.yaml", *BASICS)
    say(made, "acme.yaml", limited("acme", 10))
    return made


async def source(of: Ledger, name: str) -> str:
    return (await of.store.document(Key("Tenant", name))).source


async def test_files_become_one_revision_and_each_change_another_with_its_author(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        assert (one.revision, tenants(one), problems(one)) == (1, ["acme"], [])
        assert await source(one, "acme") == "file:acme.yaml"
        say(folder, "acme.yaml", limited("acme", 20), limited("beta", 1))
        await until(lambda: one.revision == 2, "the change")
        (newest, _first) = await one.store.revisions()
        assert (newest.author, newest.created, newest.changed) == ("file:acme.yaml", 1, 1)
        assert requests(one, "acme") == 20
        (folder / "acme.yaml").unlink()
        await until(lambda: tenants(one) == [], "the tenants to go")
        assert (await one.store.changes(3))[0].deleted == 2


async def test_a_document_is_stored_as_its_author_wrote_it(url: str, folder: Path) -> None:
    written = tenant("raw", policies={"timeout": {"request": "1500ms"}})
    say(folder, "acme.yaml", limited("acme", 10), written)
    async with files(url, folder) as one:
        assert (await one.store.document(Key("Tenant", "raw"))).body == written


async def test_a_restart_with_the_same_files_makes_no_revision_and_the_same_versions(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        before = versions(one)
    async with files(url, folder) as one:
        assert (one.revision, versions(one), problems(one)) == (1, before, [])


async def test_a_broken_document_stays_at_its_last_good_version_also_over_a_restart(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        (folder / "acme.yaml").write_text("kind: Tenant\nid: acme\nstatus: asleep\n")
        await until(lambda: problems(one) == ["GC105 Tenant/acme"], "the problem")
        assert (one.revision, requests(one, "acme")) == (1, 10)
    async with files(url, folder) as one:
        (problem,) = one.plane.problems()
        assert (problem.code, problem.file, problem.line) == ("GC105", "acme.yaml", 3)
        assert (one.revision, requests(one, "acme")) == (1, 10)
        (folder / "acme.yaml").write_text("kind: [Tenant\n")
        await until(lambda: "GC001 /" in problems(one), "the other problem")
    async with files(url, folder) as one:
        assert (problems(one), tenants(one)) == (["GC001 /"], ["acme"])
        say(folder, "acme.yaml", limited("acme", 30))
        await until(lambda: requests(one, "acme") == 30, "the mended file")
        assert problems(one) == []


async def test_what_was_withdrawn_while_nobody_looked_goes_and_what_was_moved_stays(url: str, folder: Path) -> None:
    async with files(url, folder):
        pass
    say(folder, "a.yaml", *BASICS, limited("acme", 10))
    (folder / "acme.yaml").unlink()
    async with files(url, folder) as one:
        assert (tenants(one), await source(one, "acme")) == (["acme"], "file:a.yaml")
    say(folder, "a.yaml", *BASICS)
    async with files(url, folder) as one:
        assert tenants(one) == []


async def test_a_service_stays_until_nobody_refers_to_it_and_goes_then(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        say(folder, "a.yaml", BASICS[0], BASICS[2])
        await until(lambda: problems(one) == ["GC211 Service/orders"], "the problem")
        assert one.revision == 1
        say(folder, "a.yaml", BASICS[0])
        await until(lambda: one.revision == 2 and not problems(one), "the change")
        assert dict(one.plane.catalog.services) == {}


async def test_a_file_waits_for_what_an_operator_writes_and_comes_into_force_then(url: str, folder: Path) -> None:
    say(folder, "acme.yaml", limited("acme", 10, organisation="foods"))
    async with files(url, folder) as one:
        assert (problems(one), tenants(one)) == (["GC201 Tenant/acme"], [])
        done = await one.write(put({"kind": "Organisation", "id": "foods"}), API)
        await until(lambda: tenants(one) == ["acme"], "the tenant")
        assert (problems(one), one.revision, done.revision) == ([], 3, 2)
        assert (await one.store.revisions())[0].author == "file:acme.yaml"


async def test_the_same_name_in_two_files_is_told_and_the_second_takes_over_when_the_first_goes(
    url: str, folder: Path
) -> None:
    say(folder, "b.yaml", limited("acme", 99))
    async with files(url, folder) as one:
        assert (problems(one), requests(one, "acme")) == (["GC212 Tenant/acme"], 10)
        (folder / "acme.yaml").unlink()
        await until(lambda: requests(one, "acme") == 99, "the other file's")
        assert (problems(one), await source(one, "acme")) == ([], "file:b.yaml")


async def test_an_operators_document_is_kept_and_the_file_is_told_so(url: str, folder: Path) -> None:
    async with ledger(url) as one:
        await one.write(put(limited("acme", 1, hosts=["a.example"])), API)
    async with files(url, folder) as one:
        (problem,) = one.plane.problems()
        assert (problem.code, problem.file, problem.line) == ("GC226", "acme.yaml", 3)
        assert "comes from api" in problem.message
        assert requests(one, "acme") == 1
        await one.write(drop("acme"), API)
        await until(lambda: tenants(one) == ["acme"] and requests(one, "acme") == 10, "the file's turn")
        assert problems(one) == []


async def test_an_operator_may_take_a_files_document_over_with_force_alone(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        with pytest.raises(Foreign):
            await one.write(put(limited("acme", 1)), API)
        await one.write(put(limited("acme", 1)), API, force=True)
        assert requests(one, "acme") == 1
        await one.sync(API)  # the file says again what it says
        assert (problems(one), requests(one, "acme")) == (["GC226 Tenant/acme"], 1)


async def test_a_restore_pins_what_files_gave_until_it_is_unpinned(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        say(folder, "acme.yaml", limited("acme", 20))
        await until(lambda: one.revision == 2, "the change")
        await one.restore(1, API)
        say(folder, "acme.yaml", limited("acme", 30))
        await until(lambda: problems(one) == ["GC227 Tenant/acme"], "the problem")
        assert (one.revision, requests(one, "acme")) == (3, 10)
        assert [source.kept_out for source in one.sources()] == [1]
    async with files(url, folder) as one:
        assert (problems(one), requests(one, "acme")) == (["GC227 Tenant/acme"], 10)
        done = await one.unpin([Key("Tenant", "acme")], API)
        assert done.pins == 1
        await until(lambda: requests(one, "acme") == 30, "the file's turn")
        assert problems(one) == []
        assert [source.kept_out for source in one.sources()] == [0]


async def test_what_a_restore_brought_back_goes_again_when_unpinned_if_no_file_says_it(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        (folder / "acme.yaml").unlink()
        await until(lambda: tenants(one) == [], "the tenant to go")
        await one.restore(1, API)
        await one.sync(API)
        assert tenants(one) == ["acme"]
        await one.unpin([Key("Tenant", "acme")], API)
        await until(lambda: tenants(one) == [], "the tenant to go again")


async def test_an_operators_deletion_of_a_files_document_stays_deleted(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        await one.write(drop("acme"), API, force=True)
        await one.sync(API)
        assert (tenants(one), problems(one)) == ([], ["GC227 Tenant/acme"])


async def test_changes_wait_while_the_store_is_away_and_only_the_newest_is_written(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with files(f"sqlite:///{tmp_path}/store.db", folder) as one:
        before, tries = versions(one), []

        async def away(*_: object, **__: object) -> None:
            tries.append(requests(one, "acme"))
            raise Unavailable("the store is away")

        with monkeypatch.context() as patch:
            patch.setattr(Store, "pins", away)
            for count in (20, 30):
                say(folder, "acme.yaml", limited("acme", count), limited(f"t{count}", 1))
                now = len(tries)
                await until(lambda now=now: len(tries) > now + 1, "two more tries")  # type: ignore[misc]
            assert (versions(one), one.revision) == (before, 1)
            assert one.sources()[0].last_error == "the store is away"
        await until(lambda: one.revision == 2, "the store to be back")
        assert (requests(one, "acme"), tenants(one), one.sources()[0].last_error) == (30, ["acme", "t30"], "")


async def test_a_sync_looks_at_once_and_says_what_each_source_has(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        say(folder, "beta.yaml", limited("beta", 1))
        done = await one.sync(API)
        (state,) = done.sources
        assert (state.name, state.kind, state.documents, state.last_error) == (str(folder), "file", 5, "")
        assert state.last_success
        assert tenants(one) == ["acme", "beta"]
        entry = (await one.store.audit.entries(limit=1))[0]
        assert (entry.action, entry.actor, entry.outcome) == ("sync", "dana", "done")


async def test_an_empty_directory_takes_nothing_away_and_another_directory_neither(url: str, folder: Path) -> None:
    async with files(url, folder) as one:
        before = versions(one)
    for name in ("a.yaml", "acme.yaml"):
        (folder / name).rename(folder / f".{name}")
    async with files(url, folder) as one:
        assert (versions(one), problems(one)) == (before, ["GC011 /"])
    say(folder, "other.yaml", limited("somebody", 1))
    async with files(url, folder) as one:
        assert (versions(one), problems(one)) == (before, ["GC011 /"])
        assert "none of the" in one.plane.problems()[0].message
    async with files(url, folder, allow_empty=True) as one:
        assert tenants(one) == ["somebody"]


async def test_an_empty_directory_is_refused_where_the_store_is_empty_too(url: str, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(Refused, match="holds no documents"):
        async with files(url, tmp_path / "nothing"):
            pass


async def test_two_servers_with_the_same_files_write_them_once(url: str, folder: Path) -> None:
    async with files(url, folder) as one, files(url, folder) as other:
        for count in range(11, 15):
            say(folder, "acme.yaml", limited("acme", count))
            await until(lambda count=count: {requests(one, "acme"), requests(other, "acme")} == {count}, "both")  # type: ignore[misc]
        await one.write(put(service("more")), By("dana", "api"))
        await until(lambda: "more" in other.plane.catalog.services, "the other")
        assert versions(one) == versions(other)
        assert [revision.changed for revision in await one.store.revisions()] == [0, 1, 1, 1, 1, 0]
