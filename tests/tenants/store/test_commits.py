"""Commits on both engines: all or nothing, one revision each, nothing merged silently, a fixed number of statements."""

import asyncio
from dataclasses import replace

import pytest
from stores import DANA, FILE, Clock, contents, drop, key, put, statements, versions

from tenants.documents import Key
from tenants.errors import Refused
from tenants.store import ABSENT, PRESENT, Expected, Foreign, Keep, NotFound, Stale, Store


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.revision() == 0
    assert (await store.current()).documents == ()
    assert await store.revisions() == ()
    assert (await store.audit.verify()).problems == ()


async def test_a_commit_is_one_revision_with_all_that_is_known_about_it(store: Store) -> None:
    done = await store.commit([put(n=1), put("beta")], DANA)
    assert (done.revision, done.made, len(done.changes)) == (1, True, 2)
    (revision,) = await store.revisions()
    assert (revision.number, revision.at) == (1, "2026-11-20T12:00:00.000000Z")
    assert (revision.author, revision.source) == ("dana", "api")
    assert (revision.reason, revision.request_id) == ("because", "req-1")
    assert (revision.created, revision.changed, revision.deleted, revision.restores) == (2, 0, 0, None)

    await store.commit([put(n=2), drop("beta"), put("gamma")], DANA)
    revision, changes = await store.changes(2)
    assert (revision.created, revision.changed, revision.deleted) == (1, 1, 1)
    assert [(change.key.id, change.what) for change in changes] == [
        ("acme", "changed"),
        ("beta", "deleted"),
        ("gamma", "created"),
    ]
    acme = changes[0]
    assert acme.before
    assert acme.after
    assert (acme.before.body["n"], acme.before.revision, acme.after.body["n"], acme.after.revision) == (1, 1, 2, 2)


async def test_a_document_is_read_back_as_it_was_written(store: Store) -> None:
    text = 'zero \0 half \ud800 umlaut ü "quoted"\n'
    odd = {"n": [1, 1.5, None, True, 10**30], "text": text, "deep": {"b": {}, "a": []}}
    await store.commit([put(**odd)], DANA)
    found = await store.document(key())
    assert found.body == {"kind": "Tenant", "id": "acme", **odd}
    assert found.etag == found.etag.lower()
    assert len(found.etag) == 32
    with pytest.raises(NotFound, match="there is no Tenant/beta"):
        await store.document(key("beta"))


async def test_names_and_reasons_of_any_text_are_kept(store: Store) -> None:
    await store.commit([put()], replace(DANA, author="Zoë\0\ud800", reason="'; DROP TABLE documents; -- %s :x"))
    (revision,) = await store.revisions()
    assert (revision.author, revision.reason) == ("Zoë\ufffd?", "'; DROP TABLE documents; -- %s :x")
    assert (await store.audit.verify()).problems == ()


async def test_nothing_new_makes_no_revision(store: Store) -> None:
    await store.commit([put(n=1)], DANA)
    done = await store.commit([put(n=1), drop("gone")], DANA)
    assert (done.revision, done.made, done.changes) == (1, False, ())
    assert (await store.commit([], DANA)).revision == 1
    assert len(await store.revisions()) == 1
    assert len(await store.audit.entries()) == 1


async def test_a_refused_write_takes_the_others_with_it(store: Store) -> None:
    await store.commit([put(n=1)], DANA)
    before = contents(await store.current())
    for writes in ([put("beta"), put(n=2, expected=ABSENT)], [put("beta"), drop("gone", PRESENT)]):
        with pytest.raises(Stale):
            await store.commit(writes, DANA)
    assert contents(await store.current()) == before
    assert await store.revision() == 1


async def test_a_stale_etag_or_revision_is_refused_and_names_both(store: Store) -> None:
    await versions(store, count=2)
    now = await store.document(key())
    with pytest.raises(Stale, match=f"expected old, there is {now.etag}"):
        await store.commit([put(n=3, expected=Expected(("old",)))], DANA)
    with pytest.raises(Stale, match="expected 1, there is 2"):
        await store.commit([put(n=3)], DANA, if_revision=1)
    done = await store.commit([put(n=3, expected=Expected((now.etag,)))], DANA, if_revision=2)
    assert done.revision == 3


async def test_two_writers_with_the_same_expectation_one_wins_and_both_are_in_the_audit(
    store: Store, other: Store
) -> None:
    await store.commit([put(n=0)], DANA)
    expected = Expected(((await store.document(key())).etag,))
    eve = replace(DANA, author="eve")
    found = await asyncio.gather(
        store.commit([put(n=1, expected=expected)], DANA),
        other.commit([put(n=2, expected=expected)], eve),
        return_exceptions=True,
    )
    assert [type(one) for one in found].count(Stale) == 1
    assert await store.revision() == 2
    outcomes = {(entry.actor, entry.outcome) for entry in await store.audit.entries(limit=2)}
    assert {outcome for _actor, outcome in outcomes} == {"done", "refused"}
    assert len(outcomes) == 2
    assert (await store.audit.verify()).problems == ()


async def test_many_writers_without_expectation_leave_every_change_in_the_history(store: Store, other: Store) -> None:
    each = 15
    stores = [store, other] * each
    done = await asyncio.gather(*(one.commit([put(n=n), put(f"t{n}")], DANA) for n, one in enumerate(stores)))
    assert sorted(one.revision for one in done) == list(range(1, 2 * each + 1))
    before = None
    for number in range(1, 2 * each + 1):
        _revision, changes = await store.changes(number)
        acme = next(change for change in changes if change.key == key())
        assert (acme.before and acme.before.text) == before
        before = acme.after and acme.after.text
    assert (await store.audit.verify()).problems == ()


async def test_a_file_is_kept_out_of_what_operators_own_and_that_is_reported_and_audited(store: Store) -> None:
    await store.commit([put(n=1)], DANA)
    done = await store.commit([put(n=2), put("beta")], FILE)
    assert [change.key.id for change in done.changes] == ["beta"]
    assert [(one.key.id, one.why) for one in done.kept_out] == [("acme", "foreign")]
    again = await store.commit([put(n=2)], FILE)
    assert (again.made, again.revision, len(again.kept_out)) == (False, 2, 1)
    entry = (await store.audit.entries())[0]
    assert (entry.actor, entry.outcome, entry.revision) == ("file:a.yaml", "refused", None)
    assert '"kept_out":["Tenant/acme"]' in entry.details


async def test_an_operator_takes_over_what_a_file_gives_only_by_force(store: Store) -> None:
    await store.commit([put(n=1)], FILE)
    with pytest.raises(Foreign, match="take it over with force"):
        await store.commit([put(n=2)], DANA)
    await store.commit([put(n=2)], DANA, force=True)
    assert (await store.document(key())).source == "api"
    assert [one.why for one in (await store.commit([put(n=3)], FILE)).kept_out] == ["foreign"]


async def test_a_dry_run_says_what_would_be_and_leaves_no_trace(store: Store) -> None:
    await store.commit([put(n=1)], DANA)
    done = await store.commit([put(n=2), put("beta")], DANA, dry_run=True)
    assert (done.revision, done.made, [change.what for change in done.changes]) == (1, False, ["changed", "created"])
    with pytest.raises(Stale):
        await store.commit([put(n=2, expected=ABSENT)], DANA, dry_run=True)
    assert len((await store.current()).documents) == 1
    assert len(await store.audit.entries()) == 1


async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_store(store: Store) -> None:
    async def count() -> int:
        with statements(store) as seen:
            await store.commit([put(n=await store.revision())], DANA)
        return len(seen)

    await store.commit([put()], DANA)
    small = await count()
    await store.commit([put(f"t{n}") for n in range(3000)], DANA)
    assert await count() == small
    assert small <= 14


@pytest.mark.parametrize("size", [10, 900])
async def test_a_set_of_documents_takes_as_many_statements_as_one(store: Store, size: int) -> None:
    with statements(store) as one:
        await store.commit([put()], DANA)
    with statements(store) as many:
        await store.commit([put(f"t{n}") for n in range(size)], DANA)
    assert len(many) == len(one)


async def test_ten_thousand_documents_are_one_revision(store: Store) -> None:
    with statements(store) as seen:
        await store.commit([put(f"t{n}", organisation="foods") for n in range(10_000)], DANA)
    assert len(seen) < 40
    assert len((await store.since(0)).put) == 10_000
    assert (await store.revisions())[0].created == 10_000


async def test_documents_are_listed_by_name_kind_organisation_and_part_of_the_id(store: Store) -> None:
    await store.commit([put(f"t-{n}", organisation="foods" if n % 2 else "toys") for n in range(9)], DANA)
    await store.commit([put("a-1"), put("a1"), put("a_1".replace("_", "-b"))], DANA)
    first = await store.documents(limit=5)
    rest = await store.documents(limit=50, after=first[-1].key)
    names = [one.key.id for one in (*first, *rest)]
    assert names == sorted(names)
    assert len(names) == 12
    assert [one.key.id for one in await store.documents(organisation="foods")] == ["t-1", "t-3", "t-5", "t-7"]
    assert [one.key.id for one in await store.documents(part="-1")] == ["a-1", "t-1"]
    assert await store.documents(part="%") == ()
    assert await store.documents(kind="Service") == ()
    assert len(await store.documents(kind="Tenant", after=Key("Service", "z"))) == 12


async def test_history_is_read_backwards_of_a_document_and_of_an_author(store: Store) -> None:
    await versions(store, count=4)
    await store.commit([put("beta")], replace(DANA, author="eve"))
    assert [one.number for one in await store.revisions(limit=2)] == [5, 4]
    assert [one.number for one in await store.revisions(before=4)] == [3, 2, 1]
    assert [one.number for one in await store.revisions(key=key("beta"))] == [5]
    assert [one.number for one in await store.revisions(author="dana", limit=1)] == [4]
    with pytest.raises(NotFound):
        await store.changes(6)


async def test_order_is_by_number_whatever_the_clock_does(store: Store, clock: Clock) -> None:
    for days in (1, -30, 400, -800):
        clock.move(days=days)
        await versions(store, count=1)
        await store.commit([put(n=0)], DANA)
    assert [one.number for one in await store.revisions()] == list(range(8, 0, -1))
    assert (await store.since(6)).revision == 8
    assert (await store.audit.verify()).problems == ()
    assert await store.prune(Keep(count=100), DANA) == 0


async def test_a_cancelled_commit_leaves_nothing_half(store: Store) -> None:
    for turns in range(0, 60, 3):
        task = asyncio.create_task(store.commit([put(n=turns), put("beta", n=turns)], DANA))
        for _turn in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        one, other = (await store.current()).documents or (None, None)
        assert (one and one.body["n"]) == (other and other.body["n"])
    await store.commit([put(n=1000)], DANA)
    assert (await store.audit.verify()).problems == ()


async def test_an_unreadable_request_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="written twice"):
        await store.commit([put(), put()], DANA)
