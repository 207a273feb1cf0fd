"""Resources with parts (ECDS): a table waits for the part it demands, and a part stays while a table demands it."""

import pytest
import talk

FILTER = "gatecast.jwt.00"


def part(name: str) -> str:
    return f"{FILTER}/{name}"


def world(parts: str, demands: str, before: talk.Snapshot | None = None) -> talk.Snapshot:
    """A filter with these parts, and the table `acme` that demands some of them."""
    uses = {part(name) for name in parts.split()}
    shard = talk.one("ECDS", f"{FILTER}={parts.replace(' ', '')}", uses=uses)
    table = talk.one("RDS", f"acme={demands.replace(' ', '')}", uses={part(name) for name in demands.split()})
    return talk.snapshot(before, ECDS=[shard], RDS=[table])


def settled(start: talk.Snapshot, *, delta: bool) -> talk.Talk:
    """A client that holds filter and table."""
    say = talk.delta if delta else talk.sotw
    dialogue = talk.Talk(talk.stream(start, delta=delta))
    assert dialogue.ask(say("ECDS", FILTER)) == [f"ECDS: {FILTER}"]
    assert dialogue.ack("ECDS") == []
    assert dialogue.ask(say("RDS", "acme")) == ["RDS: acme"]
    assert dialogue.ack("RDS") == []
    return dialogue


both = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])


@both
def test_a_table_waits_for_the_part_it_demands(delta: bool) -> None:
    start = world("a", "a")
    dialogue = settled(start, delta=delta)
    assert dialogue.publish(world("a b", "b", start)) == [f"ECDS: {FILTER}"]
    assert dialogue.ack("ECDS") == ["RDS: acme"]


@both
def test_a_part_goes_when_no_table_demands_it_any_more(delta: bool) -> None:
    start = world("a", "a")
    dialogue = settled(start, delta=delta)
    both_parts = world("a b", "b", start)
    dialogue.publish(both_parts)
    assert dialogue.ack("ECDS") == ["RDS: acme"]
    assert dialogue.publish(world("b", "b", both_parts)) == []  # the client may still hold the table that demands a
    assert dialogue.ack("RDS") == [f"ECDS: {FILTER}"]


@both
def test_a_table_whose_part_is_there_does_not_wait(delta: bool) -> None:
    start = world("a b", "a")
    dialogue = settled(start, delta=delta)
    assert dialogue.publish(world("a b c", "b", start)) == [f"ECDS: {FILTER}", "RDS: acme"]


@both
def test_a_table_keeps_what_it_has_while_the_new_part_is_refused(delta: bool) -> None:
    start = world("a", "a")
    dialogue = settled(start, delta=delta)
    refused = world("a b", "b", start)
    assert dialogue.publish(refused) == [f"ECDS: {FILTER}"]
    assert dialogue.nack("ECDS") == []
    assert dialogue.publish(world("a c", "c", refused)) == [f"ECDS: {FILTER}"]
    assert dialogue.ack("ECDS") == ["RDS: acme"]
