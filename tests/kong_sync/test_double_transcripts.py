"""The double is judged by recorded exchanges with a real Kong 3.9.1: every file is replayed, every difference has a
reason in `transcripts/differences.yaml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import transcripts
import yaml

SHARE = 0.9
"""Of the exchanges that concern what we use, at least so many match. The true share is printed by the test below."""
OURS, MATCH = 928, 893
"""What it was when it was counted last. Neither may fall: put a larger number here when the double has learned more."""

pytest.importorskip("lupa", reason="the double runs Lua by lupa")


@dataclass(frozen=True, slots=True)
class Judged:
    """One replayed exchange: "" means that it matches."""

    file: str
    name: str
    ours: bool
    difference: str


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """All files, in order, each Kong's on one double."""
    replays = {kind: transcripts.Replay(dbless=kind == "dbless") for kind in ("postgres", "dbless")}
    found = []
    for file in transcripts.files():
        replay = replays[file.partition("/")[0]]
        replay.begin(file)
        found += [Judged(file, one.name, one.is_ours, replay.differs(one)) for one in transcripts.exchanges(file)]
    return found


@pytest.fixture(scope="module")
def reasons() -> Mapping[str, str]:
    """Exchange -> why it may differ."""
    listed: dict[str, list[str]] = yaml.safe_load((transcripts.FOLDER / "differences.yaml").read_text())
    return {name: reason for reason, names in listed.items() for name in names}


def _share(rows: list[Judged]) -> str:
    good = sum(not one.difference for one in rows)
    return f"{good}/{len(rows)}"


def test_every_file_was_replayed(judged: list[Judged]) -> None:
    assert len(judged) == 991
    assert len({one.file for one in judged}) == 14


def test_nine_of_ten_exchanges_that_concern_us_match(judged: list[Judged], capsys: pytest.CaptureFixture[Any]) -> None:
    ours = [one for one in judged if one.ours]
    with capsys.disabled():
        print()
        for file in transcripts.files():
            rows = [one for one in judged if one.file == file]
            print(f"  {file:36} {_share(rows):>8}, of ours {_share([one for one in rows if one.ours]):>8}")
        print(f"  {'all':36} {_share(judged):>8}, of ours {_share(ours):>8}")
    matched = sum(not one.difference for one in ours)
    assert matched / len(ours) >= SHARE
    assert len(ours) >= OURS
    assert matched >= MATCH


def test_every_difference_has_a_reason(judged: list[Judged], reasons: Mapping[str, str]) -> None:
    unexplained = {one.name: one.difference for one in judged if one.difference and one.name not in reasons}
    assert unexplained == {}


def test_every_reason_is_still_needed(judged: list[Judged], reasons: Mapping[str, str]) -> None:
    assert sorted(reasons.keys() - {one.name for one in judged if one.difference}) == []
