"""A settings registry beside the store: polled by ETag, asked at once, believed with care. A real HTTP server."""

import asyncio
import hashlib
import hmac
from pathlib import Path

import pytest
from ledgers import API, BASICS, drop, ledger, limited, problems, put, requests, running, tenants, until
from registries import HASTY, QUICK, TOKEN, registry
from worlds import tenant

from tenants.documents import Key
from tenants.sources.listing import Caution
from tenants.sources.registry import Limits, Registry
from tenants.sources.webhook import signed
from tenants.store import By

RARE = Limits(every=3600.0, first=3600.0, floor=0.0, total=5.0)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


async def test_what_it_lists_is_a_revision_of_its_own_and_a_change_another(url: str) -> None:
    async with registry(limited("acme", 1)) as there, ledger(url, *BASICS) as one, running(one, there.source()):
        assert (tenants(one), requests(one, "acme")) == (["acme"], 1)
        there.documents = [limited("acme", 2), limited("beta", 1)]
        await until(lambda: tenants(one) == ["acme", "beta"], "the change")
        (newest, *_) = await one.store.revisions()
        assert (newest.author, newest.source, newest.created, newest.changed) == ("registry", "registry", 1, 1)
        assert (await one.store.document(Key("Tenant", "acme"))).body == limited("acme", 2)
        now = len(there.asked)
        await until(lambda: len(there.asked) > now + 2, "more looks")
        assert set(there.asked[now + 1 :]) == {304}
        assert set(there.seen) == {f"Bearer {TOKEN}"}
        assert one.revision == 3


async def test_what_it_forgets_stays_for_a_while_and_goes_then_and_comes_back(url: str) -> None:
    async with (
        registry(limited("acme", 1), limited("beta", 1)) as there,
        ledger(url, *BASICS) as one,
        running(one, there.source(limits=RARE, caution=Caution(answers=3, seconds=0.0))),
    ):
        there.documents = [limited("acme", 1)]
        for count in (1, 2):
            await one.sync(API)
            assert tenants(one) == ["acme", "beta"], count
        await one.sync(API)
        assert tenants(one) == ["acme"]
        there.documents.append(limited("beta", 5))
        await one.sync(API)
        assert requests(one, "beta") == 5


async def test_a_restart_does_not_forget_what_is_missing_and_writes_nothing_anew(url: str) -> None:
    care = Caution(answers=3, seconds=0.0)
    async with registry(limited("acme", 1), limited("beta", 1)) as there:
        async with ledger(url, *BASICS) as one, running(one, there.source(limits=RARE, caution=care)):
            there.documents = [limited("acme", 1)]
            await one.sync(API)
        async with ledger(url) as one, running(one, there.source(limits=RARE, caution=care)):
            assert (tenants(one), one.revision) == (["acme", "beta"], 2)
            await one.sync(API)
            assert tenants(one) == ["acme", "beta"]
            await one.sync(API)
            assert tenants(one) == ["acme"]


async def test_a_registry_that_fails_changes_nothing_and_is_told(url: str) -> None:
    async with registry(limited("acme", 1)) as there, ledger(url, *BASICS) as one, running(one, there.source()):
        for status, body, words in (
            (500, "", "it answers 500"),
            (302, "", "it answers 302"),
            (200, "<html>", "is not JSON"),
            (200, '["a"]', "is not a list of documents"),
            (200, "[" * 100_000, "is not JSON"),
        ):
            there.status, there.body = status, body
            await until(lambda words=words: words in one.sources()[0].last_error, words)  # type: ignore[misc]
            assert tenants(one) == ["acme"]
        there.status, there.body = 200, ""
        await until(lambda: not one.sources()[0].last_error, "the registry to be back")
        assert one.revision == 2
        (state,) = one.sources()
        assert (state.name, state.kind, state.documents) == (f"http://127.0.0.1:{there.port}/settings", "registry", 1)
        assert state.next


async def test_an_answer_that_is_too_large_is_given_up(url: str) -> None:
    small = Limits(every=0.05, first=0.02, floor=0.0, total=5.0, size=100)
    async with registry(*(limited(f"t{n}", 1) for n in range(50))) as there, ledger(url, *BASICS) as one:
        async with running(one, there.source(limits=small)):
            await until(lambda: "larger than" in one.sources()[0].last_error, "the words")
        assert tenants(one) == []


async def test_when_most_is_missing_nothing_goes_and_it_is_told(url: str) -> None:
    many = [limited(f"t{n:02}", 1) for n in range(20)]
    async with registry(*many) as there, ledger(url, *BASICS) as one, running(one, there.source()):
        there.documents = many[:5]
        await until(lambda: problems(one) == ["GC012 /"], "the problem")
        now = len(there.asked)
        await until(lambda: len(there.asked) > now + HASTY.answers + 1, "more looks")
        assert len(tenants(one)) == 20
        there.documents = many[:18]
        await until(lambda: len(tenants(one)) == 18, "what is missing by now to go")
        assert problems(one) == []


async def test_it_does_not_overwrite_operators_nor_they_it(url: str) -> None:
    async with registry(limited("acme", 1), tenant("beta", colour=1)) as there, ledger(url, *BASICS) as one:
        await one.write(put(limited("acme", 7)), API)
        async with running(one, there.source(limits=RARE)):
            assert sorted(problems(one)) == ["GC101 Tenant/beta", "GC226 Tenant/acme"]
            assert requests(one, "acme") == 7
            await one.write(drop("acme"), API)
            await until(lambda: tenants(one) == ["acme"] and requests(one, "acme") == 1, "the registry's turn")


async def test_a_restore_over_it_pins_until_it_is_unpinned(url: str) -> None:
    async with (
        registry(limited("acme", 1)) as there,
        ledger(url, *BASICS) as one,
        running(one, there.source(limits=RARE)),
    ):
        there.documents = [limited("acme", 2)]
        await one.sync(API)
        await one.restore(2, API)
        assert requests(one, "acme") == 1
        await one.sync(API)
        assert (requests(one, "acme"), problems(one)) == (1, ["GC227 Tenant/acme"])
        await one.unpin([Key("Tenant", "acme")], API)
        await until(lambda: requests(one, "acme") == 2, "the registry's turn")
        assert problems(one) == []


async def test_a_webhook_has_it_look_at_once_and_a_flood_of_them_looks_few_times(url: str) -> None:
    calm = Limits(every=3600.0, first=3600.0, floor=0.2, total=5.0)
    async with (
        registry(limited("acme", 1)) as there,
        ledger(url, *BASICS) as one,
        running(one, there.source(limits=calm)),
    ):
        there.documents = [limited("acme", 2)]
        await asyncio.gather(*(one.sync(By("registry", "registry", "webhook")) for _ in range(1000)))
        assert requests(one, "acme") == 2
        assert len(there.asked) == 2


async def test_two_syncs_at_once_are_one(url: str) -> None:
    async with (
        registry(limited("acme", 1)) as there,
        ledger(url, *BASICS) as one,
        running(one, there.source(limits=RARE)),
    ):
        before = len(there.asked)
        await asyncio.gather(*(one.sync(API) for _ in range(20)))
        assert len(there.asked) == before + 1


async def test_the_token_and_the_password_of_its_url_are_shown_nowhere() -> None:
    source = Registry(f"https://dana:{TOKEN}@registry.invalid/settings?key={TOKEN}", limits=QUICK)
    async for _found in source.changes(()):
        break
    assert source.name == "https://registry.invalid/settings"
    assert source.trouble
    assert TOKEN not in source.trouble


def test_a_webhook_is_believed_with_the_secret_alone() -> None:
    body = b'{"changed": true}'
    sign = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    good: tuple[dict[str, str], ...] = ({"x-gatecast-signature": sign}, {"x-hub-signature-256": sign.upper()})
    bad: tuple[dict[str, str], ...] = (
        {}, {"authorization": "Bearer secret"}, {"x-gatecast-signature": "sha256="},
        {"x-gatecast-signature": sign[:-1] + "x"}, {"x-gatecast-signature": "é"},
    )  # fmt: skip
    assert all(signed("secret", headers, body) for headers in good)
    assert not any(signed("secret", headers, body) for headers in bad)
    assert not signed("secret", {"x-gatecast-signature": sign}, body + b" ")
    assert not any(signed("other", headers, body) for headers in good)
