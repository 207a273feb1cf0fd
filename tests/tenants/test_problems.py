"""Every rule, by its YAML: what is given, and the (code, path, line) that must come of it, with a hint each.

`BASE` is in force as a.yaml before the text of a case of `wrong_beside` is given as b.yaml. A test walks the table of
codes and names those without a case.
"""

import pytest
from catalogs import BASE, catalog, changes, places
from wrong_alone import ALONE
from wrong_beside import BESIDE

from tenants.catalog import Changes
from tenants.codes import CODES
from tenants.documents import Key
from tenants.reading import read

# These have tests of their own below, in test_problems_text.py, or in the sources (GC011).
SECRETS = {"GC411", "GC412", "GC413", "GC414", "GC415", "GC416", "GC417"}  # tests/tenants/secrets
KEPT_OUT = {"GC012", "GC226", "GC227"}  # tests/gatecast/test_ledger_files.py, test_ledger_registry.py
ELSEWHERE = (
    SECRETS
    | KEPT_OUT
    | {
        "GC303",  # tests/tenants/test_exactness.py
        "GC007",
        "GC008",
        "GC009",
        "GC011",
        "GC211",
        "GC215",
        "GC301",
        "GC302",
        "GC401",
        "GC900",
        "GC901",
        "GC902",
    }
)


@pytest.mark.parametrize("case", ALONE)
def test_a_document_that_is_wrong_by_itself_is_refused_with_code_path_line_and_hint(case: str) -> None:
    text, expected = ALONE[case]
    reading = read(text, "b.yaml")
    assert sorted(places(reading.problems)) == sorted(expected)
    assert all(problem.hint and problem.message and problem.file == "b.yaml" for problem in reading.problems)


@pytest.mark.parametrize("case", BESIDE)
def test_a_document_that_is_wrong_beside_others_is_listed_with_code_path_line_and_hint(case: str) -> None:
    text, expected = BESIDE[case]
    assert read(text, "b.yaml").problems == ()
    problems = catalog(BASE).apply(changes(text, "b.yaml")).catalog.problems
    assert places(problems) == sorted(expected, key=lambda place: (place[2], place[1]))
    assert all(problem.hint and problem.message and problem.file == "b.yaml" for problem in problems)


def test_every_code_has_a_case() -> None:
    cases = {code for table in (ALONE, BESIDE) for _text, expected in table.values() for code, _path, _line in expected}
    assert cases | ELSEWHERE == set(CODES)


def test_base_has_no_problems() -> None:
    assert catalog(BASE).problems == ()


@pytest.mark.parametrize("name", [name for name in ALONE if "password" in name])
def test_a_password_is_not_repeated(name: str) -> None:
    assert "hunter2" not in "".join(map(str, read(ALONE[name][0], "a.yaml").problems))


def test_a_problem_says_where_what_and_what_would_be_right() -> None:
    (problem,) = read("kind: Tenant\nid: acme\nstatus: activ\n", "dir/a.yaml").problems
    assert str(problem) == (
        "dir/a.yaml:3 Tenant/acme status: 'activ' is not allowed here (did you mean active?) [GC105]"
    )
    assert problem.tenant == "acme"


def test_a_problem_is_one_line_that_cannot_steer_a_terminal() -> None:
    (problem,) = read('kind: Tenant\nid: acme\n"\\e[31m\\n": 1\n', "a\n.yaml").problems
    assert str(problem).startswith("a\\n.yaml:3 Tenant/acme \\x1b[31m\\n: unknown field")


def test_a_document_that_is_there_and_broken_is_not_said_to_be_missing() -> None:
    found = catalog(BASE.replace("id: foods", "id: foods\nx: 1"), "kind: Tenant\nid: a\norganisation: foods\n").problems
    (problem,) = [one for one in found if one.kind == "Tenant"]
    assert (problem.message, problem.hint) == (
        "no organisation 'foods' is in force",
        "add the Organisation, or mend it",
    )


def test_a_removed_document_that_is_still_referred_to_stays_and_is_listed() -> None:
    before = catalog(BASE)
    step = before.apply(Changes(drop=frozenset({Key("Service", "orders")})))
    assert places(step.catalog.problems) == [("GC211", "", 7)]
    assert "orders" in step.catalog.services


def test_documents_without_a_gateway_in_force_are_a_warning_until_one_is() -> None:
    (problem,) = catalog("kind: Organisation\nid: foods\n").problems
    assert str(problem) == "Gateway: no gateway is in force: nothing is served (add a Gateway, or mend it) [GC215]"
    assert (problem.kind, problem.id, problem.severity) == ("Gateway", "", "warning")
    assert catalog("kind: Organisation\nid: foods\n", BASE.split("---")[0]).problems == ()
    assert catalog().problems == ()


def test_a_broken_gateway_alone_leaves_nothing_unserved() -> None:
    broken = "kind: Gateway\nid: edge\nlisteners: []\n"
    assert "GC215" not in {problem.code for problem in catalog(broken).problems}
    assert "GC215" in {problem.code for problem in catalog(broken, "kind: Organisation\nid: foods\n").problems}
