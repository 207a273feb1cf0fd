"""Documents on the command line, against a whole server: get, apply, set, delete, and what a shell completes."""

import io
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.shell_completion import ShellComplete
from consoles import Console
from stores import FILE

from gatecast import gathered
from gatecast.cli import cli
from gatecast.commands.set import assignment, merged
from gatecast.exits import Usage
from tenants.store import Write, redaction

Run = Callable[..., Any]
KEPT = ("gateway", "edge"), ("service", "orders"), ("route", "orders")
GAMMA = "kind: Tenant\nid: gamma\npolicies: {rate_limit: {requests: 5, per: minute}}\n"


def given_by_a_file(here: Console, name: str = "filed") -> None:
    """A tenant that belongs to a file."""
    here.run(here.operator.ledger.write([Write.put({"kind": "Tenant", "id": name})], FILE))


def test_documents_are_listed_under_any_spelling_of_their_kind(here: Console, gatecast: Run) -> None:
    for kind in ("tenant", "Tenants", "TENANT"):
        ran = gatecast("get", kind)
        assert (ran.code, ran.err) == (0, "")
        assert [line.split()[0] for line in ran.out.splitlines()] == ["ID", "acme", "beta", "2"]
    assert [one["id"] for one in json.loads(gatecast("get", "tenant", "-q", "ac", "-o", "json").out)] == ["acme"]
    assert "ETAG" in gatecast("get", "tenant", "-o", "wide").out
    assert gatecast("get", "certificates").out == "0 documents\n"


def test_lists_are_read_page_by_page(here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatecast.remote.PAGE", 1)
    assert [one["id"] for one in yaml.safe_load(gatecast("get", "tenant", "-o", "yaml").out)] == ["acme", "beta"]


def test_a_document_that_was_got_can_be_applied_again(here: Console, gatecast: Run) -> None:
    gatecast("apply", "-f", here.write("s/a.yaml", GAMMA))
    got = gatecast("get", "tenant", "gamma", "-o", "yaml")
    assert got.out.startswith("kind: Tenant\nid: gamma\n")
    assert yaml.safe_load(got.out) == yaml.safe_load(GAMMA)
    assert gatecast("apply", "-f", here.write("again.yaml", got.out)).out == "nothing is new\n"
    shown = gatecast("get", "tenant", "gamma").out
    assert shown.startswith("# revision 2, from cli, etag ")
    assert yaml.safe_load(shown) == yaml.safe_load(GAMMA)


def test_a_directory_becomes_one_revision_with_its_reason(here: Console, gatecast: Run) -> None:
    here.write("s/deep/a.yaml", GAMMA)
    here.write("s/b.json", '{"kind": "Tenant", "id": "delta"}')
    here.write("s/note.txt", "no settings")
    ran = gatecast("apply", "-f", f"{here.folder}/s", "-m", "two more")
    assert (ran.code, ran.out.splitlines()) == (0, ["+ Tenant/delta", "+ Tenant/gamma", "2 created; revision 2"])
    made = here.get("/revisions/2")
    assert (made["source"], made["reason"], made["author"]) == ("cli", "two more", "local")


def test_standard_input_is_a_file_too(here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GAMMA.encode())))
    assert json.loads(gatecast("apply", "-f", "-", "-o", "json").out)["changes"][0]["id"] == "gamma"


def test_a_trial_shows_fields_and_resources_and_changes_nothing(here: Console, gatecast: Run) -> None:
    lines = gatecast("apply", "-f", here.write("a.yaml", GAMMA), "--dry-run").out.splitlines()
    assert lines[:2] == ["+ Tenant/gamma", "    policies"]
    assert "      +   requests: 5" in lines
    assert "+ edge RDS gamma of tenant gamma" in lines
    assert lines[-1] == "1 created; this was a trial: nothing was written"
    assert here.get("/revisions")["revisions"][0]["number"] == 1


def test_what_is_wrong_with_one_document_is_told_before_anything_is_sent(here: Console, gatecast: Run) -> None:
    place = here.write("a.yaml", f"{GAMMA}---\nkind: Tenant\nid: delta\nnix: 1\n")
    ran = gatecast("apply", "-f", place, "-o", "json")
    error = json.loads(ran.out)["error"]
    assert (ran.code, error["code"], error["message"]) == (1, "invalid_documents", "nothing was sent: 1 problem")
    assert [(one["file"], one["line"], one["path"]) for one in error["details"]] == [(place, 7, "nix")]
    assert f"  {place}:7 Tenant/delta nix: " in ran.err


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_what_is_wrong_between_documents_is_told_with_its_file(flags: Any, here: Console, gatecast: Run) -> None:
    place = here.write("a.yaml", f"# a remark\n{GAMMA}organisation: nix\n")
    ran = gatecast("apply", "-f", place, *flags)
    assert ran.code == 1
    assert f"{place}:2 Tenant/gamma organisation: no organisation 'nix'" in ran.err + ran.out


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", f"{GAMMA}---\n{GAMMA}", "Tenant/gamma is in {place}:1 and in {place}:5"),
        ("a.yaml", "# nothing\n", "{place} holds no documents"),
        ("a.yaml", "kind: [", "not valid YAML"),
    ],
)
def test_a_file_that_says_nothing_clear_is_refused(
    name: str, text: str, told: str, here: Console, gatecast: Run
) -> None:
    place = here.write(name, text)
    ran = gatecast("apply", "-f", place)
    assert (ran.code, ran.out) == (1, "")
    assert told.format(place=place) in ran.err
    assert gatecast("apply", "-f", "/nowhere").err == "Error: /nowhere cannot be read: no such file or directory\n"


def test_a_secret_that_was_hidden_from_a_viewer_is_not_written_over(here: Console, gatecast: Run) -> None:
    assert gathered.HIDDEN == redaction.HIDDEN
    text = "kind: Tenant\nid: gamma\npolicies: {headers: {request: {set: {x-api-key: (secret)}}}}\n"
    ran = gatecast("apply", "-f", here.write("a.yaml", text))
    assert (ran.code, "a.yaml:1: (secret) stands where a secret was hidden" in ran.err) == (1, True)


def test_prune_deletes_what_operators_gave_and_nothing_else(here: Console, gatecast: Run) -> None:
    given_by_a_file(here)
    kept = "---\n".join(gatecast("get", *name, "-o", "yaml").out for name in KEPT)
    ran = gatecast("apply", "-f", here.write("a.yaml", kept + "---\n" + GAMMA), "--prune")
    assert ran.code == 0, ran
    assert [one["id"] for one in json.loads(gatecast("get", "tenant", "-o", "json").out)] == ["filed", "gamma"]


def test_what_a_file_gives_is_taken_over_only_by_force(here: Console, gatecast: Run) -> None:
    given_by_a_file(here)
    place = here.write("a.yaml", "kind: Tenant\nid: filed\nhosts: [filed.example]\n")
    refused = gatecast("apply", "-f", place, "-o", "json")
    assert (refused.code, json.loads(refused.out)["error"]["code"]) == (5, "foreign")
    assert gatecast("apply", "-f", place, "--force").code == 0


def test_set_changes_fields_and_leaves_the_others(here: Console, gatecast: Run) -> None:
    gatecast("apply", "-f", here.write("a.yaml", GAMMA))
    fields = ("policies.rate_limit.requests=7", "hosts=[a.example, b.example]", "policies.timeout={request: 5s}")
    ran = gatecast("set", "tenant/gamma", *fields, "-m", "more")
    assert (ran.code, ran.out) == (0, "~ Tenant/gamma\n1 changed; revision 3\n")
    assert yaml.safe_load(gatecast("get", "tenant", "gamma", "-o", "yaml").out) == {
        "kind": "Tenant", "id": "gamma", "hosts": ["a.example", "b.example"],
        "policies": {"rate_limit": {"requests": 7, "per": "minute"}, "timeout": {"request": "5s"}},
    }  # fmt: skip
    gatecast("set", "tenant/gamma", "hosts=", "policies.timeout=null")
    assert yaml.safe_load(gatecast("get", "tenant", "gamma", "-o", "yaml").out) == yaml.safe_load(
        GAMMA.replace("requests: 5", "requests: 7")
    )


def test_set_says_what_a_value_cannot_be(here: Console, gatecast: Run) -> None:
    ran = gatecast("set", "tenant/acme", "policies.rate_limit={requests: lots, per: minute}")
    assert (ran.code, ran.out) == (1, "")
    assert "Tenant/acme policies.rate_limit.requests: 'lots' is not a whole number" in ran.err
    assert gatecast("set", "tenant/nix", "hosts=[a.example]").code == 4


@pytest.mark.parametrize(
    "text", ["hosts", "=5", "a..b=5", "hosts[0]=a.example", "a=[", "a=&x 1", "a=1\n---\n2", "a=!!str 1"]
)
def test_what_is_no_assignment_is_told(text: str, gatecast: Run) -> None:
    ran = gatecast("set", "tenant/acme", text)
    assert (ran.code, ran.out) == (2, "")
    assert "defect" not in ran.err


def test_assignments_become_one_patch() -> None:
    given = ["a.b=5", "a.c=yes", "d=", "e={x: [1, null]}", "f='5'"]
    assert json.loads(json.dumps(merged([assignment(one) for one in given]))) == {
        "a": {"b": 5, "c": "yes"}, "d": None, "e": {"x": [1, None]}, "f": "5"
    }  # fmt: skip
    for twice in (["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=2", "a=1"]):
        with pytest.raises(Usage):
            merged([assignment(one) for one in twice])


def test_a_change_of_somebody_else_meanwhile_is_not_lost(
    here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatecast.commands.set.document", lambda *_: {"etag": "of-yesterday"})
    ran = gatecast("set", "tenant/acme", "hosts=[a.example]", "-o", "json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (5, "stale")


def test_delete_takes_one_document_away(here: Console, gatecast: Run) -> None:
    assert gatecast("delete", "tenant", "beta", "--dry-run").out.endswith("this was a trial: nothing was written\n")
    assert gatecast("delete", "tenant", "beta", "-m", "gone").out == "- Tenant/beta\n1 deleted; revision 2\n"
    assert gatecast("delete", "tenant", "beta").code == 4
    assert gatecast("delete", "service", "orders").code == 1  # a route needs it


@pytest.mark.parametrize(
    ("words", "start", "offered"),
    [
        (["get"], "te", ["tenant"]),
        (["get", "tenants"], "", ["acme", "beta"]),
        (["delete", "tenant"], "b", ["beta"]),
        (["tenant", "effective"], "a", ["acme"]),
        (["set"], "ten", ["tenant/"]),
        (["set"], "tenant/a", ["tenant/acme"]),
        (["unpin"], "nix/", []),
        (["context", "use"], "", []),
    ],
)
def test_a_shell_completes_kinds_and_ids(
    words: list[str], start: str, offered: list[str], here: Console, gatecast: Run
) -> None:
    assert [one.value for one in ShellComplete(cli, {}, "gatecast", "_X").get_completions(words, start)] == offered


def test_a_document_may_be_named_in_one_word(here: Console, gatecast: Run) -> None:
    assert gatecast("get", "tenant/acme", "-o", "json").out == gatecast("get", "tenant", "acme", "-o", "json").out
    assert gatecast("get", "Tenants/nobody").code == 4
    assert gatecast("delete", "tenant/acme").code == 0
    assert gatecast("get", "tenant", "acme").code == 4
    for incomplete in (("delete", "tenant"), ("delete", "tenant/")):
        assert gatecast(*incomplete).code == 2


def test_a_server_may_be_named_before_the_command(
    here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATECAST_SERVER", "http://127.0.0.1:9")
    assert "acme" in gatecast("--server", here.url, "get", "tenants").out
    assert gatecast("--server", here.url, "audit", "verify").code == 0
    assert gatecast("--server", here.url, "get", "tenants", "--server", "http://127.0.0.1:9").code == 7
    found = ShellComplete(cli, {}, "gatecast", "_X").get_completions(["--server", here.url, "get", "tenants"], "")
    assert [one.value for one in found] == ["acme", "beta"]


def test_a_shell_is_told_nothing_when_nobody_answers(gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATECAST_SERVER", "http://127.0.0.1:9")
    assert ShellComplete(cli, {}, "gatecast", "_X").get_completions(["get", "tenant"], "") == []


def test_no_path_of_this_machine_is_read_by_a_name_that_looks_like_one(here: Console, gatecast: Run) -> None:
    assert gatecast("get", "tenant", "../../clients").code == 4
    assert not Path("gatecast.db").exists()


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], list[str]]:
    """Somebody sits at a terminal and answers questions so; what he was asked."""

    def at_a_terminal(answer: Callable[[], bool]) -> list[str]:
        asked: list[str] = []
        for stream in ("stdin", "stderr"):
            monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
        monkeypatch.setattr("gatecast.progress.progress", lambda *_: nullcontext(lambda _: None))
        monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text) or answer())
        return asked

    return at_a_terminal


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (("apply", "-f", "{place}", "--prune"), "Delete 7 documents?"),
        (("delete", "tenant", "beta"), "Delete Tenant/beta, which api gave?"),
        (("restore", "1", "-m", "why not"), "Go back to revision 1?"),
    ],
)
def test_at_a_terminal_what_destroys_is_asked_about(
    arguments: tuple[str, ...], question: str, here: Console, gatecast: Run, says: Any
) -> None:
    given = [one.format(place=here.write("a.yaml", GAMMA)) for one in arguments]
    gatecast("apply", "-f", given[2] if "apply" in given else here.write("b.yaml", "kind: Tenant\nid: delta\n"))
    asked = says(lambda: False)
    ran = gatecast(*given)
    assert (ran.code, ran.out, asked) == (1, "", [question])
    assert ran.err.endswith("Error: nothing was changed\n")
    assert here.get("/revisions")["revisions"][0]["number"] == 2
    if "apply" not in given:
        assert gatecast(*given, "--yes").code == 0
        assert asked == [question]


@pytest.mark.parametrize("arguments", [("apply", "-f", "{place}", "--prune"), ("restore", "1", "-m", "why not")])
def test_what_was_agreed_to_is_what_happens_or_nothing(
    arguments: tuple[str, ...], here: Console, gatecast: Run, says: Any
) -> None:
    """Somebody else changes something while the question stands."""
    text = "---\n".join(gatecast("get", kind, name, "-o", "yaml").out for kind, name in KEPT)
    place = here.write("a.yaml", text)
    gatecast("apply", "-f", here.write("b.yaml", GAMMA))
    says(lambda: bool(here.run(here.operator.put({"kind": "Tenant", "id": "new"}))))
    ran = gatecast(*[one.format(place=place) for one in arguments], "-o", "json")
    assert (ran.code, json.loads(ran.out)["error"]["code"]) == (5, "stale_revision")
    assert here.get("/revisions")["revisions"][0]["number"] == 3
