"""Text that no file of settings should be: too deep, too large, not UTF-8, control characters."""

import pytest
from catalogs import places

from tenants.reading import MAX_FILE, read


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack(opening: str) -> None:
    reading = read("kind: Tenant\nid: a\nx:\n  " + opening * 20_000 + "\n", "b.yaml")
    assert reading.documents == ()
    assert {problem.code for problem in reading.problems} & {"GC001", "GC007"}


def test_balanced_deep_nesting_is_one_problem_and_its_siblings_are_read() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    reading = read(f"kind: Tenant\nid: a\npolicies: {{timeout: {deep}}}\n---\nkind: Tenant\nid: b\n", "b.yaml")
    assert "GC007" in {problem.code for problem in reading.problems}
    assert [given.key.id for given in reading.documents] == ["b"]


def test_an_alias_bomb_stays_small() -> None:
    bomb = "kind: Tenant\nid: a\na0: &a0 [x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    codes = {problem.code for problem in read(bomb, "b.yaml").problems}
    assert codes == {"GC006"}


def test_a_document_that_is_too_large_is_refused_and_its_siblings_are_read() -> None:
    large = f"kind: Tenant\nid: a\nhosts: [{'a' * 300_000}]\n---\nkind: Tenant\nid: b\n"
    reading = read(large, "b.yaml")
    assert "GC008" in {problem.code for problem in reading.problems}
    assert [given.key.id for given in reading.documents] == ["b"]


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    assert places(read(b"#" * (MAX_FILE + 1), "b.yaml").problems) == [("GC008", "", 0)]


@pytest.mark.parametrize("text", [b"kind: \xff\xfe", "kind: \ud800"])
def test_text_that_is_not_utf_8_is_refused(text: str | bytes) -> None:
    assert places(read(text, "b.yaml").problems) == [("GC009", "", 0)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"kind: \x00", 1),
        ("kind: a\x07b", 1),
        ("\ufeffkind: Tenant\nid: '\x1b'", 2),
        ("kind: Tenant\r\nid: a\r\nhosts: [\x07]\r\n", 3),
        ("# " + "\u00e9" * 30_000 + "\nid: a\x07\n\n\n", 2),
    ],
)
def test_control_characters_are_no_yaml_and_their_line_is_told(text: str | bytes, line: int) -> None:
    assert places(read(text, "b.yaml").problems) == [("GC001", "", line)]
