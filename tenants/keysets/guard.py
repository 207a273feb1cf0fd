"""Which addresses the control plane may ask for keys. Pure; called by `transport` for each address, at each connection.

A tenant names an issuer, and the control plane stands where a tenant does not: an address that only the machine, its
link or its cloud can reach is refused (SSRF). Private ranges are allowed, for identity providers are often inside.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tenants.keysets.faults import Unfit

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
            *("169.254.170.2", "169.254.170.23", "fd00:ec2::23"),
        ),
    )
)
"""Where clouds give a machine, and AWS a container, its credentials."""

# NAT64 (RFC 6052, and RFC 8215 for a site's own), and SIIT (RFC 2765): the IPv4 address stands at the end.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_RESERVED = tuple(map(ipaddress.IPv4Network, ("0.0.0.0/8", "240.0.0.0/4")))


@dataclass(frozen=True, slots=True)
class _Rule:
    """`local`: a gateway that allows local endpoints allows these too. The others are never a provider's address."""

    name: str
    holds: Callable[[Ip], bool]
    local: bool = False


RULES = (
    _Rule("a cloud's metadata address", lambda one: one in METADATA),
    _Rule("the unspecified address", lambda one: one.is_unspecified),
    _Rule("a multicast address", lambda one: one.is_multicast),
    _Rule("a reserved address", lambda one: one.version == 4 and any(one in network for network in _RESERVED)),
    _Rule("on loopback", lambda one: one.is_loopback, local=True),
    _Rule("on link-local", lambda one: one.is_link_local, local=True),
)


def refusal(address: str, local: bool) -> str:
    """Why this address is not asked, "" if it may be. `local`: the gateway allows local endpoints."""
    for face in _faces(ipaddress.ip_address(address)):
        for rule in RULES:
            if rule.holds(face) and not (rule.local and local):
                return f"{address} is {rule.name}" + (", and the gateway does not allow that" if rule.local else "")
    return ""


def allowed(name: str, addresses: Iterable[str], local: bool) -> tuple[str, ...]:
    """Those of a name's addresses that may be asked. Raises `Unfit` if there is none."""
    told = {address: refusal(address, local) for address in addresses}
    found = tuple(address for address, why in told.items() if not why)
    if not found:
        why = next(iter(told.values()), "it has no address")
        raise Unfit("address", f"{name} is refused: {why}")
    return found


def _faces(address: Ip) -> Iterator[Ip]:
    """The address, and the IPv4 address that it means (mapped, compatible, 6to4, Teredo, translated)."""
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    inside = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    yield from (one for one in inside if one is not None)
    if any(address in network for network in _TRANSLATED) or (address in _COMPATIBLE and int(address) > 1):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
