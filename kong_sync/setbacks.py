"""What a step that Kong refuses holds back in the next plan. Pure; called by `database` after each refusal.

What was to be written is held, with all that must not be done without it (`diff.plan`, `held`). What was to go stays,
with what it needs (`kept`); and if it is a gate, the routes that it stands before are held too: what they are to take
would meet the old gate.
"""

from kong_sync.adoption import Match
from kong_sync.entities import KINDS
from kong_sync.gates import GATES
from kong_sync.phases import Step
from kong_sync.states import Key, State, references


def held(desired: State, actual: State, step: Step) -> frozenset[Key]:
    """The desired entities that cannot be brought about; none if something does not go and nothing depends on that."""
    if mine := wanted(desired, actual, step):
        return frozenset({mine})
    return _behind(desired, actual, step.key)


def wanted(desired: State, actual: State, step: Step) -> Key | None:
    """The desired entity that a step is there for; of what goes there is none."""
    if step.verb == "delete":
        return None
    if step.key in desired.rows:
        return step.key
    match = Match(desired, actual)
    return next((key for key in desired.rows if key[0] == step.kind and match.id(*key) == step.id), None)


def _behind(desired: State, actual: State, key: Key) -> frozenset[Key]:
    """The desired routes that this row of Kong stands before, if it is a gate."""
    row = actual.rows.get(key)
    if row is None or key[0] != "plugins" or row["name"] not in GATES:
        return frozenset()
    match, places = Match(desired, actual), references(KINDS["plugins"], row)
    there = [(kind, match.wanted(kind, id_)) for kind, id_ in places if kind in ("routes", "services")]
    if any(kind == "routes" for kind, _id in there):
        return frozenset(one for one in there if one[0] == "routes" and one[1])
    return frozenset(user for one in there if one[1] for user in desired.referring(*one) if user[0] == "routes")
