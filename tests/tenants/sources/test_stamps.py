"""What is read of a directory, when, and what is remembered of it: pure, no disk."""

import pytest

from tenants.sources.stamps import UNSURE, Unreadable, different, is_settings, remembered, unquiet

DENIED = Unreadable("permission denied")


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
