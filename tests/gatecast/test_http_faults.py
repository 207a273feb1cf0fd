"""What breaks or is abused, as a caller of the HTTP API meets it: floods, two servers at once, a store that is away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ledgers import limited, running
from operators import Operator, operator
from registries import registry

from gatecast.admission import EACH
from tenants.errors import Unavailable
from tenants.sources.registry import Limits
from tenants.store import Full, Store

ACME = "/documents/Tenant/acme"
ANY = {"if-match": "*"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Operator]:
    async with operator(tmp_path) as made:
        yield made


async def statuses(here: Operator, method: str, path: str, count: int, **more: Any) -> list[int]:
    """So many of the same request at once."""
    asked = (here.http.request(method, f"/api/v1{path}", **more) for _ in range(count))
    return [answer.status_code for answer in await asyncio.gather(*asked)]


async def test_a_flood_of_webhooks_is_few_syncs_and_few_entries_of_the_audit(here: Operator) -> None:
    calm = Limits(every=3600.0, first=3600.0, floor=0.05, total=5.0)
    async with registry(limited("gamma", 1)) as there, running(here.ledger, there.source(limits=calm)):
        there.documents = [limited("gamma", 2)]
        before = len(there.asked)
        assert set(await statuses(here, "POST", "/webhooks/registry", 300)) == {200}
        assert here.plane.catalog.tenants["gamma"].policies["rate_limit"]["requests"] == 2
        assert len(there.asked) - before <= 8
        assert len([one for one in await here.store.audit.entries(limit=100) if one.action == "sync"]) <= 4


async def test_a_flood_of_changes_of_one_tenant_is_told_to_wait_and_another_tenant_goes_on(here: Operator) -> None:
    flood = asyncio.gather(*(
        here.http.put(f"/api/v1{ACME}", json=limited("acme", n), headers=ANY) for n in range(1, 1001)
    ))  # fmt: skip
    await asyncio.sleep(0)
    done = (await here.ask("PUT", "/documents/Tenant/beta", 200, limited("beta", 1), headers=ANY)).json()
    answers = await flood
    busy = [one for one in answers if one.status_code == 429]
    assert {one.status_code for one in answers} == {200, 429}
    assert {(one.json()["error"]["code"], one.headers["retry-after"]) for one in busy} == {("busy", "1")}
    assert done["revision"] <= here.ledger.revision
    assert len(answers) - len(busy) >= EACH


async def test_of_two_servers_that_change_one_version_of_a_document_one_wins(tmp_path: Path) -> None:
    async with operator(tmp_path) as one, operator(tmp_path, text="") as other:
        etag = await one.etag()
        assert await other.etag() == etag
        asked = (
            server.http.put(f"/api/v1{ACME}", json=limited("acme", n), headers={"if-match": etag})
            for n, server in enumerate((one, other, one, other), 1)
        )
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
        (won,) = [answer.headers["etag"] for answer in answers if answer.status_code == 200]
        assert {answer.headers["etag"] for answer in answers} == {won}
        assert await one.etag() == await other.etag() == won
        outcomes = [entry.outcome for entry in await one.store.audit.entries(limit=4)]
        assert (outcomes.count("done"), outcomes.count("refused")) == (1, 3)


async def test_a_full_disk_and_a_store_that_is_away_are_told_and_serving_goes_on(
    here: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here.plane.hub.snapshots["edge"]
    for error, status, code in ((Full("full"), 507, "store_full"), (Unavailable("away"), 503, "unavailable")):

        async def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(Store, "commit", fails)
        await here.refused("PUT", ACME, status, code, limited("acme", 1), headers=ANY)
    assert here.plane.hub.snapshots["edge"] is before
    monkeypatch.undo()
    await here.ask("PUT", ACME, 200, limited("acme", 1), headers=ANY)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not_json"), (b"{", 400, "not_json"), (b"[]", 422, "invalid_body"), (b"{}", 422, "invalid_body"),
        (b'{"documents":' + b"[" * 60 + b"]" * 60 + b"}", 400, "too_deep"),
        (b'{"documents":3}', 422, "invalid_body"), (b'{"documents":[3]}', 422, "invalid_body"),
        (b'{"documents":[],"x":1}', 422, "invalid_body"),
        (b'{"documents":[{"id":"acme"}]}', 422, "refused"),
        (b'{"documents":[{"kind":"Tenant","id":"acme","x":1}]}', 422, "invalid_documents"),
        (b'{"documents":[{"kind":"Tenant","id":"acme","hosts":5}]}', 422, "invalid_documents"),
    ],
)  # fmt: skip
async def test_many_documents_that_are_none_are_refused(body: bytes, status: int, code: str, here: Operator) -> None:
    revision = here.ledger.revision
    headers = {"content-type": "application/json"}
    answer = await here.http.post("/api/v1/documents:apply", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text[:500]
    assert here.ledger.revision == revision


async def test_a_clock_that_jumps_leaves_order_and_chain(here: Operator) -> None:
    for n, year in enumerate((2033, 2001, 2065), 1):
        here.store.clock = lambda year=year: datetime(year, 1, 1, tzinfo=UTC)  # type: ignore[misc]
        await here.ask("PUT", ACME, 200, limited("acme", n), headers=ANY)
    page = (await here.ask("GET", "/revisions", limit=3)).json()["revisions"]
    assert [(one["number"], one["at"][:4]) for one in page] == [(4, "2065"), (3, "2001"), (2, "2033")]
    assert (await here.ask("GET", "/audit/verify")).json()["problems"] == []
    assert (await here.ask("GET", ACME)).json()["document"]["policies"]["rate_limit"]["requests"] == 3
