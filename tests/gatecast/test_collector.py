"""The garbage collector of the two long processes: what was loaded is out of its sight, and it looks less often.

It is a setting of the whole process, so it is looked at in one of its own.
"""

import subprocess
import sys

SEEN = """
import gc
from gatecast.collector import tune_gc
held = [[one] for one in range(100_000)]
gc.disable()
tune_gc()
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000, "what is there is frozen"
assert gc.get_threshold()[0] > 700, "it looks less often than it would"
{more}
"""


def ran(more: str) -> None:
    done = subprocess.run([sys.executable, "-c", SEEN.format(more=more)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_loaded_is_frozen_and_the_collector_is_on_again() -> None:
    ran("")


def test_a_sidecar_pays_for_it_with_no_import_of_the_server() -> None:
    ran("import sys, gatecast.kong; assert 'gatecast.serve' not in sys.modules")
