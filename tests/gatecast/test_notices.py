"""What is told and when, with a clock that the test holds: nothing here waits."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from gatecast.notices import REMEMBERED, SHOWN, Book, Message, Pace, due, observe, told
from gatecast.troubles import Trouble

PACE = Pace(after=30.0, every=300.0)


@dataclass
class Desk:
    """A book, its clock, and a sink that takes what it is sent while it is `open`."""

    now: float = 1000.0
    open: bool = True
    book: Book = field(default_factory=Book)

    def look(self, *items: str, after: float = 0.0, subject: str = "documents") -> list[Message]:
        """`after` seconds later this is wrong: what is sent."""
        self.now += after
        wrong = Trouble(subject, {item: f"{item} is bad" for item in items}, f"{len(items)} errors")
        self.book = observe(self.book, [wrong] if items else [], self.now, PACE)
        messages = due(self.book, self.now, PACE)
        for one in messages if self.open else ():
            self.book = told(self.book, one.subject, self.now, PACE)
        return list(messages)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def warned() -> Desk:
    """It was told that `a` is bad, just now."""
    desk = Desk()
    desk.look("a")
    assert desk.look("a", after=30)[0].new == ("a is bad",)
    return desk


def test_what_does_not_last_is_never_told(desk: Desk) -> None:
    assert desk.look("a") == []
    assert desk.look("a", after=20) == []
    assert [desk.look(after=seconds) for seconds in (1, 29, 30, 600)] == [[], [], [], []]
    assert not desk.book


def test_what_lasts_is_told_once(desk: Desk) -> None:
    desk.look("a", "b")
    (message,) = desk.look("a", "b", after=30)
    assert (message.status, message.new, message.standing) == ("failing", ("a is bad", "b is bad"), 2)
    assert message.text == "documents (2 errors)\nnew:\n- a is bad\n- b is bad"
    assert [desk.look("a", "b", after=400) for _ in range(5)] == [[]] * 5


def test_within_the_time_of_one_message_nothing_else_is_said_and_then_all_of_it_in_one(warned: Desk) -> None:
    assert warned.look("a", "b", after=10) == []
    assert warned.look("a", "b", "c", after=40) == []
    assert warned.look("a", "c", after=40) == []  # b came, lasted, and went: held back
    assert warned.look("c", after=169.9) == []
    assert warned.look("c", after=40) == []
    (digest,) = warned.look("c", after=0.2)
    assert (digest.new, digest.over, digest.passed) == (("c is bad",), ("a is bad",), ("b is bad",))
    assert digest.text == ("documents (1 errors)\nnew:\n- c is bad\nover:\n- a is bad\ncame and went:\n- b is bad")


def test_what_goes_on_is_counted_beside_what_is_new(warned: Desk) -> None:
    warned.look("a", "b", after=200)
    (message,) = warned.look("a", "b", after=100)
    assert message.text == "documents (2 errors)\nnew:\n- b is bad\nstill there: 1"


def test_that_it_is_over_is_told_when_it_has_been_over_for_a_while(warned: Desk) -> None:
    assert warned.look(after=280) == []
    assert warned.look(after=29) == []
    (message,) = warned.look(after=1)
    assert (message.status, message.over, message.standing) == ("resolved", ("a is bad",), 0)
    assert message.text == "resolved: documents\nover:\n- a is bad"
    assert warned.look(after=1) == []
    warned.look(after=300)
    assert not warned.book, "nothing is remembered of what is over"


def test_a_fault_that_blinks_is_one_fault(warned: Desk) -> None:
    for _ in range(100):
        assert warned.look(after=20) == []
        assert warned.look("a", after=5) == []


def test_a_subject_that_flaps_has_one_message_in_its_time(desk: Desk) -> None:
    """A minute bad, a minute good, for ten hours."""
    times = []
    for minute in range(600):
        for _ in range(12):
            wrong = ("a",) if minute % 2 else ()
            times += [desk.now for _ in desk.look(*wrong, after=5)]
    assert len(times) > 50
    assert min(later - earlier for earlier, later in pairwise(times)) >= PACE.every


def test_subjects_do_not_wait_for_each_other(warned: Desk) -> None:
    both = [Trouble("documents", {"a": "a is bad"}, ""), Trouble("keys", {"k": "k is gone"}, "")]
    for _ in range(2):
        warned.book = observe(warned.book, both, warned.now, PACE)
        warned.now += 31
    (message,) = due(warned.book, warned.now, PACE)
    assert (message.subject, message.new) == ("keys", ("k is gone",))


def test_a_sink_that_was_away_is_told_what_is_so_now_in_one_message(warned: Desk) -> None:
    warned.open = False
    assert warned.look("a", "b", after=3600) == []
    assert len(warned.look("a", "b", after=3600)) == 1
    warned.look("c", after=3600)
    warned.open = True
    (message,) = warned.look("c", after=3600)
    assert (message.new, message.over, message.passed) == (("c is bad",), ("a is bad",), ("b is bad",))
    assert warned.look("c", after=3600) == []


def test_what_is_remembered_for_a_dead_sink_is_bounded(desk: Desk) -> None:
    desk.open = False
    for number in range(0, 3 * REMEMBERED, 100):
        desk.look(*(f"t{number + one:05}" for one in range(100)), after=60)
    desk.look(after=60)
    passed = desk.look(after=60)[0].passed
    assert len(passed) == REMEMBERED
    assert passed[-1] == f"t{3 * REMEMBERED - 1:05} is bad", "the newest stay"


def test_a_message_stays_short_however_much_is_wrong(desk: Desk) -> None:
    many = [f"t{number:03}" for number in range(150)]
    desk.look(*many)
    (message,) = desk.look(*many, after=30)
    lines = message.text.splitlines()
    assert len(lines) == SHOWN + 3
    assert lines[-1] == f"- and {150 - SHOWN} more"
    assert len(message.new) == 150
