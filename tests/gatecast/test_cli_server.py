"""The command line against `gatecast serve` as a process, with a directory, a store and tokens: one whole story."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
BASE = """
kind: Gateway
id: edge
listeners: [{name: public, port: 8080}]
allow_local_endpoints: true
---
{kind: Service, id: orders, endpoints: ["127.0.0.1:80"]}
---
{kind: Route, id: orders, match: {prefix: /api/orders}, service: orders}
---
{kind: Tenant, id: acme}
"""


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[str]:
    """A server process; the URL of its API."""
    command = [sys.executable, "-m", "gatecast.cli", "serve", "-f", str(folder / "settings"), "--log-format", "json"]
    command += ["--store", f"sqlite:///{folder}/gatecast.db", "--xds", "127.0.0.1:0", "--api", "127.0.0.1:0", *flags]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATECAST_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stderr is not None
            lines = (json.loads(line) for line in process.stderr if line.startswith("{"))
            ready = next(line for line in lines if line["event"] == "Server ready")
            yield f"http://{ready['api']}"
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_an_operator_s_morning(tmp_path: Path, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "base.yaml").write_text(BASE)
    with serving(tmp_path, "--api-tokens") as url:
        assert gatecast("status", "--server", url).code == 6
        store = f"sqlite:///{tmp_path}/gatecast.db"
        token = gatecast("token", "create", "dana", "--role", "admin", "--store", store).out.strip()
        kept = tmp_path / "token"
        kept.touch(mode=0o600)
        kept.write_text(token)
        gatecast("context", "add", "here", "--server", url, "--token-file", str(kept))
        seen = json.loads(gatecast("status", "-o", "json").out)
        assert (seen["fine"], seen["documents"]["Tenant"], seen["store"]["state"]) == (True, 1, "up")
        assert [(one["kind"], one["last_error"]) for one in seen["sources"]] == [("file", "")]
        beta = tmp_path / "beta.yaml"
        beta.write_text("kind: Tenant\nid: beta\nhosts: [beta.example]\n")
        applied = gatecast("apply", "-f", str(beta), "-m", "a new customer", "--wait", "-o", "json")
        assert (applied.code, json.loads(applied.out)["rollout"]["done"]) == (0, True)
        number = json.loads(applied.out)["revision"]
        assert gatecast("set", "tenant/acme", "hosts=[acme.example]", "-o", "json").code == 5  # it is the file's
        assert gatecast("set", "tenant/acme", "hosts=[acme.example]", "--force").code == 0
        assert gatecast("restore", str(number), "-m", "too early").code == 0
        assert "Tenant/acme" in gatecast("pins").out
        assert gatecast("unpin", "--all").code == 0
        assert gatecast("sync").code == 0
        authors = [one["author"] for one in json.loads(gatecast("revisions", "-o", "json").out)]
        assert set(authors[:-1]) == {"token:dana"}
        assert gatecast("audit", "verify").code == 0
        assert gatecast("db", "backup", str(tmp_path / "copy"), "--store", store).code == 0
    assert gatecast("status").code == 7
    assert gatecast("db", "restore", str(tmp_path / "copy"), "--store", f"sqlite:///{tmp_path}/again.db").code == 0
