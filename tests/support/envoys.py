"""A real Envoy for a test: the process runner of `xds.envoy_process` under short names, and free ports.

    async with envoys.envoy(bootstrap(...), tmp_path / "envoy") as proxy:
        await proxy.ready()

Every test in `tests/envoy` imports this.
"""

import itertools
import random
import socket

from xds.envoy_process import Envoy, envoy, validate
from xds.waiting import until

__all__ = ["Envoy", "envoy", "free_port", "until", "validate"]

PORTS = range(12_000, 32_000)
"""Below the range from which the kernel takes ports for outgoing connections, so no client can sit on one."""


def free_port() -> int:
    """Return a TCP port for a listener; no other process that asks here gets it until this process ends."""
    start = random.randrange(len(PORTS))
    return next(port for port in itertools.chain(PORTS[start:], PORTS[:start]) if _claimed(port))


def _claimed(port: int) -> bool:
    """Claim by a UDP socket of the same number: atomic between processes, in nobody's way, gone with the process.

    A bound TCP socket would not do: Envoy binds with SO_REUSEPORT, and two Envoys would share a port in silence.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
        with socket.create_server(("0.0.0.0", port)):
            pass
    except OSError:
        claim.close()
        return False
    claim.detach()  # the file descriptor stays open, on purpose, for the life of the process
    return True
