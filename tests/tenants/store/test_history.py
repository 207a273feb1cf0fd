"""Any kept revision can be read, compared and restored, on both engines, whatever happened in between."""

import random
from datetime import timedelta

import pytest
from stores import DANA, FILE, REGISTRY, Clock, contents, drop, key, put, versions

from tenants.errors import Refused
from tenants.store import Documents, Keep, NotFound, Stale, Store, diffs

NO_AGE = timedelta()


async def history(store: Store, seed: int, length: int = 25) -> dict[int, Documents]:
    """Random changes, and what there was after each."""
    dice = random.Random(seed)
    seen = {0: await store.current()}
    for n in range(length):
        names = dice.sample(["a", "b", "c", "d", "e"], dice.randint(1, 4))
        writes = [drop(name) if dice.random() < 0.4 else put(name, n=n) for name in names]
        by = dice.choice([DANA, FILE])
        if dice.random() < 0.2 and len(seen) > 1:
            done = await store.restore(dice.choice(sorted(seen)), DANA)
        else:
            done = await store.commit(writes, by, force=by is DANA)
        seen[done.revision] = await store.current()
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_every_revision_reads_back_as_it_was_and_restores_to_the_same_bytes(store: Store, seed: int) -> None:
    seen = await history(store, seed)
    for number, then in seen.items():
        assert contents(await store.at(number)) == contents(then)
        assert [one.revision for one in (await store.at(number)).documents] == [one.revision for one in then.documents]
    for number in random.Random(seed).sample(sorted(seen), 8):
        done = await store.restore(number, DANA)
        assert contents(await store.current()) == contents(seen[number])
        assert done.made == ((await store.revision()) not in seen or done.changes != ())
        seen[done.revision] = await store.current()
    assert (await store.audit.verify()).problems == ()


@pytest.mark.parametrize("seed", range(3))
async def test_a_diff_leads_from_one_revision_to_another_both_ways(store: Store, seed: int) -> None:
    seen = await history(store, seed)
    dice = random.Random(seed)
    for _turn in range(10):
        one, other = dice.choice(sorted(seen)), dice.choice(sorted(seen))
        found = {stored.key: (stored.text, stored.source) for stored in seen[one].documents}
        for change in await store.diff(one, other):
            assert found.pop(change.key, None) == (change.before and (change.before.text, change.before.source))
            if change.after:
                found[change.key] = (change.after.text, change.after.source)
        assert found == {stored.key: (stored.text, stored.source) for stored in seen[other].documents}


@pytest.mark.parametrize("seed", range(3))
async def test_the_news_since_a_revision_lead_to_the_present(store: Store, seed: int) -> None:
    seen = await history(store, seed)
    for number, then in seen.items():
        news = await store.since(number)
        found = {stored.key: stored.text for stored in then.documents}
        for gone in news.gone:
            found.pop(gone, None)
        found |= {stored.key: stored.text for stored in news.put}
        assert found == {stored.key: stored.text for stored in (await store.current()).documents}
        assert (news.revision, news.whole) == (await store.revision(), False)


async def test_news_the_store_cannot_tell_are_everything(store: Store) -> None:
    await versions(store, count=5)
    assert (await store.since(5)).put == ()
    assert (await store.since(9)).whole  # a state this store never had: it was put back from a backup
    await store.prune(Keep(count=2, age=NO_AGE), DANA)
    assert not (await store.since(3)).whole
    news = await store.since(2)
    assert (news.whole, [one.body["n"] for one in news.put], news.revision) == (True, [5], 5)


async def test_a_restore_is_a_new_revision_with_a_reason(store: Store) -> None:
    await versions(store, count=3)
    with pytest.raises(Refused, match="needs a reason"):
        await store.restore(1, FILE)
    done = await store.restore(1, DANA)
    (revision, *_older) = await store.revisions()
    assert (done.revision, revision.number, revision.restores, revision.reason) == (4, 4, 1, "because")
    assert (await store.document(key())).body["n"] == 1
    entry = (await store.audit.entries())[0]
    assert (entry.action, entry.target, entry.reason) == ("revision restore", "revision/1", "because")


async def test_a_dry_run_of_a_restore_shows_the_documents_it_would_change(store: Store) -> None:
    await versions(store, count=2)
    await store.commit([put("beta")], DANA)
    done = await store.restore(1, FILE, dry_run=True)
    shown = [(one.key.id, one.what, [field.path for field in one.fields]) for one in diffs(done.changes)]
    assert shown == [("acme", "changed", ["n"]), ("beta", "deleted", [])]
    assert await store.revision() == 3


async def test_a_restore_expects_a_revision_that_exists_and_the_newest_one_that_was_seen(store: Store) -> None:
    await versions(store, count=2)
    for number in (3, -1):
        with pytest.raises(NotFound, match=f"there is no revision {number}"):
            await store.restore(number, DANA)
    with pytest.raises(Stale):
        await store.restore(1, DANA, if_revision=1)
    assert not (await store.restore(2, DANA)).made
    assert (await store.restore(0, DANA)).changes[0].what == "deleted"


@pytest.mark.parametrize("by", [FILE, REGISTRY], ids=["file", "registry"])
async def test_a_restore_over_a_file_or_registry_pins_until_unpinned(store: Store, by: object) -> None:
    assert isinstance(by, type(FILE))
    await versions(store, by=by, count=2)
    await store.commit([put("late")], by)
    await store.restore(1, DANA)
    assert [(str(pin.key), pin.author, pin.reason, pin.revision) for pin in await store.pins()] == [
        ("Tenant/acme", "dana", "because", 4),
        ("Tenant/late", "dana", "because", 4),
    ]
    acme = await store.document(key())
    assert (acme.pinned, acme.source, acme.body["n"]) == (True, by.source, 1)
    assert [one.pinned for one in (await store.since(3)).put] == [True]

    kept_out = (await store.commit([put(n=9), put("late"), put("other")], by)).kept_out
    assert [(one.key.id, one.why) for one in kept_out] == [("acme", "pinned"), ("late", "pinned")]
    assert (await store.document(key())).body["n"] == 1

    assert await store.unpin([key(), key("late"), key("never")], DANA) == 2
    assert not (await store.commit([put(n=9), put("late")], by)).kept_out
    assert (await store.document(key())).body["n"] == 9
    assert (await store.audit.entries(action="unpin"))[0].actor == "dana"


async def test_a_second_restore_renews_a_pin(store: Store) -> None:
    await versions(store, by=FILE, count=3)
    await store.restore(1, DANA)
    await store.restore(2, DANA)
    assert [pin.revision for pin in await store.pins()] == [5]


async def test_deleting_what_a_file_gives_pins_the_name(store: Store) -> None:
    await versions(store, by=FILE, count=1)
    await store.commit([drop()], DANA, force=True)
    assert (await store.commit([put(n=1)], FILE)).kept_out
    assert (await store.current()).documents == ()


async def test_retention_forgets_the_oldest_and_the_others_restore_as_before(store: Store) -> None:
    seen = await history(store, 7, length=30)
    last = await store.revision()
    gone = await store.prune(Keep(count=10, age=NO_AGE), DANA)
    assert gone == last - 10
    assert [one.number for one in await store.revisions(limit=100)] == list(range(last, last - 10, -1))
    assert (await store.audit.verify()).problems == ()
    with pytest.raises(NotFound, match=f"{last - 9} to {last} are"):
        await store.at(last - 10)
    for number in range(last - 9, last + 1):
        assert contents(await store.at(number)) == contents(seen[number])
        await store.restore(number, DANA)
        assert contents(await store.current()) == contents(seen[number])
    assert (await store.audit.verify()).problems == ()


async def test_retention_keeps_what_is_young_and_the_newest_always(store: Store, clock: Clock) -> None:
    for n in range(6):
        await store.commit([put(n=n)], DANA)
        clock.move(days=1)
    assert await store.prune(Keep(count=1, age=timedelta(days=3, hours=1)), DANA) == 3
    assert [one.number for one in await store.revisions()] == [6, 5, 4]
    clock.move(days=1000)
    assert await store.prune(Keep(count=0, age=timedelta(days=1)), DANA) == 2
    assert await store.prune(Keep(count=0, age=timedelta(days=1)), DANA) == 0
    assert [one.number for one in await store.revisions()] == [6]


async def test_a_clock_that_was_wrong_for_a_while_makes_no_hole_and_keeps_nothing_forever(
    store: Store, clock: Clock
) -> None:
    for days in (0, 5000, -5000, 0, 0):
        clock.move(days=days)
        await store.commit([put(days=days, n=await store.revision())], DANA)
    clock.move(days=200)
    assert await store.prune(Keep(count=2), DANA) == 3
    assert [one.number for one in await store.revisions()] == [5, 4]
