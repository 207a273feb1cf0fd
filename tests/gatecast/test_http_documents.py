"""Documents over HTTP: read, written by version, dry runs, many at once, and every way to get it wrong."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from operators import Operator, operator

from gatecast.http import asking
from tenants.store import By, Write

GAMMA = {"kind": "Tenant", "id": "gamma"}
ACME = "/documents/Tenant/acme"
LIMIT = {"kind": "Tenant", "id": "acme", "policies": {"rate_limit": {"requests": 7, "per": "minute"}}}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Operator]:
    async with operator(tmp_path) as made:
        yield made


async def test_a_document_has_a_version_and_is_not_sent_again_to_who_has_it(here: Operator) -> None:
    answer = await here.ask("GET", ACME)
    found = answer.json()
    assert (found["kind"], found["id"], found["source"], found["document"]["id"]) == ("Tenant", "acme", "api", "acme")
    assert answer.headers["etag"] == f'"{found["etag"]}"'
    same = await here.ask("GET", ACME, 304, headers={"if-none-match": f'"x", {answer.headers["etag"]}'})
    assert (same.content, same.headers["etag"]) == (b"", answer.headers["etag"])
    assert (await here.ask("GET", "/documents/tenant/acme")).json() == found


async def test_a_write_is_live_before_it_is_answered(here: Operator) -> None:
    before = here.plane.hub.snapshots["edge"].get("RDS", "acme")
    done = (await here.put(LIMIT, await here.etag())).json()
    assert (done["made"], done["revision"]) == (True, here.ledger.revision)
    assert [(one["kind"], one["id"], one["change"]) for one in done["changes"]] == [("Tenant", "acme", "changed")]
    assert here.plane.hub.snapshots["edge"].get("RDS", "acme") is not before
    again = await here.put(LIMIT, await here.etag())
    assert (again.json()["made"], again.json()["revision"]) == (False, done["revision"])


async def test_creating_says_where_the_document_is(here: Operator) -> None:
    answer = await here.put(GAMMA)
    assert answer.headers["location"] == "/api/v1/documents/Tenant/gamma"
    assert answer.headers["etag"] == await here.etag("gamma")
    error = await here.refused("PUT", "/documents/Tenant/gamma", 412, "stale", GAMMA, headers={"if-none-match": "*"})
    assert error["details"] == [{"expected": "absent", "current": answer.headers["etag"].strip('"')}]


async def test_kind_and_id_of_the_path_need_not_be_repeated(here: Operator) -> None:
    await here.ask("PUT", "/documents/Tenant/gamma", 201, {}, headers={"if-none-match": "*"})
    assert (await here.ask("GET", "/documents/Tenant/gamma")).json()["document"] == GAMMA


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_write_names_the_version_that_it_changes(method: str, here: Operator) -> None:
    body = None if method == "DELETE" else {}
    assert "If-Match" in (await here.refused(method, ACME, 428, "precondition_required", body))["message"]
    stale = await here.ask(method, ACME, 412, body, headers={"if-match": '"0123"'})
    assert stale.headers["etag"] == await here.etag()
    assert stale.json()["error"]["details"][0]["current"] == (await here.etag()).strip('"')
    for wrong in ('W/"0123"', "0123", '"a', ""):
        code = "precondition_required" if not wrong else "invalid_header"
        await here.refused(method, ACME, 428 if not wrong else 400, code, body, headers={"if-match": wrong})
    both = {"if-match": "*", "if-none-match": "*"}
    await here.refused(method, ACME, 400, "invalid_header", body, headers=both)
    await here.refused(method, ACME, 400, "invalid_header", body, headers={"if-none-match": '*, "0123"'})
    etag = await here.etag()
    await here.ask(method, ACME, 200, body, headers={"if-match": f'"0123", {etag}'})


async def test_a_patch_is_a_merge_patch(here: Operator) -> None:
    await here.put(LIMIT, await here.etag())
    change = {"hosts": ["acme.example"], "policies": {"rate_limit": {"burst": 3, "per": "hour"}, "maintenance": {}}}
    answer = await here.ask("PATCH", ACME, 200, change, headers={"if-match": await here.etag()})
    assert answer.headers["etag"] == await here.etag()
    found = (await here.ask("GET", ACME)).json()["document"]
    assert found["policies"]["rate_limit"] == {"requests": 7, "per": "hour", "burst": 3}
    gone = {"hosts": None, "policies": {"rate_limit": None}}
    await here.ask("PATCH", ACME, 200, gone, headers={"if-match": "*"})
    found = (await here.ask("GET", ACME)).json()["document"]
    assert (found["policies"], "hosts" in found) == ({"maintenance": {}}, False)


@pytest.mark.parametrize(
    ("value", "patch", "result"),
    [
        # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}), ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]), ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)  # fmt: skip
def test_merge_patches_are_those_of_the_rfc(value: object, patch: object, result: object) -> None:
    assert asking.merged(value, patch) == result


async def test_a_deleted_document_is_gone(here: Operator) -> None:
    done = (await here.ask("DELETE", ACME, headers={"if-match": await here.etag()})).json()
    gone = {"kind": "Tenant", "id": "acme", "change": "deleted", "etag": "", "pinned": False, "fields": []}
    assert done["changes"] == [gone]
    await here.refused("GET", ACME, 404, "not_found")
    await here.refused("DELETE", ACME, 404, "not_found", headers={"if-match": "*"})
    assert here.plane.hub.snapshots["edge"].get("RDS", "acme") is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
async def test_a_dry_run_tells_what_would_be_and_changes_nothing(method: str, here: Operator) -> None:
    revision, etag = here.ledger.revision, await here.etag()
    if method == "POST":
        answer = await here.ask("POST", "/documents:apply", 200, {"documents": [LIMIT]}, dry_run=True)
    else:
        body = None if method == "DELETE" else LIMIT
        answer = await here.ask(method, ACME, 200, body, headers={"if-match": etag}, dry_run=True)
    done = answer.json()
    assert (done["dry_run"], done["made"], done["revision"], "etag" in answer.headers) == (True, False, revision, False)
    assert (here.ledger.revision, await here.etag()) == (revision, etag)
    wanted = "deleted" if method == "DELETE" else "changed"
    assert ("edge", "RDS", "acme", wanted) in {
        (one["gateway"], one["type"], one["name"], one["change"]) for one in done["resources"]
    }
    (change,) = done["changes"]
    paths = {field["path"]: field.get("after") for field in change["fields"]}
    assert method == "DELETE" or paths == {"policies": {"rate_limit": {"requests": 7, "per": "minute"}}}


async def test_a_dry_run_of_a_bad_document_says_what_is_wrong(here: Operator) -> None:
    bad = {**GAMMA, "organisation": "nix"}
    done = (await here.put(bad, status=200, dry_run=True)).json()
    assert [(one["code"], one["path"], one["severity"]) for one in done["problems"]] == [
        ("GC201", "organisation", "error")
    ]
    error = await here.refused(
        "PUT", "/documents/Tenant/gamma", 422, "invalid_documents", bad, headers={"if-none-match": "*"}
    )
    assert [(one["code"], one["id"], one["path"]) for one in error["details"]] == [("GC201", "gamma", "organisation")]
    await here.refused("GET", "/documents/Tenant/gamma", 404, "not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"hostz": []}, "GC101"), ({"hosts": "a"}, "GC104"), ({"hosts": ["A B"]}, "GC113"),
        ({"policies": {"rate_limit": {"requests": True}}}, "GC104"), ({"policies": {"nix": {}}}, "GC101"),
    ],
)  # fmt: skip
async def test_fields_that_are_unknown_or_wrong_are_refused_with_their_place(
    body: dict[str, object], code: str, here: Operator
) -> None:
    headers = {"if-match": await here.etag()}
    error = await here.refused("PUT", ACME, 422, "invalid_documents", body, headers=headers)
    assert code in [one["code"] for one in error["details"]]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"), (b"", 400, "not_json"), (b"\xff", 400, "not_json"), (b"{'a':1}", 400, "not_json"),
        (b'{"a":NaN}', 400, "not_json"), (b'{"id":"acme","id":"acme"}', 400, "not_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "not_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "too_deep"), (b'{"a":"\\ud800"}', 400, "not_json"),
        (b'{"a":' + b"9" * 5000 + b"}", 400, "not_json"), (b"[]", 422, "invalid_body"), (b"null", 422, "invalid_body"),
        (b'{"kind":"Route"}', 422, "invalid_body"), (b'{"id":"beta"}', 422, "invalid_body"),
        (b'"' + b"x" * asking.ONE + b'"', 413, "too_large"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_document_is_refused(body: bytes, status: int, code: str, here: Operator) -> None:
    headers = {"content-type": "application/json", "if-match": "*"}
    answer = await here.http.put(f"/api/v1{ACME}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text[:500]


async def test_a_body_of_unknown_length_is_bounded_too(here: Operator) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65536

    headers = {"content-type": "application/json", "if-match": "*"}
    answer = await here.http.put(f"/api/v1{ACME}", content=endless(), headers=headers)
    assert (answer.status_code, sent <= asking.ONE // 65536 + 2) == (413, True)


@pytest.mark.parametrize("media", ["", "text/plain", "application/yaml", "application/merge-patch+json"])
async def test_a_body_of_another_type_is_refused(media: str, here: Operator) -> None:
    headers = {"content-type": media, "if-match": "*"} if media else {"if-match": "*"}
    answer = await here.http.put(f"/api/v1{ACME}", content=b"{}", headers=headers)
    assert (answer.status_code, answer.headers["accept"]) == (415, "application/json")
    patch = {"content-type": "application/json", "if-match": "*"}
    assert (await here.http.patch(f"/api/v1{ACME}", content=b"{}", headers=patch)).status_code == 415
    zipped = {"content-type": "application/json", "content-encoding": "gzip", "if-match": "*"}
    assert (await here.http.put(f"/api/v1{ACME}", content=b"{}", headers=zipped)).status_code == 415


@pytest.mark.parametrize("name", ["dryrun", "DRY_RUN", "x"])
async def test_a_parameter_that_is_unknown_is_refused(name: str, here: Operator) -> None:
    revision = here.ledger.revision
    error = await here.refused(
        "PUT", ACME, 422, "invalid_parameter", LIMIT, headers={"if-match": "*"}, **{name: "true"}
    )
    assert "dry_run" in error["message"]
    assert here.ledger.revision == revision


async def test_a_parameter_that_is_given_twice_is_refused(here: Operator) -> None:
    both = {"if-match": "*", "content-type": "application/json"}
    answer = await here.http.put(f"/api/v1{ACME}?dry_run=true&dry_run=false", json=LIMIT, headers=both)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "query.dry_run: it is given twice")
    assert here.ledger.revision == 1


@pytest.mark.parametrize(
    "path", ["/documents/Nix/acme", "/documents/Tenant/ACME", "/documents/Tenant/a%00b", "/documents/Tenant/nobody"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_is_no_name_has_no_document(method: str, path: str, here: Operator) -> None:
    body = {} if method in ("PUT", "PATCH") else None
    wanted = 412 if (method, path.rpartition("/")[2]) == ("PUT", "nobody") else 404
    await here.ask(method, path, wanted, body, headers={"if-match": "*"})


async def test_documents_are_listed_in_pages(here: Operator) -> None:
    names, cursor = [], ""
    for _ in range(10):
        page = (await here.ask("GET", "/documents", limit=2, cursor=cursor)).json()
        names += [(one["kind"], one["id"]) for one in page["documents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (names, len(set(names))) == (sorted(names), len(names))
    assert {("Gateway", "edge"), ("Tenant", "acme"), ("Tenant", "beta")} <= set(names)
    await here.put({**GAMMA, "policies": {}})
    for query, wanted in (({"kind": "tenant"}, 3), ({"q": "et"}, 1), ({"kind": "Tenant", "q": "%"}, 0)):
        assert len((await here.ask("GET", "/documents", **query)).json()["documents"]) == wanted, query
    for bad in ("x", "bnVsbA", "WzFd", "é"):
        await here.refused("GET", "/documents", 400, "invalid_cursor", cursor=bad)
    await here.refused("GET", "/documents", 422, "invalid_parameter", q="\0")


async def test_what_a_registry_gives_is_taken_over_only_by_force(here: Operator) -> None:
    await here.ledger.store.commit([Write.put({**GAMMA, "hosts": []})], By("registry", "registry"))
    error = await here.refused("PUT", "/documents/Tenant/gamma", 409, "foreign", GAMMA, headers={"if-match": "*"})
    assert "registry" in error["message"]
    await here.put(GAMMA, "*", force=True)
    assert (await here.ask("GET", "/documents/Tenant/gamma")).json()["source"] == "api"


async def test_many_documents_are_one_revision_or_none(here: Operator) -> None:
    many = [{"kind": "Tenant", "id": f"t{n}"} for n in range(50)]
    before = here.ledger.revision
    done = (await here.ask("POST", "/documents:apply", 200, {"documents": many}, reason="fifty more")).json()
    assert (done["revision"], len(done["changes"])) == (before + 1, 50)
    detail = (await here.ask("GET", f"/revisions/{done['revision']}")).json()
    assert (detail["reason"], detail["created"], detail["author"]) == ("fifty more", 50, "local")
    bad = [{"kind": "Tenant", "id": "new"}, {"kind": "Tenant", "id": "worse", "organisation": "nix"}]
    await here.refused("POST", "/documents:apply", 422, "invalid_documents", {"documents": bad})
    await here.refused("GET", "/documents/Tenant/new", 404, "not_found")
    await here.refused("POST", "/documents:apply", 422, "refused", {"documents": [many[0], many[0]]})
    for wrong in ({}, {"documents": [], "x": 1}, {"documents": {}}, {"documents": [1]}, []):
        await here.refused("POST", "/documents:apply", 422, "invalid_body", wrong)
    await here.refused("POST", "/documents:apply", 422, "refused", {"documents": [{"kind": "Nix", "id": "a"}]})


async def test_prune_deletes_what_operators_gave_and_nothing_else(here: Operator) -> None:
    await here.ledger.store.commit([Write.put(GAMMA)], By("registry", "registry"))
    listed = (await here.ask("GET", "/documents")).json()["documents"]
    kept = [one["document"] for one in listed if one["source"] == "api" and one["id"] != "beta"]
    done = (await here.ask("POST", "/documents:apply", 200, {"documents": kept}, prune=True)).json()
    assert [(one["id"], one["change"]) for one in done["changes"]] == [("beta", "deleted")]
    await here.ask("GET", "/documents/Tenant/gamma")
    await here.refused("POST", "/documents:apply", 422, "invalid_body", {"documents": []}, prune=True)


async def test_a_change_may_depend_on_the_newest_revision(here: Operator) -> None:
    now = here.ledger.revision
    await here.ask("POST", "/documents:apply", 200, {"documents": [GAMMA]}, if_revision=now)
    for prune in (False, True):
        error = await here.refused(
            "POST", "/documents:apply", 409, "stale_revision", {"documents": [LIMIT]}, if_revision=now, prune=prune
        )
        assert error["details"] == [{"expected": str(now), "current": str(now + 1)}]


async def test_the_same_request_twice_has_one_effect_and_one_answer(here: Operator) -> None:
    key = {"idempotency-key": "k1"}
    first = await here.ask("POST", "/documents:apply", 200, {"documents": [GAMMA]}, headers=key)
    assert "idempotency-replayed" not in first.headers
    await here.ask("DELETE", "/documents/Tenant/gamma", headers={"if-match": "*"})
    again = await here.ask("POST", "/documents:apply", 200, {"documents": [GAMMA]}, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    await here.refused("GET", "/documents/Tenant/gamma", 404, "not_found")
    other = {"documents": [LIMIT]}
    await here.refused("POST", "/documents:apply", 422, "idempotency_key_reused", other, headers=key)
    body = {"documents": [GAMMA]}
    await here.refused("POST", "/documents:apply", 422, "idempotency_key_reused", body, headers=key, force=True)
    for bad in ("", "x" * 256):
        await here.refused("POST", "/documents:apply", 422, "refused", body, headers={"idempotency-key": bad})


async def test_ten_thousand_documents_fit_in_one_body() -> None:
    many = {"documents": [{"kind": "Tenant", "id": f"t{n}", "policies": LIMIT["policies"]} for n in range(10_000)]}
    assert len(json.dumps(many)) < asking.LARGEST
    assert asking.parsed(json.dumps(many).encode()) == many
