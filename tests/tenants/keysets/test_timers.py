"""Who is due, and who may start."""

import random

from tenants.keysets.source import Source
from tenants.keysets.timers import SPARE, Slots, Timers

A, B, C, D = (Source(f"https://{name}.example") for name in "abcd")


def test_the_first_due_comes_first_and_none_before_its_time() -> None:
    timers = Timers()
    for source, due in ((A, 3.0), (B, 1.0), (C, 2.0), (D, 2.0)):
        timers.set(source, due)
    assert timers.next() == 1.0
    assert timers.pop(0.9) is None
    assert [timers.pop(3.0) for _ in range(5)] == [B, C, D, A, None]
    assert timers.next() is None


def test_a_new_time_takes_the_old_one_back() -> None:
    timers = Timers()
    timers.set(A, 1.0)
    timers.set(A, 5.0)
    timers.set(B, 2.0)
    timers.drop(B)
    assert timers.next() == 5.0
    assert (timers.pop(4.0), timers.pop(5.0), timers.pop(9.0)) == (None, A, None)


def test_times_set_anew_without_end_take_no_memory_without_end() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set((A, B, C, D)[number % 4], 1e9 - number)
    assert len(timers._heap) <= 2 * 4 + SPARE + 1
    assert [timers.pop(2e9) for _ in range(5)] == [D, C, B, A, None]


def test_a_host_has_its_places_and_no_more_and_who_waits_comes_in_turn() -> None:
    slots = Slots(at_once=3, per_host=1)
    assert slots.enter(A, "one")
    assert not slots.enter(B, "one")
    assert not slots.enter(C, "one")
    assert not slots.enter(B, "one")
    assert slots.enter(D, "two")
    assert not slots.full
    assert slots.leave(A) is B
    assert slots.enter(B, "one")
    assert slots.leave(B) is C
    assert slots.leave(D) is None


def test_who_is_withdrawn_waits_no_longer() -> None:
    slots = Slots(at_once=9, per_host=1)
    slots.enter(A, "one")
    slots.enter(B, "one")
    slots.enter(C, "one")
    slots.withdraw(B, "one")
    assert slots.leave(A) is C


def test_whatever_is_asked_the_bounds_hold_and_everybody_gets_a_turn() -> None:
    draw, slots = random.Random(1), Slots(at_once=5, per_host=2)
    waiting = [Source(f"https://{number % 7}.example/{number}") for number in range(300)]
    done, tasks = set(), []
    while waiting or tasks:
        while waiting and not slots.full:
            source = waiting.pop(0)
            if slots.enter(source, source.issuer.split("/")[2]):
                tasks.append(source)
        assert len(tasks) <= 5
        assert all(list(slots.busy.values()).count(host) <= 2 for host in slots.busy.values())
        ended = tasks.pop(draw.randrange(len(tasks)))
        done.add(ended)
        following = slots.leave(ended)
        waiting[:0] = [following] if following else []
    assert len(done) == 300
