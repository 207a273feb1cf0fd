"""Revisions, differences, the way back, rollouts, audit, pins and sources over HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from operators import Operator, operator

from tenants.store import By, Write
from tenants.store.chain import parse

ACME = {"kind": "Tenant", "id": "acme"}
LIMIT = {**ACME, "policies": {"rate_limit": {"requests": 7, "per": "minute"}}}
REGISTRY = By("registry", "registry")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Operator]:
    async with operator(tmp_path) as made:
        yield made


async def test_revisions_are_listed_newest_first_and_say_who_did_what(here: Operator) -> None:
    for number in (1, 2, 3):
        await here.put({**LIMIT, "hosts": [f"a{number}.example"]}, "*", reason=f"for {number}")
    first = (await here.ask("GET", "/revisions", limit=2)).json()
    assert [(one["number"], one["reason"]) for one in first["revisions"]] == [(4, "for 3"), (3, "for 2")]
    rest = (await here.ask("GET", "/revisions", limit=2, cursor=first["next_cursor"])).json()
    assert [one["number"] for one in rest["revisions"]] == [2, 1]
    assert rest["next_cursor"] is None
    assert [one["number"] for one in (await here.ask("GET", "/revisions", author="setup")).json()["revisions"]] == [1]
    touched = (await here.ask("GET", "/revisions", kind="Tenant", id="beta")).json()["revisions"]
    assert [one["number"] for one in touched] == [1]
    await here.refused("GET", "/revisions", 404, "not_found", kind="Tenant")
    await here.refused("GET", "/revisions/99", 404, "not_found")
    for odd in ("-1", "x", "1.5"):
        await here.ask("GET", f"/revisions/{odd}", 404)
    await here.refused("GET", f"/revisions/{10**30}", 422, "invalid_parameter")


async def test_a_difference_is_of_documents_and_of_resources_either_way(here: Operator) -> None:
    await here.put(LIMIT, "*")
    await here.put({"kind": "Tenant", "id": "gamma"})
    found = (await here.ask("GET", "/revisions/1/diff/3")).json()
    assert [(one["id"], one["change"]) for one in found["documents"]] == [("acme", "changed"), ("gamma", "created")]
    routes = {(one["name"], one["change"]) for one in found["resources"] if one["type"] == "RDS"}
    assert routes == {("acme", "changed"), ("gamma", "created")}
    back = (await here.ask("GET", "/revisions/3/diff/1")).json()
    assert {(one["name"], one["change"]) for one in back["resources"] if one["type"] == "RDS"} == {
        ("acme", "changed"), ("gamma", "deleted")
    }  # fmt: skip
    assert (await here.ask("GET", "/revisions/1/diff/3", resources=False)).json()["resources"] == []
    assert (await here.ask("GET", "/revisions/2/diff/2")).json()["documents"] == []
    await here.refused("GET", "/revisions/1/diff/9", 404, "not_found")


async def test_going_back_is_a_new_revision_with_the_same_versions(here: Operator) -> None:
    versions = {kind: here.plane.hub.snapshots["edge"].version(kind) for kind in ("RDS", "CDS", "LDS", "SRDS")}
    await here.put(LIMIT, "*")
    await here.ask("DELETE", "/documents/Tenant/beta", headers={"if-match": "*"})
    dry = (await here.ask("POST", "/revisions/1:restore", 200, {"reason": "look"}, dry_run=True)).json()
    assert {(one["id"], one["change"]) for one in dry["changes"]} == {("acme", "changed"), ("beta", "created")}
    assert here.ledger.revision == 3
    await here.refused("POST", "/revisions/1:restore", 409, "stale_revision", {"reason": "x", "if_revision": 2})
    done = (await here.ask("POST", "/revisions/1:restore", 200, {"reason": "as before", "if_revision": 3})).json()
    assert done["revision"] == here.ledger.revision == 4
    assert versions == {kind: here.plane.hub.snapshots["edge"].version(kind) for kind in versions}
    detail = (await here.ask("GET", "/revisions/4")).json()
    assert (detail["restores"], detail["reason"]) == (1, "as before")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "force": True}, {"reason": 7}, []])
async def test_going_back_needs_a_reason_and_nothing_unknown(body: object, here: Operator) -> None:
    await here.refused("POST", "/revisions/1:restore", 422, "invalid_body", body)


async def test_going_back_twice_with_one_key_is_done_once(here: Operator) -> None:
    await here.put(LIMIT, "*")
    key = {"idempotency-key": "back"}
    first = await here.ask("POST", "/revisions/1:restore", 200, {"reason": "x"}, headers=key)
    again = await here.ask("POST", "/revisions/1:restore", 200, {"reason": "x"}, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"], here.ledger.revision) == (first.json(), "true", 3)
    await here.refused("POST", "/revisions/1:restore", 422, "idempotency_key_reused", {"reason": "y"}, headers=key)
    await here.refused("POST", "/revisions/77:restore", 404, "not_found", {"reason": "x"})


async def test_a_pin_is_shown_and_taken_away(here: Operator) -> None:
    await here.ledger.store.commit([Write.put({"kind": "Tenant", "id": "gamma"})], REGISTRY)
    await here.ledger.load()
    how: Any = {"headers": {"if-match": "*"}, "force": True}
    trial = (await here.ask("DELETE", "/documents/Tenant/gamma", **how, dry_run=True)).json()
    done = (await here.ask("DELETE", "/documents/Tenant/gamma", **how)).json()
    assert [one["changes"][0]["pinned"] for one in (trial, done)] == [True, True]
    (pin,) = (await here.ask("GET", "/pins")).json()["pins"]
    assert (pin["kind"], pin["id"], pin["author"]) == ("Tenant", "gamma", "local")
    assert (await here.ask("DELETE", "/pins/Tenant/gamma")).json()["pins"] == 1
    assert (await here.ask("GET", "/pins")).json()["pins"] == []
    await here.refused("DELETE", "/pins/Nix/gamma", 404, "not_found")


async def test_going_back_says_which_documents_are_pinned_by_it(here: Operator) -> None:
    await here.ledger.store.commit([Write.put({"kind": "Tenant", "id": "gamma"})], REGISTRY)
    await here.ledger.load()
    await here.put(LIMIT, "*")
    for dry_run in (True, False):
        done = (await here.ask("POST", "/revisions/1:restore", 200, {"reason": "x"}, dry_run=dry_run)).json()
        assert {one["id"]: one["pinned"] for one in done["changes"]} == {"acme": False, "gamma": True}


async def test_a_rollout_says_who_has_a_revision(here: Operator) -> None:
    assert (await here.ask("GET", "/revisions/1/rollout")).json() == {
        "revision": 1, "done": True, "has": 0, "pending": 0, "refused": 0, "clients": []
    }  # fmt: skip
    here.join()
    found = (await here.ask("GET", "/revisions/1/rollout")).json()
    assert (found["has"], found["clients"][0]["node"]) == (1, "envoy-1")
    await here.refused("GET", "/revisions/9/rollout", 404, "not_found")
    for wait in ("1", "x", "1h", "-1s"):
        await here.refused("GET", "/revisions/1/rollout", 422, "invalid_parameter", wait=wait)


async def test_a_rollout_that_is_not_done_is_accepted_only(here: Operator) -> None:
    from xds.stream import Adjust, Ask

    client = here.join()
    client.machine.receive(Ask("RDS", Adjust(("acme",))), 1.0)
    list(client.machine.answers(1.0))
    done = (await here.put(LIMIT, "*")).json()
    found = (await here.ask("GET", f"/revisions/{done['revision']}/rollout", 202, wait="10ms")).json()
    assert (found["done"], found["pending"]) == (False, 1)


async def test_the_audit_is_shown_checked_and_exported(here: Operator) -> None:
    await here.put(LIMIT, "*", reason="why not")
    await here.refused("PUT", "/documents/Tenant/acme", 412, "stale", ACME, headers={"if-match": '"00"'})
    page = (await here.ask("GET", "/audit", limit=2)).json()
    assert [(one["actor"], one["outcome"]) for one in page["entries"]] == [("local", "refused"), ("local", "done")]
    assert (page["entries"][1]["reason"], page["entries"][1]["revision"]) == ("why not", 2)
    rest = (await here.ask("GET", "/audit", cursor=page["next_cursor"])).json()["entries"]
    assert [one["actor"] for one in rest] == ["setup"]
    assert (await here.ask("GET", "/audit", outcome="refused")).json()["entries"] == page["entries"][:1]
    await here.refused("GET", "/audit", 422, "invalid_parameter", outcome="nix")
    verdict = (await here.ask("GET", "/audit/verify")).json()
    assert (verdict["whole"], verdict["entries"], verdict["hash"]) == (True, 3, page["entries"][0]["hash"])
    wrong = (await here.ask("GET", "/audit/verify", seq=3, hash="0" * 64)).json()
    assert (wrong["whole"], "written anew" in wrong["problems"][0]) == (False, True)
    answer = await here.ask("GET", "/audit/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [parse(line).seq for line in answer.text.splitlines()] == [1, 2, 3]
    assert (await here.ask("GET", "/audit/export", after=3)).text == ""


async def test_sources_are_read_again_when_asked_and_when_a_registry_calls(here: Operator) -> None:
    assert (await here.ask("GET", "/sources")).json() == {"sources": []}
    for path, body in (("/sync", None), ("/webhooks/registry", None), ("/webhooks/registry", {"any": ["thing"]})):
        found = (await here.ask("POST", path, 200, body)).json()
        assert found == {"revision": here.ledger.revision, "sources": []}
    key = {"idempotency-key": "s"}
    first = await here.ask("POST", "/sync", 200, headers=key)
    again = await here.ask("POST", "/sync", 200, headers=key)
    assert (first.json(), again.headers["idempotency-replayed"]) == (again.json(), "true")
    assert len((await here.ask("GET", "/audit", action="sync")).json()["entries"]) == 4
    large = json.dumps({"a": "x" * 70_000}).encode()
    headers = {"content-type": "application/json"}
    assert (await here.http.post("/api/v1/webhooks/registry", content=large, headers=headers)).status_code == 413
