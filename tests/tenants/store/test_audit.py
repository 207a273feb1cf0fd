"""The audit on both engines: everything is in it, nothing can be taken out unnoticed, no secret gets in."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from stores import DANA, FILE, Clock, drop, key, put, versions

from tenants.errors import GatecastError, Refused
from tenants.store import ABSENT, By, Foreign, Head, Keep, Stale, Store
from tenants.store.chain import Check, parse

CANARY = "c4n4ry-5ecret"


async def test_an_entry_says_who_did_what_when_from_where_why_and_what_came_of_it(store: Store) -> None:
    await store.commit([put("beta")], FILE)
    await store.commit([put(n=1)], DANA, action="PUT document")
    entry, _first = await store.audit.entries()
    assert (entry.seq, entry.at, entry.outcome, entry.revision) == (2, "2026-11-20T12:00:00.000000Z", "done", 2)
    assert (entry.actor, entry.source, entry.origin, entry.request_id) == ("dana", "api", "192.0.2.7", "req-1")
    assert (entry.action, entry.target, entry.reason) == ("PUT document", "Tenant/acme", "because")
    assert json.loads(entry.details) == {"created": 1, "changed": 0, "deleted": 0, "documents": ["Tenant/acme"]}


async def test_refused_attempts_are_in_it_though_nothing_else_is_left_of_them(store: Store) -> None:
    await store.commit([put(n=1)], FILE)
    for writes, error in (([put("b"), put(n=2)], Foreign), ([put("b"), put(n=1, expected=ABSENT)], Stale)):
        with pytest.raises(error):
            await store.commit(writes, DANA)
        entry = (await store.audit.entries())[0]
        assert (entry.outcome, entry.target, entry.revision) == ("refused", "2 documents", None)
        assert json.loads(entry.details)["error"] == error.__name__
    with pytest.raises(Refused):
        await store.restore(99, DANA)
    assert (await store.audit.entries())[0].action == "revision restore"
    assert (await store.audit.verify()).problems == ()


async def test_others_record_what_they_saw(store: Store) -> None:
    head = await store.audit.record(
        By("?", "api", origin="203.0.113.9"), "log in", "api", "refused", {"why": "no token"}
    )
    assert await store.audit.head() == head
    assert head.seq == 1
    (entry,) = await store.audit.entries(outcome="refused", action="log in", actor="?")
    assert entry.origin == "203.0.113.9"
    assert await store.audit.entries(actor="dana") == ()
    with pytest.raises(Refused, match="an outcome is one of"):
        await store.audit.record(DANA, "log in", "api", "perhaps")


async def test_no_secret_gets_in(store: Store) -> None:
    by = By("dana", "api", f"see https://user:{CANARY}@wiki.example/1")
    details = {"token": CANARY, "dsn": f"postgresql://u:{CANARY}@db/x", "typed": SecretStr(CANARY), "n": 1}
    await store.audit.record(by, "log in", "api", "done", details)
    await store.commit([put(policies={"headers": {"request": {"set": {"authorization": CANARY}}}})], by)
    _token, text_shown = await store.tokens.create("ci", "viewer", by)
    lines = "\n".join([line async for line in store.audit.export()])
    assert CANARY not in lines
    assert text_shown.split("_", 2)[2] not in lines
    assert lines.count("\n") == 2


async def test_the_export_is_lines_of_json_that_check_by_themselves(store: Store) -> None:
    await versions(store, count=7)
    lines = [line async for line in store.audit.export()]
    check = Check()
    check.read(parse(line) for line in lines)
    check.end(await store.audit.head())
    assert (check.count, check.found) == (7, [])
    assert [parse(line).seq async for line in store.audit.export(after=5)] == [6, 7]


async def test_entries_are_read_backwards_in_parts(store: Store) -> None:
    await versions(store, count=5)
    assert [one.seq for one in await store.audit.entries(limit=2)] == [5, 4]
    assert [one.seq for one in await store.audit.entries(before=3)] == [2, 1]


async def test_order_and_chain_hold_while_the_clock_jumps(store: Store, clock: Clock) -> None:
    for hours in (0, -5, 48, -1000):
        clock.move(hours=hours)
        await store.audit.record(DANA, "look", "api", "done")
    assert [one.seq for one in await store.audit.entries()] == [4, 3, 2, 1]
    assert (await store.audit.verify()).problems == ()


async def tamper(store: Store, *sql: str) -> None:
    """What somebody with full rights on the database could do."""
    off = "ALTER TABLE audit DISABLE TRIGGER ALL" if store.database.postgres else "DROP TRIGGER IF EXISTS audit_no_{}"
    async with store.database.writing() as connection:
        for verb in ("update", "delete"):
            await connection.execute(text(off.format(verb)))
        for one in sql:
            await connection.execute(text(one))


@pytest.mark.parametrize("sql", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE seq = 2"])
async def test_the_database_refuses_to_change_the_audit(store: Store, sql: str) -> None:
    await versions(store)
    with pytest.raises(Exception, match="append-only"):
        async with store.database.writing() as connection:
            await connection.execute(text(sql))
    assert (await store.audit.verify()).problems == ()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (["UPDATE audit SET actor = 'eve' WHERE seq = 2"], ["entry 2 was edited"]),
        (["UPDATE audit SET details = '{}' WHERE seq = 1"], ["entry 1 was edited"]),
        (["DELETE FROM audit WHERE seq = 2"], ["entry 2 is missing", "revision 2 is not what the audit says it was"]),
        (["DELETE FROM audit WHERE seq = 4"], ["entries 4 to 4 are missing at the end"]),
        (["DELETE FROM heads"], ["the store has lost the row"]),
        (["UPDATE changes SET after_text = '[]' WHERE revision = 2"], ["revision 2 is not what the audit"]),
        (["UPDATE changes SET before_source = 'x' WHERE revision = 3"], ["revision 3 is not what the audit"]),
        (["UPDATE revisions SET author = 'eve' WHERE number = 3"], ["revision 3 is not what the audit"]),
        (["UPDATE revisions SET at = '2020' WHERE number = 3"], ["revision 3 is not what the audit"]),
        (
            ["DELETE FROM changes WHERE revision = 2", "DELETE FROM revisions WHERE number = 2"],
            ["revision 2 is missing"],
        ),
        (["UPDATE documents SET text = '[]' WHERE id = 'acme'"], ["Tenant/acme is not what its last revision"]),
        (["DELETE FROM documents"], ["Tenant/acme is not what its last revision made it"]),
        (
            ["INSERT INTO documents VALUES ('Tenant', 'eve', NULL, '{}', 'api', 3)"],
            ["Tenant/eve came from no revision"],
        ),
    ],
)
async def test_what_was_tampered_with_is_found(store: Store, sql: list[str], said: list[str]) -> None:
    await versions(store, count=4)
    await tamper(store, *sql)
    try:
        found: Any = (await store.audit.verify()).problems
    except GatecastError as error:
        found = [str(error)]
    for one in said:
        assert any(line.startswith(one) for line in found), found


async def test_a_chain_that_was_written_anew_is_told_by_a_head_that_was_noted(store: Store) -> None:
    await versions(store, count=3)
    noted = await store.audit.head()
    assert (await store.audit.verify(noted)).problems == ()
    assert (await store.audit.verify(Head(3, "0" * 64))).problems
    assert (await store.audit.verify(Head(9, noted.hash))).problems == ("entry 9 was noted, and the chain ends with 3",)


async def test_forgetting_revisions_leaves_the_audit_whole(store: Store) -> None:
    await versions(store, count=5)
    await store.commit([drop(), put("beta")], DANA)
    await store.prune(Keep(count=2), DANA)
    verdict = await store.audit.verify()
    assert (verdict.problems, verdict.entries) == ((), 7 if len(await store.revisions()) == 2 else 6)
    assert (await store.document(key("beta"))).revision == 6
