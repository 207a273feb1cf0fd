"""A short name for exactly this plan: the same in every process, another when a step, its order or a wait differs.

Called by `limits`, `kong diff` and `kong sync --force DIGEST`.
"""

import hashlib
import json

from kong_sync.phases import Plan

LENGTH = 16


def digest(plan: Plan) -> str:
    """Hexadecimal. Secrets go into the hash, never out of it."""
    phases = [
        [phase.name, phase.wait, [[step.verb, step.kind, step.id, step.parent, step.body] for step in phase.steps]]
        for phase in plan.phases
    ]
    text = json.dumps(phases, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
