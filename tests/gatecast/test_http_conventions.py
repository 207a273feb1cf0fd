"""What holds for every route: HEAD, paths that are nearly right. And calls of a registry that are signed."""

import hashlib
import hmac
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from operators import Operator, operator

from gatecast import api
from gatecast.access import CALL, ENDLESS, FAILURES, LOCAL, Access, Who, least
from gatecast.bearers import judges
from tenants.sources.webhook import signed

PATHS: dict[str, dict[str, Any]] = json.loads(api.description())["paths"]
READ = sorted(path for path, operations in PATHS.items() if "get" in operations)
HUSH = "hush"
CALLED = "/api/v1/webhooks/registry"


def concrete(path: str) -> str:
    """A path that the route takes."""
    found = re.sub(r"\{(number|one|other)\}", "1", path).replace("{kind}", "Tenant").replace("{type}", "RDS")
    return found.replace("{gateway}", "edge").replace("{id}", "acme").replace("{name}", "acme")


def access(unnamed: Who | None) -> Access:
    return Access(unnamed, judges(None, None, HUSH), signed=partial(signed, HUSH))


def sign(body: bytes) -> str:
    return "sha256=" + hmac.new(HUSH.encode(), body, hashlib.sha256).hexdigest()


async def call(here: Operator, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return await here.http.post(CALLED, content=body, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("path", READ)
async def test_head_is_get_without_the_body(path: str, tmp_path: Path) -> None:
    async with operator(tmp_path) as here:
        if path in ENDLESS:
            answer = await here.http.head(path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
            return
        whole, bare = await here.http.get(concrete(path)), await here.http.head(concrete(path))
        assert (bare.status_code, bare.content) == (whole.status_code, b"")
        assert set(bare.headers) == set(whole.headers)
        assert bare.headers["content-type"] == whole.headers["content-type"]
        refused = await here.http.post(concrete(path)) if "post" not in PATHS[path] else None
        assert refused is None or {"GET", "HEAD"} <= set(refused.headers["allow"].split(", "))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/openapi.json"])
async def test_who_probes_may_add_parameters_of_his_own(path: str, tmp_path: Path) -> None:
    async with operator(tmp_path) as here:
        assert (await here.http.get(path, params={"verbose": "", "now": "1"})).status_code == 200


async def test_head_wants_the_role_that_get_wants(tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: access(None)) as here:
        assert (await here.http.head("/api/v1/status")).status_code == 401
        assert least("HEAD", "/api/v1/audit") == "admin"


async def test_a_path_with_one_slash_more_is_not_there_and_nobody_is_sent_elsewhere(tmp_path: Path) -> None:
    async with operator(tmp_path) as here:
        for path in ("/api/v1/documents/", "/api/v1/status/", "/livez/"):
            answer = await here.http.get(path, follow_redirects=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path


@pytest.mark.parametrize("unnamed", [None, LOCAL])
@pytest.mark.parametrize("name", ["x-gatecast-signature", "x-hub-signature-256"])
async def test_a_registry_may_sign_its_call(name: str, unnamed: Who | None, tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: access(unnamed)) as here:
        body = b'{"ref": "main"}'
        assert (await call(here, body, {name: sign(body)})).status_code == 200
        for wrong in (sign(b"{}"), "sha256=", ""):
            answer = await call(here, body, {name: wrong})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
        (done,) = (await here.ledger.store.audit.entries(action="sync"))[:1]
        assert done.actor == "registry"


async def test_a_signature_opens_nothing_else(tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: access(None)) as here:
        headers = {"x-gatecast-signature": sign(b"")}
        assert (await here.http.post("/api/v1/sync", headers=headers)).status_code == 401
        assert (await here.http.get("/api/v1/status", headers=headers)).status_code == 401


async def test_a_signed_body_is_bounded_and_bad_signatures_are_counted(tmp_path: Path) -> None:
    async with operator(tmp_path, access=lambda store: access(None)) as here:
        large = json.dumps({"a": "x" * CALL}).encode()
        answer = await call(here, large, {"x-gatecast-signature": sign(large)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        for _ in range(FAILURES):
            await call(here, b"{}", {"x-gatecast-signature": "sha256=00"})
        assert (await call(here, b"{}", {"x-gatecast-signature": sign(b"{}")})).status_code == 429
