"""The garbage collector of a process whose data stays. Called by `gatecast serve`, `gatecast kong` and benchmarks."""

import gc


def tune_gc() -> None:
    """Take what was loaded out of the garbage collector's sight, and let it look again, less often.

    Tens of thousands of tenants are millions of objects that stay. A full collection walks them all and stops the loop
    for that long, although reference counts already free nearly everything we drop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
