"""`gatecast kong drift`: a Kong against what its control plane says now, over the stream, in clear and over TLS."""

import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kong_threads
import kong_worlds
import kongs
import planes
import pytest
from certificates import Shop
from kong_worlds import GATEWAY
from sidecars import TENANTS

from gatecast.config import Settings
from gatecast.serve import running
from kong_double.double import Double

Run = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return kong_worlds.folder(tmp_path, TENANTS)


def test_it_shows_what_somebody_changed_and_what_is_still_on_its_way(
    gatecast: Run, kong: Double, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    with kong_threads.beside(planes.plane(GATEWAY + TENANTS)) as (served, run):
        monkeypatch.setenv("GATECAST_KONG_XDS", f"127.0.0.1:{served.port}")
        monkeypatch.setenv("GATECAST_KONG_GATEWAY", "edge")
        assert gatecast("kong", "drift", "--exit-code").code == 0
        (limit,) = [one for one in kong.store.all("plugins") if one["name"] == "rate-limiting"]
        kongs.change(kong, f"/plugins/{limit['id']}", config={"minute": 99})
        changed = gatecast("kong", "drift", "--exit-code")
        assert changed.code == 3, changed
        assert "-  config.minute: 99" in changed.out
        assert gatecast("kong", "drift").code == 0
        run(served.apply("---\nkind: Tenant\nid: gamma\n"))
        found = json.loads(gatecast("kong", "drift", "-o", "json").out)
        assert "consumers/gamma (tenant gamma)" in [one["name"] for one in found["changes"]]
    assert {one.method for one in kong.calls[-20:]} == {"GET"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--gateway", "edge", "--xds", "nonsense"), 2, "nonsense"),
        (("--xds", "127.0.0.1:{port}"), 2, "--gateway"),
        (("--gateway", "nix", "--xds", "127.0.0.1:{port}"), 4, "no gateway 'nix', but 'edge'"),
        (("--gateway", "edge", "--xds", "127.0.0.1:{port}", "--xds-key", "/nowhere"), 2, "go together"),
        (("--gateway", "edge", "--xds", "127.0.0.1:{port}", "--xds-ca", "/nowhere"), 1, "/nowhere"),
        (("--gateway", "edge", "--xds", "127.0.0.1:1"), 7, "127.0.0.1:1 did not say"),
    ],
)
def test_a_control_plane_that_cannot_be_asked_is_told(
    arguments: tuple[str, ...], code: int, said: str, gatecast: Run, kong: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatecast.kong_asked.PATIENCE", 1.0)
    with kong_threads.beside(planes.plane(GATEWAY + TENANTS)) as (served, _run):
        ran = gatecast("kong", "drift", *(one.format(port=served.port) for one in arguments))
    assert (ran.code, ran.out) == (code, ""), ran
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert kong.calls == []


def test_over_tls_the_control_plane_is_shown_our_certificate(
    gatecast: Run, kong: Double, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatecast.kong_asked.PATIENCE", 2.0)
    shop = Shop(tmp_path)
    shop.put("server", "127.0.0.1")
    shop.put("us", "kong.internal")

    @asynccontextmanager
    async def server() -> Any:
        files = {"xds_certificate": tmp_path / "server.pem", "xds_key": tmp_path / "server.key"}
        known = {"xds_client_ca": tmp_path / "ca.pem", "xds_clients": {"kong.internal": "edge"}}
        told = {**files, **known, "xds": "127.0.0.1:0", "api": "127.0.0.1:0", "store": "memory", "drain": 0.1}
        async with running(Settings(settings=settings, **told)) as made:
            await made.ready()
            yield made

    with kong_threads.beside(server()) as (made, _run):
        drift = ("kong", "drift", "--gateway", "edge", "--xds", f"127.0.0.1:{made.xds.port}", "--exit-code")
        trust = ("--xds-ca", str(tmp_path / "ca.pem"))
        pair = ("--xds-certificate", str(tmp_path / "us.pem"), "--xds-key", str(tmp_path / "us.key"))
        assert gatecast(*drift, *trust, *pair).code == 3, "there is nothing in this Kong yet"
        assert gatecast(*drift, *trust).code == 7
        assert gatecast(*drift).code == 7
