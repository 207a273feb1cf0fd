"""History on the command line, against a whole server: revisions, diff, restore, pins, wait, audit, sync."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from consoles import Console
from ledgers import answer
from operators import SETTINGS
from stores import FILE

from tenants.documents import Key
from tenants.store import By, Write
from xds.stream import Adjust, Ask

Run = Callable[..., Any]
REGISTRY = By("registry", "registry")


def limit(here: Console, gatecast: Run, requests: int, *flags: str) -> Any:
    """Another limit for acme: one more revision."""
    text = f"kind: Tenant\nid: acme\npolicies: {{rate_limit: {{requests: {requests}, per: minute}}}}\n"
    return gatecast("apply", "-f", here.write("acme.yaml", text), "-m", f"{requests} a minute", *flags)


def proxy(here: Console) -> Any:
    """A proxy that asks for the tables of tenants, and answers only when `answer` is called."""
    client = here.call(here.operator.join)
    here.call(client.machine.receive, Ask("RDS", Adjust(("acme",))), 0.0)
    return client


def test_revisions_are_listed_newest_first_and_one_is_shown_in_full(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    limit(here, gatecast, 6)
    lines = gatecast("revisions").out.splitlines()
    assert [line.split()[0] for line in lines] == ["REVISION", "3", "2", "1"]
    assert lines[1].split()[2:] == ["local", "cli", "~1", "6", "a", "minute"]
    assert json.loads(gatecast("revisions", "-n", "1", "-o", "json").out)[0]["number"] == 3
    assert gatecast("revisions", "-n", "1").out.endswith("older ones: -n shows more\n")
    one = gatecast("revisions", "3").out.splitlines()
    assert one[0].endswith("by local (cli): 6 a minute")
    assert one[1:] == ["~ Tenant/acme", "    policies.rate_limit.requests", "      - 5", "      + 6", "1 changed"]
    assert gatecast("revisions", "--document", "tenant/beta").out.count("\n") == 2
    assert gatecast("revisions", "--author", "nobody").out == "there is no revision\n"
    assert gatecast("revisions", "99").code == 4


def test_diff_compares_two_revisions_either_way(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    limit(here, gatecast, 6)
    lines = gatecast("diff", "2", "3").out.splitlines()
    assert lines[:4] == ["~ Tenant/acme", "    policies.rate_limit.requests", "      - 5", "      + 6"]
    assert lines[4:] == ["proxies 1 resource:", "~ edge RDS acme of tenant acme", "1 changed"]
    assert "      - 6" in gatecast("diff", "3", "2").out
    assert gatecast("diff", "2").out.splitlines() == lines
    assert gatecast("diff", "2", "3", "--stat", "--no-resources").out == "~ Tenant/acme\n1 changed\n"
    assert gatecast("diff", "3", "3").out == "no difference\n"
    assert gatecast("diff", "2", "99").code == 4


def test_diff_tells_by_its_exit_code_only_if_asked(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    for form in ("table", "json"):
        assert gatecast("diff", "1", "2", "-o", form).code == 0
        assert gatecast("diff", "1", "2", "--exit-code", "-o", form).code == 3
        assert gatecast("diff", "2", "2", "--exit-code", "-o", form).code == 0


def test_diff_compares_a_directory_with_the_server(here: Console, gatecast: Run) -> None:
    place = here.write("s/a.yaml", "kind: Tenant\nid: acme\nhosts: [a.example]\n")
    found = json.loads(gatecast("diff", f"{here.folder}/s", "-o", "json").out)
    changes = {f"{one['kind']}/{one['id']}": one["change"] for one in found["documents"]}
    assert (changes["Tenant/acme"], changes["Tenant/beta"]) == ("changed", "deleted")
    assert gatecast("diff", place, "3").code == 2
    assert gatecast("diff", "1", "x").code == 2
    assert here.get("/revisions")["revisions"][0]["number"] == 1


def test_whose_a_document_is_makes_no_difference_to_a_directory(here: Console, gatecast: Run) -> None:
    same = here.write("same.yaml", SETTINGS)
    assert gatecast("apply", "-f", same).code == 0
    held = here.run(here.operator.store.current()).documents
    here.run(here.operator.ledger.write([Write.put(dict(one.body)) for one in held], FILE, force=True))
    assert gatecast("diff", same, "--exit-code").out == "no difference\n"  # whose a document is, is none


def test_restore_is_a_new_revision_with_a_reason(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    assert gatecast("restore", "1").code == 2
    trial = gatecast("restore", "1", "--dry-run").out
    assert trial.endswith("1 changed; this was a trial: nothing was written\n")
    assert "    policies" in trial
    assert gatecast("restore", "1", "-m", "too slow").out == "~ Tenant/acme\n1 changed; revision 3\n"
    assert gatecast("revisions").out.splitlines()[1].endswith("~1         back to revision 1: too slow")
    assert gatecast("diff", "1", "3").out == "no difference\n"
    assert gatecast("restore", "99", "-m", "why not").code == 4


def test_what_a_restore_pinned_is_shown_and_unpinned(here: Console, gatecast: Run) -> None:
    ledger = here.operator.ledger
    here.run(ledger.write([Write.put({"kind": "Tenant", "id": "filed"})], FILE))
    said = "1 document {}: files and registries may not write it until `gatecast unpin`"
    assert said.format("would be pinned") in gatecast("restore", "1", "--dry-run").out
    assert said.format("pinned") in gatecast("restore", "1", "-m", "not yet").out
    lines = gatecast("pins").out.splitlines()
    assert (lines[1].split()[0], lines[1].split()[-2:], lines[2]) == ("Tenant/filed", ["not", "yet"], "1 pin")
    assert "warning: 1 document pinned" in gatecast("status").out
    assert gatecast("unpin").code == 2
    assert gatecast("unpin", "tenant/filed", "--all").code == 2
    assert gatecast("unpin", "tenant/acme").code == 4
    assert gatecast("unpin", "tenant/filed", "-m", "now").out == "1 document unpinned\n"
    assert gatecast("unpin", "--all").out == "0 documents unpinned\n"
    assert json.loads(gatecast("pins", "-o", "json").out) == []


def test_a_pinned_document_is_said_to_be_so(here: Console, gatecast: Run) -> None:
    here.run(here.operator.ledger.write([Write.put({"kind": "Tenant", "id": "filed"})], REGISTRY))
    limit(here, gatecast, 5)
    here.run(here.operator.ledger.write([Write.delete(Key("Tenant", "filed"))], REGISTRY))
    gatecast("restore", "3", "-m", "it was gone")
    assert "pinned: files and registries may not write it" in gatecast("get", "tenant", "filed").out


def test_waiting_ends_when_every_proxy_has_it(here: Console, gatecast: Run) -> None:
    assert gatecast("wait", "1", "--timeout", "0s").out == "revision 1 is in force; no proxy is connected\n"
    client = proxy(here)
    here.call(answer, here.operator.ledger, client)
    assert gatecast("wait", "1").out == "revision 1 is on 1 of 1 proxy stream\n"
    assert gatecast("wait", "99", "--timeout", "0s").code == 4


@pytest.mark.parametrize("form", ["table", "json"])
def test_waiting_for_a_proxy_that_does_not_answer_times_out(form: str, here: Console, gatecast: Run) -> None:
    here.call(answer, here.operator.ledger, proxy(here))
    ran = limit(here, gatecast, 5, "--wait", "--timeout", "50ms", "-o", form)
    assert ran.code == 8
    if form == "json":
        found = json.loads(ran.out)
        assert (found["made"], found["rollout"]["done"], found["rollout"]["pending"]) == (True, False, 1)
    else:
        assert "  pending envoy-1 of gateway edge: RDS is not acknowledged yet\n" in ran.out
        assert "revision 2 is on 0 of 1 proxy stream\n" in ran.out


def test_a_proxy_that_refuses_is_waited_for_no_longer(here: Console, gatecast: Run) -> None:
    client = proxy(here)
    here.call(answer, here.operator.ledger, client)
    limit(here, gatecast, 5)
    here.call(answer, here.operator.ledger, client, "RDS")
    ran = gatecast("wait", "2", "--timeout", "60s")
    assert ran.code == 1
    assert "  refused envoy-1 of gateway edge: no\n" in ran.out


def test_the_audit_tells_also_what_was_refused(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    gatecast("restore", "99", "-m", "why not")
    lines = gatecast("audit").out.splitlines()
    assert lines[1].split()[2:] == ["local", "revision", "restore", "revision/99", "refused", "why", "not"]
    assert "127.0.0.1" in gatecast("audit", "-o", "wide").out
    assert len(json.loads(gatecast("audit", "--outcome", "done", "-o", "json").out)) == 2
    assert gatecast("audit", "--actor", "nobody").out == "no entry\n"
    exported = [json.loads(line) for line in gatecast("audit", "export").out.splitlines()]
    assert [one["seq"] for one in exported] == [1, 2, 3]
    assert len(gatecast("audit", "export", "--after", "2").out.splitlines()) == 1


def test_the_audit_is_checked_also_against_an_end_that_was_noted(here: Console, gatecast: Run) -> None:
    limit(here, gatecast, 5)
    ran = gatecast("audit", "verify")
    first, last = ran.out.splitlines()
    assert (ran.code, first) == (0, "the audit is whole: 2 entries")
    noted = last.removeprefix("it ends with ")
    limit(here, gatecast, 6)
    assert gatecast("audit", "verify", "--noted", noted).code == 0
    assert gatecast("audit", "verify", "--noted", f"2:{'0' * 64}", "-o", "json").code == 3
    assert gatecast("audit", "verify", "--noted", "2").code == 2


def test_flags_before_a_verb_of_audit_are_not_dropped_in_silence(here: Console, gatecast: Run) -> None:
    ran = gatecast("audit", "--server", "http://127.0.0.1:9", "verify")
    assert (ran.code, ran.out) == (2, "")
    assert "--server goes after `verify`" in ran.err


def test_sync_tells_how_each_source_does(here: Console, gatecast: Run) -> None:
    assert gatecast("sync").out == "no file or registry gives documents\nrevision 1 is in force\n"
