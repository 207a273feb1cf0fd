"""Plans that refuse themselves: one that deletes too much is rather an empty push or a wrong tag than a wish. Pure.

Called before a plan is carried out. `force` is the digest of the plan as it was shown (`digest.digest`), so a yes is
for exactly that plan and no other.
"""

from collections.abc import Collection

from kong_sync.digest import digest
from kong_sync.phases import Plan
from kong_sync.states import Key
from tenants.errors import Refused

SHARE = 0.2
FEW = 10


class TooMuch(Refused):
    """The plan deletes more than it may. `digest` is what forces it."""

    def __init__(self, said: str, forced_by: str) -> None:
        super().__init__(f"{said}: nothing was changed (--force {forced_by} does exactly this)")
        self.digest = forced_by


def check(
    plan: Plan, *, force: str = "", share: float = SHARE, few: int = FEW, new: Collection[Key] = frozenset()
) -> None:
    """Raises TooMuch if the plan deletes all of ours, or more than `share` of it and more than `few`.

    What goes along with something else counts too. What is `new` does not: it is taken back.
    """
    deleted = sum(change.after is None and (change.kind, change.id) not in new for change in plan.changes)
    if not deleted or (deleted < plan.ours and deleted <= max(few, share * plan.ours)):
        return
    mine = digest(plan)
    if force == mine:
        return
    said = f"the plan deletes {deleted} of our {plan.ours} entities in this Kong"
    if force:
        said += f", and is not the one that was shown ({force})"
    raise TooMuch(said, mine)
