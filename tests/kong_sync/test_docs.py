"""docs/kong.md says of the policies what translation says."""

from pathlib import Path

from kong_sync.plugins import ROWS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "kong.md").read_text()


def test_the_parity_table_is_that_of_the_policies() -> None:
    parts = {name: row.parity.partition(": ") for name, row in ROWS.items()}
    rows = [f"| `{name}` | {level} | {why} |" for name, (level, _, why) in parts.items()]
    assert [
        line for line in DOCUMENT.splitlines() if line.startswith("| `") and line.count("|") == 4 and line in rows
    ] == rows
