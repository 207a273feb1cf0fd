"""How the command line reaches a server: contexts, tokens, TLS, second tries, and what it says of what is no server."""

import io
import json
import os
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
from consoles import Console, console, stranger

from gatecast import contexts
from gatecast.access import Access
from gatecast.bearers import Tokens, judges
from gatecast.contexts import Context, Contexts, Target, target
from gatecast.exits import NotFound, Usage
from tenants.store import By, Store

Run = Callable[..., Any]
PROD, TEST = Context("https://prod.example", ca="/ca.pem"), Context("http://127.0.0.1:7")
KNOWN = Contexts("prod", {"prod": PROD, "test": TEST})
NOWHERE = "http://127.0.0.1:9"
STATUS = {"ready": True, "version": "1"}


def guarded(store: Store) -> Access:
    """Everybody shows a token."""
    return Access(None, judges(Tokens(store.tokens.verify), None), record=store.audit.record)


@pytest.fixture
def closed(tmp_path: Path, gatecast: Run) -> Iterator[Console]:
    """A server that asks everybody who he is."""
    with console(tmp_path, access=guarded) as made:
        yield made


def token(here: Console, role: str) -> str:
    return str(here.run(here.operator.store.tokens.create(role, role, By("setup", "api")))[1])


@pytest.mark.parametrize(
    ("flags", "environ", "found"),
    [
        (("", ""), {}, Target("https://prod.example", "", "/ca.pem")),
        (("", "test"), {}, Target("http://127.0.0.1:7")),
        (("http://a", ""), {}, Target("http://a")),
        (("http://a", ""), {"GATECAST_SERVER": "http://b", "GATECAST_TOKEN": "t"}, Target("http://a", "t")),
        (("", ""), {"GATECAST_SERVER": "http://b", "GATECAST_CA": "/b.pem"}, Target("http://b", "", "/b.pem")),
        (("", ""), {"GATECAST_CONTEXT": "test", "GATECAST_TOKEN": "t"}, Target("http://127.0.0.1:7", "t")),
        (("", "prod"), {"GATECAST_SERVER": "http://b"}, Target("https://prod.example", "", "/ca.pem")),
    ],
)
def test_flags_go_before_the_environment_and_that_before_the_context_in_use(
    flags: tuple[str, str], environ: dict[str, str], found: Target
) -> None:
    assert target(*flags, environ, lambda: KNOWN) == found


def test_without_anything_said_it_is_this_machine() -> None:
    assert target("", "", {}, Contexts).url == contexts.DEFAULT


@pytest.mark.parametrize(
    ("flags", "environ", "error"),
    [
        (("http://a", "prod"), {}, Usage),
        (("", ""), {"GATECAST_SERVER": "http://b", "GATECAST_CONTEXT": "test"}, Usage),
        (("", "nix"), {}, NotFound),
    ],
)
def test_two_servers_at_once_are_refused(flags: Any, environ: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        target(*flags, environ, lambda: KNOWN)


def test_a_token_of_a_context_goes_to_its_server_alone(tmp_path: Path, gatecast: Run) -> None:
    kept = tmp_path / "kept"
    contexts.write_private(kept, "gatecast_1_secret\n")
    known = Contexts("prod", {"prod": Context("https://prod.example", str(kept))})
    assert target("", "", {}, lambda: known).token == "gatecast_1_secret"
    assert target("http://elsewhere", "", {}, lambda: known).token == ""
    assert "secret" not in repr(target("", "", {}, lambda: known))


def test_a_token_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("t")
    kept.chmod(0o640)
    with pytest.raises(Usage, match="can be read by others: chmod 600"):
        contexts.read_token(kept)
    with pytest.raises(Usage, match="no such file or directory; gatecast login makes one"):
        contexts.read_token(tmp_path / "nix")


def test_contexts_are_added_used_listed_and_removed(gatecast: Run) -> None:
    assert "no server has a name yet" in gatecast("context", "list").out
    assert gatecast("context", "add", "prod", "--server", "https://prod.example/").err.endswith("and in use\n")
    gatecast("context", "add", "test", "--server", NOWHERE)
    rows = [line.split() for line in gatecast("context", "list").out.splitlines()[1:]]
    assert rows == [["*", "prod", "https://prod.example", "-", "-"], ["test", NOWHERE, "-", "-"]]
    assert gatecast("context", "use", "test").code == 0
    assert gatecast("status").err == f"Error: {NOWHERE} cannot be reached: [Errno 111] Connection refused\n"
    found = json.loads(gatecast("context", "list", "-o", "json").out)
    assert [one["name"] for one in found if one["current"]] == ["test"]
    assert gatecast("context", "remove", "test").code == 0
    assert gatecast("context", "use", "test").code == 4
    assert gatecast("context", "remove", "test").code == 4
    assert stat.S_IMODE(contexts.file(os.environ).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ("../x", "--server", NOWHERE),
        ("x", "--server", "nonsense"),
        ("x", "--server", "ftp://a.example"),
        ("x", "--server", "http://dana:geheim@a.example"),
        ("x", "--server", "http://a.example:99999"),
        ("x", "--server", NOWHERE, "--token-file", "/nowhere"),
    ],
)
def test_what_is_no_context_is_told(arguments: tuple[str, ...], gatecast: Run) -> None:
    ran = gatecast("context", "add", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ("defect" in ran.err, "geheim" in ran.err) == (False, False)


@pytest.mark.parametrize(
    "text", ["contexts: [", "[1]", "current: a", "contexts: {a: {}}", "contexts: {a: {server: b, tokn: c}}", "{x: 1}"]
)
def test_a_file_of_contexts_that_is_broken_is_told(text: str, gatecast: Run) -> None:
    path = contexts.file(os.environ)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    ran = gatecast("status")
    assert ran.code == 2
    assert ran.err.startswith(f"Error: contexts {path}: ")


def test_login_tries_the_token_and_keeps_it_for_its_owner(
    closed: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(text: str, *arguments: str) -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return gatecast("login", *arguments)

    assert login("x\n").code == 2  # no server is named
    wrong = login("gatecast_0_wrong\n", "--server", closed.url)
    assert (wrong.code, "credentials are not good" in wrong.err) == (6, True)
    assert gatecast("context", "list", "-o", "json").out == "[]\n"
    good = token(closed, "viewer")
    assert login(f"{good}\n", "prod", "--server", closed.url).code == 0
    kept = contexts.token_file("prod", os.environ)
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (f"{good}\n", 0o600)
    assert gatecast("get", "tenants").code == 0
    gatecast("context", "remove", "prod")
    assert not kept.exists()


def test_who_may_not_is_told_with_the_exit_code_of_access(
    closed: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATECAST_SERVER", closed.url)
    nobody = gatecast("get", "tenants", "-o", "json")
    assert (nobody.code, json.loads(nobody.out)["error"]["code"]) == (6, "unauthenticated")
    assert "gatecast login keeps a token" in nobody.err
    monkeypatch.setenv("GATECAST_TOKEN", token(closed, "viewer"))
    assert gatecast("get", "tenants").code == 0
    assert gatecast("status").code == 0
    ran = gatecast("delete", "tenant", "beta", "-o", "json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (6, "forbidden")
    monkeypatch.setenv("GATECAST_TOKEN", token(closed, "admin"))
    made = json.loads(gatecast("token", "create", "ci", "--role", "viewer", "--expires", "90d", "-o", "json").out)
    assert made["token"].startswith(f"gatecast_{made['id']}_")
    assert gatecast("token", "revoke", made["id"]).code == 0
    states = {line.split()[1]: line.split()[3] for line in gatecast("token", "list").out.splitlines()[1:]}
    assert states == {"viewer": "good", "admin": "good", "ci": "revoked"}
    assert gatecast("token", "revoke", "nix").code == 4
    assert gatecast("token", "create", "ci", "--role", "viewer", "--expires", "5h").code == 2


def test_a_server_is_believed_by_the_authority_that_was_named(tmp_path: Path, gatecast: Run) -> None:
    shop = certificates.Shop(tmp_path)
    shop.put("server", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with stranger((200, STATUS, {}), tls=context) as (url, asked):
        gatecast("context", "add", "tls", "--server", url)
        ran = gatecast("wait", "1")
        assert (ran.code, "CERTIFICATE_VERIFY_FAILED" in ran.err, asked) == (7, True, [])
        gatecast("context", "add", "tls", "--server", url, "--ca", str(tmp_path / "ca.pem"))
        assert "does not answer like gatecast" in gatecast("wait", "1").err
        assert asked
        gatecast("context", "add", "tls", "--server", url, "--ca", str(tmp_path / "nix.pem"))
        assert gatecast("wait", "1").err == f"Error: CA file {tmp_path}/nix.pem: no such file or directory\n"


LATER = (503, {"error": {"code": "loading", "message": "not yet", "details": []}}, {"Retry-After": "1"})
PAGE: dict[str, Any] = {"pins": []}


@pytest.mark.parametrize("first", [LATER, (502, "<html>", {}), (504, "", {})])
def test_a_read_is_tried_again_while_a_server_is_not_ready(first: Any, gatecast: Run) -> None:
    with stranger(first, first, (200, PAGE, {})) as (url, asked):
        assert gatecast("pins", "--server", url).out == "0 pins\n"
    assert asked == ["GET /api/v1/pins"] * 3


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((503, {"error": {"code": "no_store", "message": "no store", "details": []}}, {}), 7),
        ((500, "", {}), 7),
        ((429, {"error": {"code": "too_many", "message": "wait", "details": []}}, {"Retry-After": "60"}), 1),
    ],
)
def test_what_trying_again_cannot_help_is_asked_once(answer: Any, code: int, gatecast: Run) -> None:
    with stranger(answer) as (url, asked):
        assert gatecast("pins", "--server", url).code == code
    assert len(asked) == 1


def test_a_change_is_never_sent_twice(gatecast: Run) -> None:
    with stranger(LATER) as (url, asked):
        ran = gatecast("sync", "--server", url, "-o", "json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (7, "loading")
    assert asked == ["POST /api/v1/sync"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, "<html>"), 4),
        ((404, {"error": "nope"}), 4),
        ((200, [1]), 1),
        ((200, "hello"), 1),
        ((200, {}), 1),
        ((200, {"pins": 5}), 1),
        ((200, {"pins": [{"kind": "somebody's customer"}]}), 1),
        ((403, "go away"), 6),
        ((302, ""), 1),
        ((502, "bad gateway"), 7),
    ],
)
def test_a_server_that_is_not_ours_is_told_so(answer: Any, code: int, gatecast: Run) -> None:
    with stranger((*answer, {})) as (url, _):
        ran = gatecast("pins", "--server", url)
    assert (ran.code, ran.out) == (code, "")
    assert "not as a gatecast server does" in ran.err or "does not answer like gatecast" in ran.err
    assert url in ran.err
    assert "defect" not in ran.err
