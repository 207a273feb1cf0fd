"""Who is let in, from the settings of the process; and the process itself with tokens and TLS for operators."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Shop
from stores import QUICK

from gatecast.access import ANYBODY, LOCAL, Who
from gatecast.addresses import Address
from gatecast.config import Settings
from gatecast.entrance import entrance, trust
from gatecast.serve import running
from gatecast.web import serving
from tenants.errors import Refused
from tenants.store import By, Store
from xds.identity import Names

GATEWAY = "kind: Gateway\nid: edge\nlisteners: [{name: public, port: 8080}]\n"


def told(**given: Any) -> Settings:
    return Settings(settings=Path("there"), **given)


@pytest.mark.parametrize(
    ("given", "unnamed"),
    [
        ({}, LOCAL), ({"insecure": True}, ANYBODY), ({"insecure": True, "api": "0.0.0.0:0"}, ANYBODY),
        ({"api_tokens": True}, None), ({"api_tokens": True, "insecure": True}, None),
        ({"oidc_issuer": "https://id.example"}, None), ({"oidc_issuer": "https://id.example", "api": "[::]:0"}, None),
    ],
)  # fmt: skip
async def test_only_who_is_alone_on_the_machine_need_not_say_who_he_is(
    given: dict[str, Any], unnamed: Who | None, tmp_path: Path
) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/a.db", pace=QUICK) as store:
        made = entrance(told(**given), store)
        assert made.access.unnamed == unnamed
        assert (made.fetcher is not None) == ("oidc_issuer" in given)
        _, text = await store.tokens.create("dana", "editor", By("x", "api"))
        assert made.access.judge is not None
        assert await made.access.judge(text, True) == Who("token:dana", "editor")


def test_proxies_are_judged_where_they_show_certificates() -> None:
    assert trust(told()) is None
    tls = {"xds_certificate": "a", "xds_key": "b", "xds_client_ca": "c"}
    found = trust(told(**tls, xds_clients="a.internal=edge", xds_trust_domain="mesh.example"))
    assert found is not None
    assert found.admits(Names("", ("a.internal",)), "edge")
    assert found.admits(Names("spiffe://mesh.example/gateway/edge"), "edge")
    assert not found.admits(Names("spiffe://other.example/gateway/edge"), "edge")


async def test_a_server_with_tokens_and_tls_lets_in_who_shows_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("api", "localhost")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "all.yaml").write_text(GATEWAY)
    url = f"sqlite:///{tmp_path}/gatecast.db"
    async with await Store.open(url, pace=QUICK) as store:
        _, text = await store.tokens.create("dana", "viewer", By("setup", "cli"))
    settings = Settings(
        settings=tmp_path / "documents", store=url, xds="127.0.0.1:0", api="127.0.0.1:0", drain=0.5, api_tokens=True,
        api_certificate=tmp_path / "api.pem", api_key=tmp_path / "api.key",
    )  # fmt: skip
    context = ssl.create_default_context()
    shop.ca.configure_trust(context)
    async with running(settings) as server, httpx.AsyncClient(verify=context) as http:
        await server.ready()
        base = f"https://localhost:{server.api.port}"
        assert (await http.get(f"{base}/readyz")).status_code == 200
        assert (await http.get(f"{base}/api/v1/status")).status_code == 401
        headers = {"authorization": f"Bearer {text}", "host": "gatecast.example"}
        assert (await http.get(f"{base}/api/v1/status", headers=headers)).json()["ready"] is True
        assert (await http.post(f"{base}/api/v1/sync", headers=headers)).status_code == 403


@pytest.mark.parametrize("file", ["api.pem", "api.key"])
async def test_tls_files_that_cannot_be_used_are_refused_at_the_start(file: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("api", "localhost")
    for spoil in (lambda: shop.write(file, b"secret words"), lambda: (tmp_path / file).unlink()):
        spoil()
        with pytest.raises(Refused, match="TLS for operators") as refused:
            async with serving(None, Address("127.0.0.1", 0), (tmp_path / "api.pem", tmp_path / "api.key")):  # type: ignore[arg-type]
                pass
        assert "secret" not in str(refused.value)
