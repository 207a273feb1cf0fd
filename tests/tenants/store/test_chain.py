"""The audit chain finds what was tampered with, wherever it was. Pure."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tenants.errors import Refused
from tenants.store.chain import Check, Entry, Head, parse, sealed

Entries = list[Entry]


def chain(count: int = 6) -> Entries:
    """A chain of entries that each say something else."""
    entries, head = Entries(), Head()
    for number in range(count):
        blank = Entry("2026-11-20T12:00:00.000000Z", f"user{number}", "write", "Tenant/acme", "api", "", "", "", "done")
        entries.append(sealed(blank, head))
        head = Head(entries[-1].seq, entries[-1].hash)
    return entries


def check(entries: Entries, head: Head | None, noted: Head | None = None) -> list[str]:
    """What is found, read in parts of two."""
    made = Check(noted)
    for start in range(0, len(entries), 2):
        made.read(entries[start : start + 2])
    made.end(head)
    return made.found


def head_of(entries: Entries) -> Head:
    return Head(entries[-1].seq, entries[-1].hash)


def test_an_untouched_chain_is_whole() -> None:
    entries = chain()
    assert check(entries, head_of(entries), Head(3, entries[2].hash)) == []
    assert check([], Head()) == []


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("column", [name for name in Entry.__slots__ if name not in ("seq", "previous", "hash")])
def test_an_edited_field_is_found(index: int, column: str) -> None:
    entries = chain()
    head = head_of(entries)
    entries[index] = replace(entries[index], **{column: 5 if column == "revision" else "other"})
    assert check(entries, head) == [f"entry {index + 1} was edited"]


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda entries: entries.pop(2), ["entry 3 is missing"]),
        (lambda entries: entries.pop(0), ["entry 1 is missing"]),
        (lambda entries: [entries.pop(1), entries.pop(1)], ["entries 2 to 3 are missing"]),
        (lambda entries: entries.pop(), ["entries 6 to 6 are missing at the end"]),
        (lambda entries: entries.clear(), ["entries 1 to 6 are missing at the end"]),
        (lambda entries: _swap(entries), ["entry 3 does not follow", "entry 3 was edited"]),
        (lambda entries: _reseal(entries), ["entry 4 does not follow"]),
    ],
)
def test_a_missing_moved_or_replaced_entry_is_found(tamper: Callable[[Entries], object], said: list[str]) -> None:
    entries = chain()
    head = head_of(entries)
    tamper(entries)
    found = check(entries, head)
    for one in said:
        assert any(line.startswith(one) for line in found), found


def _swap(entries: Entries) -> None:
    """Two entries change places, and numbers."""
    entries[2], entries[3] = replace(entries[3], seq=3), replace(entries[2], seq=4)


def _reseal(entries: Entries) -> None:
    """Somebody edits an entry and writes its hash anew."""
    entries[2] = sealed(replace(entries[2], actor="nobody"), Head(2, entries[1].hash))


def test_a_lost_head_is_found() -> None:
    assert check(chain(), None) == ["the head of the chain is missing: entries may have been cut off the end"]


def test_a_chain_written_anew_is_found_by_a_head_that_was_noted() -> None:
    noted = head_of(chain(4))
    entries = chain(2)
    for blank in chain()[2:]:
        entries.append(sealed(replace(blank, actor="forged"), head_of(entries)))
    assert check(entries, head_of(entries)) == []
    (found,) = check(entries, head_of(entries), noted)
    assert found == "entry 4 is not the one that was noted: the chain was written anew"
    assert check(chain(2), head_of(chain(2)), noted) == ["entry 4 was noted, and the chain ends with 2"]


def test_no_more_than_a_hundred_faults_are_named() -> None:
    entries = [replace(entry, actor="x") for entry in chain(300)]
    assert len(check(entries, head_of(entries))) == 100


def test_a_line_of_the_export_reads_back() -> None:
    for entry in chain():
        assert parse(entry.line) == entry
        assert json.loads(entry.line)["actor"] == entry.actor


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"at": 1}'])
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(Refused):
        parse(line)
