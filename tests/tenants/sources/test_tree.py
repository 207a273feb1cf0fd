"""What the files of a directory come to: talk between files, `step` and a catalog. No disk."""

import followers
import pytest

from tenants.catalog import Catalog, Changes
from tenants.documents import Key
from tenants.errors import Problem
from tenants.sources.stamps import Unreadable
from tenants.sources.tree import Files, step

BROKEN = "kind: [\n"
DENIED = Unreadable("permission denied")


def doc(*ids: str, parity: str = "") -> bytes:
    """A file with these organisations."""
    return followers.doc(*ids, parity=parity).encode()


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
        return followers.names(self.catalog)

    @property
    def found(self) -> list[Problem]:
        return followers.found(self.catalog)

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
