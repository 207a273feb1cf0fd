"""What is known of one source's keys, for whoever serves them: `gatecast` puts it into snapshots and problems."""

from dataclasses import dataclass

from tenants.keysets.keys import KeySet


@dataclass(frozen=True, slots=True)
class State:
    """`keys`: the last good set, with keys in overlap. `problem`: why the newest fetch failed, "" if it did not.

    `fetched`: wall time of the last good fetch in seconds since the epoch, 0 if there was none. `stale`: that was too
    long ago, so tokens can be neither accepted nor called bad (503, not 401).
    """

    keys: KeySet | None = None
    problem: str = ""
    fetched: float = 0.0
    stale: bool = False

    @property
    def usable(self) -> KeySet | None:
        """The keys to verify tokens with; None before the first good fetch, and when they are stale."""
        return None if self.stale else self.keys

    def like(self, other: "State") -> bool:
        """The two say the same to those who serve: only the time of the fetch may differ."""
        return (self.keys, self.problem, self.stale) == (other.keys, other.problem, other.stale)
