"""What the files of a directory come to: talk between files, `step` and a catalog. No disk."""

import pytest

from tenants.catalog import Catalog, Changes
from tenants.documents import Key
from tenants.errors import Problem
from tenants.sources.stamps import UNSURE, Unreadable, different, is_settings, remembered, unquiet
from tenants.sources.tree import Files, step

BROKEN = "kind: [\n"
DENIED = Unreadable("permission denied")


def doc(*ids: str, parity: str = "") -> bytes:
    """A file with these organisations."""
    more = f"parity: {parity}\n" if parity else ""
    return "---\n".join(f"kind: Organisation\nid: {id}\n{more}" for id in ids).encode()


class Talk:
    """Files and the catalog they lead to."""

    def __init__(self, *, allow_empty: bool = False, **texts: bytes) -> None:
        self.files, self.catalog, self.last = Files(), Catalog.empty(), Changes()
        self.allow_empty = allow_empty
        self.say(**texts)

    def say(self, **texts: bytes | str | Unreadable | None) -> Changes:
        """One batch: `a=` is what a.yaml holds now, None: it is gone."""
        seen = {f"{name}.yaml": text.encode() if isinstance(text, str) else text for name, text in texts.items()}
        self.files, self.last = step(self.files, seen, allow_empty=self.allow_empty)
        self.catalog = self.catalog.apply(self.last).catalog
        return self.last

    @property
    def names(self) -> str:
        """The ids in force."""
        return " ".join(sorted(self.catalog.organisations))

    @property
    def found(self) -> list[Problem]:
        """All problems but the warning that nothing is served: these files have no gateway."""
        return [problem for problem in self.catalog.problems if problem.code != "GC215"]

    @property
    def problems(self) -> list[tuple[str, int, str]]:
        """File, line and code of all problems."""
        return [(problem.file, problem.line, problem.code) for problem in self.found]


def test_the_first_step_puts_every_document_in_order() -> None:
    talk = Talk(b=doc("three"), a=doc("two", "one"))

    assert [given.key.id for given in talk.last.put] == ["two", "one", "three"]
    assert [given.file for given in talk.last.put] == ["a.yaml", "a.yaml", "b.yaml"]


def test_a_file_with_the_same_content_says_nothing_new() -> None:
    talk = Talk(a=doc("one"))

    assert talk.say(a=doc("one")) == Changes()
    assert talk.say(a=b"# a comment\n" + doc("one")).put, "its line is another"


def test_only_the_document_that_differs_is_put_again() -> None:
    talk = Talk(a=doc("one", "two", "six"))

    changes = talk.say(a=doc("one", "two").replace(b"two", b"two\nparity: exact") + b"---\n" + doc("six"))

    assert [given.key.id for given in changes.put] == ["two", "six"], "the last one for its line"
    assert [given.line for given in changes.put] == [4, 8]
    assert talk.catalog.organisations["two"].parity == "exact"


def test_a_file_with_broken_yaml_keeps_its_documents_and_the_rest_goes_live() -> None:
    talk = Talk(a=doc("one", "two"))

    talk.say(a="kind: Organisation\nid: one\n---\nkind: [\n", b=doc("three"))

    assert talk.names == "one three two"
    assert [(file, code) for file, _, code in talk.problems] == [("a.yaml", "GC001")]


@pytest.mark.parametrize("content", [BROKEN, b"\xff\xfe\x00", DENIED], ids=["syntax", "not utf-8", "unreadable"])
def test_the_problem_of_a_broken_file_vanishes_when_it_is_mended(content: bytes | str | Unreadable) -> None:
    talk = Talk(a=doc("one"), b=doc("two"))
    talk.say(a=content)
    assert [file for file, _, _ in talk.problems] == ["a.yaml"]
    assert talk.names == "one two"

    talk.say(a=doc("one"))

    assert talk.problems == []
    assert talk.names == "one two"


def test_a_broken_file_that_is_deleted_takes_its_problem_and_its_documents_along() -> None:
    talk = Talk(a=doc("one"), b=doc("two"))
    talk.say(a=BROKEN)

    talk.say(a=None)

    assert talk.problems == []
    assert talk.names == "two"


def test_one_broken_document_stays_last_good_and_its_neighbours_go_live() -> None:
    talk = Talk(a=doc("one", "two"))

    talk.say(a=doc("one") + b"---\nkind: Organisation\nid: two\nparity: rough\n---\n" + doc("three"))

    assert talk.names == "one three two"
    assert talk.problems == [("a.yaml", 6, "GC105")]
    talk.say(a=doc("one", "two", "three"))
    assert talk.problems == []


def test_a_broken_document_that_goes_back_to_its_last_good_text_is_sound_again() -> None:
    talk = Talk(a=doc("one"))
    talk.say(a="kind: Organisation\nid: one\nnope: 1\n")

    talk.say(a=doc("one"))

    assert talk.problems == []


def test_a_document_without_a_name_keeps_the_rest_of_its_file_in_force() -> None:
    talk = Talk(a=doc("one", "two"))

    talk.say(a=doc("one") + b"---\nkind: Organisation\nid: NOT AN ID\n")

    assert talk.names == "one two", "two may be the one whose id was spoilt"
    assert talk.problems == [("a.yaml", 4, "GC004")]


def test_a_document_taken_out_of_a_file_is_dropped() -> None:
    talk = Talk(a=doc("one", "two"))

    changes = talk.say(a=doc("one"))

    assert talk.names == "one"
    assert changes.withdrawn == {("a.yaml", Key("Organisation", "two"))}


def test_a_document_that_moves_between_files_is_never_out_of_force() -> None:
    talk = Talk(a=doc("one", "two"), b=doc("six"))

    talk.say(a=doc("two"), b=doc("six", "one"))

    assert talk.names == "one six two"
    assert talk.problems == []


def test_a_renamed_file_changes_no_document() -> None:
    talk = Talk(a=doc("one", "two"))
    before = talk.catalog

    talk.say(a=None, b=doc("one", "two"))

    assert talk.catalog.organisations == before.organisations
    assert talk.problems == []


def test_the_first_of_two_files_keeps_a_name_and_the_second_takes_over_when_it_goes() -> None:
    talk = Talk(b=doc("one", parity="exact"))

    talk.say(a=doc("one"))
    assert talk.catalog.organisations["one"].parity == "exact"
    (problem,) = talk.found
    assert (problem.code, problem.file) == ("GC212", "a.yaml")
    assert "b.yaml:1" in problem.message

    talk.say(b=None)
    assert talk.catalog.organisations["one"].parity is None
    assert talk.problems == []


def test_a_name_twice_in_one_file_is_a_problem_that_names_both_places() -> None:
    talk = Talk(a=doc("one", "one"))

    (problem,) = talk.found
    assert (problem.code, problem.line) == ("GC212", 5)
    assert "a.yaml:1" in problem.message


def test_a_document_moved_into_a_file_that_cannot_be_read_stays_until_that_is_mended() -> None:
    talk = Talk(a=doc("one", "two"), b=doc("six"))

    talk.say(a=doc("one"), b=BROKEN)
    assert talk.names == "one six two"

    talk.say(b=doc("six", "two"))
    assert talk.names == "one six two"
    assert talk.problems == []


def test_a_file_moved_onto_one_that_cannot_be_read_stays_until_that_is_mended() -> None:
    talk = Talk(a=doc("one", "two"))
    talk.say(a=None, b=BROKEN)
    assert talk.names == "one two"

    talk.say(b=doc("one"))

    assert talk.names == "one"
    assert talk.problems == []


def test_a_deletion_does_not_wait_for_a_file_that_was_broken_before() -> None:
    talk = Talk(a=doc("one", "two"), b=doc("six"))
    talk.say(b=BROKEN)

    talk.say(a=doc("one"))

    assert talk.names == "one six"


def test_a_mended_file_drops_what_it_lost_though_another_is_still_broken() -> None:
    talk = Talk(a=doc("one", "two"), b=doc("six"))
    talk.say(b=BROKEN)
    talk.say(a=BROKEN)

    talk.say(a=doc("one"))

    assert talk.names == "one six"


def test_what_waits_for_a_broken_file_still_waits_when_its_own_file_changes() -> None:
    talk = Talk(a=doc("one", "two"), b=doc("six"))
    talk.say(a=doc("one"), b=BROKEN)

    talk.say(a=doc("one", parity="exact"))
    assert talk.names == "one six two"

    talk.say(b=None)
    assert talk.names == "one"


def test_a_document_moved_out_of_a_file_that_broke_is_served_from_its_new_place() -> None:
    talk = Talk(a=doc("one"), b=doc("six"))

    talk.say(a=BROKEN, b=doc("six", "one", parity="exact"))

    assert talk.catalog.organisations["one"].parity == "exact"
    assert [code for _, _, code in talk.problems] == ["GC001"]


@pytest.mark.parametrize("after", [None, b"", b"# nothing\n"], ids=["deleted", "emptied", "comments"])
def test_when_no_document_would_be_left_all_stay_and_it_is_said_once(after: bytes | None) -> None:
    talk = Talk(a=doc("one"), b=doc("two"))

    talk.say(a=after, b=after)

    assert talk.names == "one two"
    assert ["no documents" in problem.message for problem in talk.found] == [True]
    assert talk.say(a=after) == Changes()


def test_when_all_are_gone_and_some_come_back_the_others_go() -> None:
    talk = Talk(a=doc("one"), b=doc("two"))
    talk.say(a=None, b=None)

    talk.say(b=doc("two"))

    assert talk.names == "two"
    assert talk.problems == []


def test_when_all_are_gone_and_come_back_nothing_has_changed() -> None:
    talk = Talk(a=doc("one"), b=doc("two"))
    before = talk.catalog
    talk.say(a=None, b=None)

    changes = talk.say(a=doc("one"), b=doc("two"))

    assert not changes.put
    assert not changes.withdrawn
    assert talk.catalog.organisations == before.organisations
    assert talk.problems == []


def test_a_broken_file_that_goes_last_does_not_take_everything_along() -> None:
    talk = Talk(a=doc("one"))
    talk.say(a=None, b=BROKEN)

    talk.say(b=None)

    assert talk.names == "one"


def test_everything_may_go_where_empty_is_allowed() -> None:
    talk = Talk(a=doc("one"), allow_empty=True)

    talk.say(a=None)

    assert talk.names == ""
    assert talk.problems == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.yaml", True),
        ("a.yml", True),
        ("a.json", True),
        ("A.YAML", True),
        (".a.yaml", False),
        (".a.yaml.swp", False),
        ("a.yaml~", False),
        ("#a.yaml#", False),
        ("4913", False),
        ("a.yaml.tmp", False),
        ("yaml", False),
        ("README.md", False),
    ],
)
def test_a_name_tells_whether_a_file_holds_settings(name: str, settings: bool) -> None:
    assert is_settings(name) is settings


@pytest.mark.parametrize(
    ("newest", "wait"),
    [(0, None), (9_500, None), (9_600, 0.0), (10_000, 0.2), (10_100, 0.3), (10_300, 0.5), (10_301, None)],
    ids=["long ago", "just quiet", "not at the start", "at the start", "during the walk", "now", "a clock ahead"],
)
def test_it_waits_until_nothing_has_changed_for_a_while(newest: int, wait: float | None) -> None:
    """A walk from second 10 to second 10.3."""
    got = unquiet(newest * 1_000_000, 10_000_000_000, 10_300_000_000, quiet=0.5)

    assert got == (wait if wait is None else pytest.approx(wait))


def test_what_is_below_an_unreadable_folder_is_not_gone() -> None:
    known = {"a/b/one.yaml": (1,), "a/two.yaml": (2,), "ab.yaml": (3,)}

    assert different(known, {"a": DENIED}) == (["a"], ["ab.yaml"])
    assert different(known, {".": DENIED}) == (["."], [])
    assert different(known, {}) == ([], list(known))


def test_a_file_that_changed_just_now_or_failed_to_open_is_read_again() -> None:
    found = {
        "old.yaml": (1, 10),
        "young.yaml": (2, 50),
        "denied.yaml": (3, 10),
        "link.yaml": DENIED,
        "lost.yaml": (4, 10),
    }
    seen = {"old.yaml": b"", "young.yaml": b"", "denied.yaml": DENIED, "link.yaml": DENIED, "gone.yaml": None}

    kept = remembered({"gone.yaml": (9, 9), "lost.yaml": (4, 9), "same.yaml": (5, 5)}, found, seen, since=40)

    assert kept == {
        "old.yaml": (1, 10),
        "young.yaml": UNSURE,
        "denied.yaml": UNSURE,
        "link.yaml": DENIED,
        "lost.yaml": (4, 9),
        "same.yaml": (5, 5),
    }
