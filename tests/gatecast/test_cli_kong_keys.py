"""`gatecast kong` fetches the keys of issuers itself where no control plane does; without them it compares nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import idps
import kong_threads
import kongs
import pytest
import yaml
from kong_worlds import GATEWAY

from kong_double.double import Double

Run = Callable[..., Any]


@pytest.fixture
def idp() -> Iterator[idps.Idp]:
    with kong_threads.beside(idps.Idp()) as (one, _run):
        yield one


@pytest.fixture
def settings(tmp_path: Path, idp: idps.Idp) -> str:
    jwt = {"issuer": idp.issuer}
    tenant = {"kind": "Tenant", "id": "acme", "policies": {"jwt": jwt}}
    text = GATEWAY.replace("kong: true", "kong: true\nallow_local_endpoints: true")
    (tmp_path / "all.yaml").write_text(f"{text}---\n{json.dumps(tenant)}\n")
    return str(tmp_path)


def kids(kong: Double) -> list[str]:
    return sorted(row["key"] for row in kong.store.all("jwt_secrets"))


def test_keys_are_found_at_the_issuer_and_their_tokens_are_good(
    gatecast: Run, kong: Double, idp: idps.Idp, settings: str
) -> None:
    ran = gatecast("kong", "sync", "--once", "-f", settings, "--single")
    assert ran.code == 0, ran
    assert kids(kong) == [idp.keys[0].kid]
    acme = ("x-tenant-id", "acme")
    assert kongs.ask(kong, "/api/orders", acme, kongs.bearer(idp.token())).status == 200
    assert kongs.ask(kong, "/api/orders", acme).status == 401
    assert gatecast("kong", "diff", "-f", settings, "--exit-code").code == 0
    exported = yaml.safe_load(gatecast("kong", "export", "-f", settings).out)
    assert [key["key"] for one in exported["consumers"] for key in one.get("jwt_secrets", ())] == kids(kong)


def test_a_new_key_is_a_difference(gatecast: Run, kong: Double, idp: idps.Idp, settings: str) -> None:
    gatecast("kong", "sync", "--once", "-f", settings, "--single")
    new = idp.add()
    ran = gatecast("kong", "diff", "-f", settings, "--exit-code")
    assert ran.code == 3, ran
    assert f"creating jwt_secrets/{new.kid}" in ran.out
    assert gatecast("kong", "sync", "--once", "-f", settings, "--single").code == 0
    assert kids(kong) == sorted(one.kid for one in idp.keys)


@pytest.mark.parametrize("command", [("diff",), ("sync", "--once"), ("export",)], ids=" ".join)
def test_without_the_keys_nothing_is_compared_and_nothing_deleted(
    command: tuple[str, ...], gatecast: Run, kong: Double, idp: idps.Idp, settings: str
) -> None:
    gatecast("kong", "sync", "--once", "-f", settings, "--single")
    held = kids(kong)
    kong.calls.clear()
    idp.status = 503
    ran = gatecast("kong", *command, "-f", settings)
    assert (ran.code, ran.out) == (7, ""), ran
    assert f"the keys of {idp.issuer} (" in ran.err
    assert "503" in ran.err
    assert "nothing was compared" in ran.err
    assert kids(kong) == held
    assert kong.calls == []
