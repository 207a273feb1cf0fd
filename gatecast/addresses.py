"""Where a server listens: `host:port` as an operator writes it. Read by the settings, the commands and the assembly."""

import ipaddress
from typing import NamedTuple, Self

from gatecast.exits import Usage

EXAMPLE = "give host:port, as in 127.0.0.1:18000 or [::1]:18000; port 0 takes a free one"


class Address(NamedTuple):
    """A host (name or IP address, without brackets) and a port; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[v6]:port`. Raises `Usage` with what would be right."""
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not (colon and bare and port.isascii() and port.isdecimal()) or (":" in bare) != (bare != host):
            raise Usage(f"{text!r} is not an address: {EXAMPLE}")
        if int(port) > 65535:
            raise Usage(f"{text!r} is not an address: the port is above 65535")
        return cls(bare, int(port))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than `localhost` may be anything, so it is not."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def at(self, port: int) -> "Address":
        """The same host with the port that was really bound."""
        return Address(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
