"""Who may ask what: every route without, with wrong, and with the right credentials; floods, and pages."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from operators import Operator, operator

from gatecast import access, api
from gatecast.access import API, FAILURES, OPEN, RULES, WEBHOOK, Access, Who, foreign, least, may
from gatecast.bearers import Tokens, judges
from tenants.errors import Unavailable
from tenants.store import ROLES, By, Store

PATHS: dict[str, dict[str, Any]] = json.loads(api.description())["paths"]
ROUTES = sorted((method.upper(), path) for path, operations in PATHS.items() for method in operations)
ADMIN = By("setup", "api")


def concrete(path: str) -> str:
    """A path that the route takes; nothing need be there."""
    return re.sub(r"\{(number|one|other)\}", "1", path).replace("{kind}", "Tenant").replace("{", "").replace("}", "")


CLOSED = [(method, path) for method, path in ROUTES if least(method, concrete(path)) != OPEN]


@dataclass
class Guarded:
    """A server that asks everybody who he is, and a token of each role."""

    here: Operator
    tokens: Tokens
    roles: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> Any:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        async with self.here.http.stream(method, path, headers={**headers}) as answer:
            if answer.headers["content-type"].startswith("text/event-stream"):
                return answer
            await answer.aread()
            return answer


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    made: list[Tokens] = []

    def asked(store: Store) -> Access:
        made.append(Tokens(store.tokens.verify))
        return Access(None, judges(made[0], None), made[0].known, store.audit.record)

    async with operator(tmp_path, access=asked, forget=lambda: made[0].forget()) as here:
        here.plane.hub.draining = True  # the stream of events ends at once
        roles = {role: (await here.store.tokens.create(role, role, ADMIN))[1] for role in ROLES}
        yield Guarded(here, made[0], roles)


def test_every_route_has_its_rule_and_every_rule_its_route() -> None:
    for method, path in ROUTES:
        found = [rule for rule in RULES if method in rule.methods.split() and rule.path.replace(":path", "") == path]
        assert len(found) == 1, f"{method} {path}"
        assert least(method, concrete(path)) == found[0].role, f"{method} {path}"
    named = {(method, rule.path.replace(":path", "")) for rule in RULES for method in rule.methods.split()}
    assert named == {*ROUTES, ("GET", "/openapi.json")}


def test_what_no_rule_names_wants_an_admin() -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", f"{API}/nix"),
        ("TRACE", "/livez"),
        ("GET", "/livez/x"),
        ("POST", "/metrics"),
    ):
        assert least(method, path) == "admin", path


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_a_route_wants_credentials_and_the_role(method: str, path: str, guarded: Guarded) -> None:
    role, where = least(method, concrete(path)), concrete(path)
    nobody = await guarded.ask(method, where)
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "unauthenticated")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("nix", f"{guarded.roles['admin']}x", "gatecast_0123_abc", "a.b.c"):
        answer = await guarded.ask(method, where, wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), wrong
    for name in ROLES:
        answer = await guarded.ask(method, where, guarded.roles[name])
        refused = answer.status_code == 403
        assert refused == (ROLES.index(name) < ROLES.index("editor" if role == WEBHOOK else role)), name
        assert answer.status_code != 401
        assert not refused or answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one not in CLOSED])
async def test_probes_and_the_description_are_open(method: str, path: str, guarded: Guarded) -> None:
    assert (await guarded.ask(method, path)).status_code in (200, 503)


async def test_a_path_that_is_not_there_tells_nobody_so(guarded: Guarded) -> None:
    assert (await guarded.ask("GET", "/api/v1/nix")).status_code == 401
    assert (await guarded.ask("GET", "/api/v1/nix", guarded.roles["viewer"])).status_code == 403
    assert (await guarded.ask("GET", "/api/v1/nix", guarded.roles["admin"])).status_code == 404


async def test_two_authorization_headers_are_none(guarded: Guarded) -> None:
    good = f"Bearer {guarded.roles['admin']}"
    answer = await guarded.here.http.get("/api/v1/status", headers=[("authorization", good), ("authorization", good)])
    assert answer.status_code == 401
    for odd in (f"Basic {guarded.roles['admin']}", guarded.roles["admin"], "Bearer", "Bearer  "):
        assert (await guarded.here.http.get("/api/v1/status", headers={"authorization": odd})).status_code == 401


async def test_a_revoked_token_is_good_no_more_at_once(guarded: Guarded) -> None:
    token, text = await guarded.here.store.tokens.create("gone", "viewer", ADMIN)
    assert (await guarded.ask("GET", "/api/v1/status", text)).status_code == 200
    revoked = await guarded.ask("DELETE", f"/api/v1/tokens/{token.id}", guarded.roles["admin"])
    assert revoked.json()["revoked"]
    assert (await guarded.ask("GET", "/api/v1/status", text)).status_code == 401


async def test_a_token_is_made_and_shown_once(guarded: Guarded) -> None:
    headers = {"authorization": f"Bearer {guarded.roles['admin']}", "idempotency-key": "k"}
    body = {"name": "ci", "role": "editor", "expires_in_days": 3}
    made = await guarded.here.ask("POST", "/tokens", 201, body, headers=headers)
    text = made.json()["token"]
    assert (await guarded.ask("GET", "/api/v1/status", text)).status_code == 200
    again = await guarded.here.ask("POST", "/tokens", 201, body, headers=headers)
    assert (again.json()["id"], again.json()["token"]) == (made.json()["id"], None)
    listed = await guarded.ask("GET", "/api/v1/tokens", guarded.roles["admin"])
    assert text not in listed.text
    assert {one["name"]: one["role"] for one in listed.json()["tokens"]}["ci"] == "editor"
    for bad in ({"name": "", "role": "editor"}, {"name": "a", "role": "root"}, {"name": "a", "role": "admin", "x": 1}):
        await guarded.here.ask("POST", "/tokens", 422, bad, headers=headers)


async def test_what_was_refused_is_in_the_audit_with_who_and_from_where(guarded: Guarded) -> None:
    await guarded.ask("GET", "/api/v1/status", "nix")
    await guarded.ask("GET", "/api/v1/audit", guarded.roles["editor"])
    found = await guarded.here.store.audit.entries(limit=2)
    assert [(one.action, one.target, one.actor, one.outcome) for one in found] == [
        ("access forbidden", "GET /api/v1/audit", "token:editor", "refused"),
        ("access unauthenticated", "GET /api/v1/status", "unknown", "refused"),
    ]
    assert (found[0].origin, bool(found[0].request_id)) == ("127.0.0.1", True)
    assert "nix" not in str(found)


async def test_who_fails_too_often_is_not_looked_at_and_who_is_known_still_is(guarded: Guarded) -> None:
    await guarded.ask("GET", "/api/v1/status", guarded.roles["viewer"])
    before = (await guarded.here.store.audit.head()).seq
    statuses = [(await guarded.ask("GET", "/api/v1/status", f"bad{n}")).status_code for n in range(FAILURES + 5)]
    assert statuses == [401] * FAILURES + [429] * 5
    assert (await guarded.here.store.audit.head()).seq == before + FAILURES
    flooded = await guarded.ask("GET", "/api/v1/status", guarded.roles["admin"])
    assert (flooded.status_code, flooded.headers["retry-after"]) == (429, "60")
    assert (await guarded.ask("GET", "/api/v1/status", guarded.roles["viewer"])).status_code == 200


def test_failures_are_counted_by_address_for_a_while() -> None:
    now = [0.0]
    counted = access.Counted(lambda: now[0])
    for _ in range(FAILURES):
        counted.add("a")
    assert (counted.too_many("a"), counted.too_many("b")) == (True, False)
    now[0] = access.WINDOW
    assert not counted.too_many("a")
    for n in range(access.ADDRESSES + 5):
        counted.add(str(n))
    assert len(counted.failures) == access.ADDRESSES


async def test_a_lost_store_is_503_and_not_401(guarded: Guarded) -> None:
    async def away(_text: str) -> None:
        raise Unavailable("the store is away")

    await guarded.ask("GET", "/api/v1/status", guarded.roles["viewer"])
    guarded.tokens.verify = away
    answer = await guarded.ask("GET", "/api/v1/status", "gatecast_new_token")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert (await guarded.ask("GET", "/api/v1/status", guarded.roles["viewer"])).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("POST", {"origin": "http://evil.example"}, True), ("POST", {"origin": "null"}, True),
        ("DELETE", {"sec-fetch-site": "cross-site"}, True), ("PUT", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"origin": "http://gatecast:1"}, True), ("POST", {"origin": "http://gatecast"}, False),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://gatecast"}, False), ("POST", {}, False),
        ("GET", {"origin": "http://evil.example"}, False),
    ],
)  # fmt: skip
async def test_a_page_of_somebody_else_changes_nothing(
    method: str, headers: dict[str, str], refused: bool, tmp_path: Path
) -> None:
    assert bool(foreign(method, {"host": "gatecast", **headers})) == refused
    async with operator(tmp_path, "") as here:
        answer = await here.http.request(
            method, "/api/v1/sync" if method == "POST" else "/api/v1/pins", headers=headers
        )
        assert (answer.status_code == 403) == refused
        assert not refused or answer.json()["error"]["code"] == "cross_origin"


async def test_who_asks_without_credentials_may_do_what_the_server_grants_him(tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: Access(access.ANYBODY)) as here:
        await here.ask("GET", "/status")
        await here.refused("POST", "/sync", 403, "forbidden")
        await here.refused("GET", "/status", 401, "unauthenticated", headers={"authorization": "Bearer x"})


async def test_a_registry_may_call_its_webhook_and_nothing_else(tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: Access(None, judges(None, None, "hush"))) as here:
        secret = {"authorization": "Bearer hush"}
        await here.ask("POST", "/webhooks/registry", 200, headers=secret)
        for method, path in CLOSED:
            if path != "/api/v1/webhooks/registry":
                answer = await here.http.request(method, concrete(path), headers=secret)
                assert answer.status_code == 403, f"{method} {path}"
        await here.refused(
            "POST", "/webhooks/registry", 401, "unauthenticated", headers={"authorization": "Bearer hus"}
        )


async def test_a_viewer_is_not_shown_values_that_are_secrets(guarded: Guarded) -> None:
    secret = {"kind": "Tenant", "id": "acme", "policies": {"headers": {"request": {"set": {"x-api-key": "hush"}}}}}
    headers = {"authorization": f"Bearer {guarded.roles['editor']}", "if-match": "*"}
    await guarded.here.ask("PUT", "/documents/Tenant/acme", 200, secret, headers=headers)
    paths = ["/documents/Tenant/acme", "/documents", "/snapshots/edge/rds/acme", "/tenants/acme/effective"]
    for path in (*paths, "/tenants/acme/resources", f"/revisions/{guarded.here.ledger.revision}"):
        answer = await guarded.ask("GET", f"{API}{path}", guarded.roles["viewer"])
        assert (answer.status_code, "hush" in answer.text) == (200, False), path
        assert "(secret)" in answer.text, path
    shown = await guarded.ask("GET", f"{API}/documents/Tenant/acme", guarded.roles["editor"])
    assert "hush" in shown.text


@pytest.mark.parametrize("role", ROLES)
def test_a_role_holds_the_lesser_ones(role: str) -> None:
    who = Who("dana", role)
    assert [may(who, one) for one in ROLES] == [ROLES.index(one) <= ROLES.index(role) for one in ROLES]
    assert not any(may(Who("dana", odd), "viewer") for odd in ("", "root"))
