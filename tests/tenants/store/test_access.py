"""API tokens and idempotency keys, on both engines."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from stores import DANA, FILE, Clock, drop, key, put, statements

from tenants.errors import Refused
from tenants.store import ROLES, Answer, Commit, Keep, KeyReused, NotFound, Once, Stale, StillRunning, Store


def told(commit: Commit) -> Answer:
    return Answer(201, f'{{"revision": {commit.revision}, "made": {str(commit.made).lower()}}}')


ONCE = Once("dana POST /documents:apply", "key-1", "hash-1", told)


@pytest.mark.parametrize("role", ROLES)
async def test_a_token_is_verified_by_its_text_alone(store: Store, role: str) -> None:
    token, shown = await store.tokens.create("ci", role, DANA)
    found = await store.tokens.verify(shown)
    assert found
    assert (found.id, found.name, found.role, found.author) == (token.id, "ci", role, "dana")
    assert [one.id for one in await store.tokens.all()] == [token.id]


async def test_the_secret_is_nowhere_in_the_database(store: Store) -> None:
    _token, shown = await store.tokens.create("ci", "admin", DANA)
    async with store.database.reading() as connection:
        rows = (await connection.execute(text("SELECT * FROM tokens"))).all()
    assert shown.split("_", 2)[2] not in str(rows)


async def test_any_other_text_is_no_token(store: Store) -> None:
    token, shown = await store.tokens.create("ci", "admin", DANA)
    other, _shown = await store.tokens.create("ci", "viewer", DANA)
    prefix, _, secret = shown.split("_", 2)
    wrong = ["", "x", shown[:-1], shown + "x", "\0_\0_\0"]
    wrong += [f"{prefix}_{other.id}_{secret}", f"{prefix}_{token.id}_", f"x_{token.id}_{secret}"]
    for text_given in [*wrong, "gatecast_%_x", "gatecast_ü_x", "gatecast_" + "9" * 5000 + "_\ud800"]:
        assert await store.tokens.verify(text_given) is None


async def test_a_revoked_or_expired_token_is_none_and_still_listed(store: Store, other: Store, clock: Clock) -> None:
    first, shown = await store.tokens.create("ci", "admin", DANA)
    _second, short = await store.tokens.create("ci", "admin", DANA, timedelta(hours=1))
    assert (await store.tokens.revoke(first.id, DANA)).revoked
    again = await store.tokens.revoke(first.id, DANA)
    assert again.revoked == "2026-11-20T12:00:00.000000Z"
    assert await other.tokens.verify(shown) is None
    assert await other.tokens.verify(short)
    clock.move(hours=2)
    assert await other.tokens.verify(short) is None
    assert len(await store.tokens.all()) == 2
    with pytest.raises(NotFound):
        await store.tokens.revoke("nobody", DANA)
    actions = [(entry.action, entry.outcome) for entry in await store.audit.entries()]
    tried = [("token revoke", "failed"), ("token revoke", "done"), ("token create", "done"), ("token create", "done")]
    assert actions == tried
    assert (await store.audit.verify()).problems == ()


async def test_the_last_use_is_written_once_a_minute(store: Store, clock: Clock) -> None:
    _token, shown = await store.tokens.create("ci", "admin", DANA)
    with statements(store) as first:
        await store.tokens.verify(shown)
    clock.move(seconds=59)
    with statements(store) as second:
        await store.tokens.verify(shown)
    clock.move(seconds=2)
    found = await store.tokens.verify(shown)
    assert found
    assert found.used == "2026-11-20T12:01:01.000000Z"
    writes = [[one for one in seen if one.startswith("UPDATE")] for seen in (first, second)]
    assert [len(one) for one in writes] == [1, 0]


async def test_an_unknown_role_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="one of viewer, editor, admin"):
        await store.tokens.create("ci", "root", DANA)


async def test_the_same_request_twice_has_one_effect_and_one_answer(store: Store, other: Store) -> None:
    first = await store.commit([put(n=1)], DANA, once=ONCE)
    assert first.answer == Answer(201, '{"revision": 1, "made": true}')
    await store.commit([put(n=2)], DANA)
    again = await other.commit([put(n=1)], DANA, once=ONCE)
    assert (again.replayed, again.answer, again.revision) == (True, first.answer, 2)
    assert (await store.document(key())).body["n"] == 2


async def test_the_same_request_twice_at_once_has_one_effect(store: Store, other: Store) -> None:
    stores = [store, other] * 5
    done = await asyncio.gather(*(one.commit([put(n=n)], DANA, once=ONCE) for n, one in enumerate(stores)))
    assert len({one.answer for one in done}) == 1
    assert [one.replayed for one in done].count(False) == 1
    assert await store.revision() == 1


async def test_an_effect_that_failed_leaves_no_answer_behind(store: Store) -> None:
    with pytest.raises(Stale):
        await store.commit([put(n=1)], DANA, once=ONCE, if_revision=9)
    assert (await store.commit([put(n=1)], DANA, once=ONCE)).made
    with pytest.raises(ZeroDivisionError):
        await store.commit([put(n=2)], DANA, once=Once("a", "b", "c", lambda commit: Answer(1 // 0, "")))
    assert await store.revision() == 1


async def test_a_request_without_effect_is_answered_the_same_again(store: Store) -> None:
    first = await store.commit([drop()], DANA, once=ONCE)
    await store.commit([put(n=1)], DANA)
    assert (await store.commit([drop()], DANA, once=ONCE)).answer == first.answer
    assert (await store.document(key())).body["n"] == 1


async def test_a_key_belongs_to_its_scope_and_to_one_request(store: Store) -> None:
    await store.commit([put(n=1)], DANA, once=ONCE)
    with pytest.raises(KeyReused, match="'key-1' came before with another request"):
        await store.commit([put(n=1)], DANA, once=Once(ONCE.scope, ONCE.key, "hash-2"))
    done = await store.restore(0, DANA, once=Once("eve", ONCE.key, "hash-2"))
    assert (done.made, done.replayed) == (True, False)


@pytest.mark.parametrize("given", ["", "x" * 256])
def test_a_key_has_a_length(given: str) -> None:
    with pytest.raises(Refused, match="1 to 255 characters"):
        Once("dana", given, "hash")


async def test_a_key_is_kept_for_a_day(store: Store, clock: Clock) -> None:
    await store.commit([put(n=1)], DANA, once=ONCE)
    clock.move(hours=23)
    assert (await store.commit([put(n=1)], DANA, once=ONCE)).replayed
    clock.move(hours=2)
    assert not (await store.commit([put(n=1)], DANA, once=ONCE)).replayed


async def test_a_long_request_is_running_until_it_has_an_answer(store: Store, other: Store, clock: Clock) -> None:
    assert await store.answers.begin(ONCE) is None
    with pytest.raises(StillRunning, match="still running"):
        await other.answers.begin(ONCE)
    await store.answers.finish(ONCE, Answer(202, "{}"))
    assert await other.answers.begin(ONCE) == Answer(202, "{}")

    failed, dead = Once("a", "1", "h"), Once("a", "2", "h")
    await store.answers.begin(failed)
    await store.answers.forget(failed)
    assert await store.answers.begin(failed) is None
    await store.answers.begin(dead)
    clock.move(minutes=6)
    assert await other.answers.begin(dead) is None


async def test_answers_are_forgotten_after_a_day(store: Store, clock: Clock) -> None:
    await store.commit([put(n=1)], FILE, once=ONCE)
    clock.move(hours=25)
    await store.prune(Keep(), DANA)
    async with store.database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM answers"))).scalar_one() == 0
