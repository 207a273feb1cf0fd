"""Which gateways a proxy may read, by the certificate it shows. Pure; `xds.server` asks before anything is sent.

A certificate says it itself with a SPIFFE id `spiffe://<trust domain>/gateway/<id>` (or below that path), where the
server's authority signs no other; or the operator says it for a name of the certificate. Nothing else a proxy says of
itself counts: its node id and cluster only choose among the gateways it may read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.extensions import ExtensionNotFound

ANY: Final = "*"
PREFIX: Final = "/gateway/"


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate says of its holder: its SPIFFE id, "" if it has none, and its DNS names in lower case."""

    spiffe: str = ""
    dns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(one for one in (self.spiffe, *self.dns) if one) or "nothing"


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may read what. `names`: gateway, or `*` for all, by a DNS name (`*.` and a name: one label more), or by a
    whole SPIFFE id. `domain`: the only trust domain whose ids speak for themselves; "" for any.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    domain: str = ""

    def gateways(self, names: Names) -> frozenset[str]:
        """The gateways that the holder of these names may read; `ANY` among them: all."""
        said = {self.names[one] for name in (names.spiffe, *names.dns) for one in _patterns(name) if one in self.names}
        return frozenset(said | {own for own in (_gateway(names.spiffe, self.domain),) if own})

    def admits(self, names: Names, gateway: str) -> bool:
        """Whether the holder of these names may read this gateway."""
        found = self.gateways(names)
        return ANY in found or gateway in found

    def refusal(self, names: Names, gateway: str) -> str:
        """Why not, for who reads the proxy's log."""
        allowed = ", ".join(sorted(self.gateways(names))) or "no gateway"
        return f"the certificate of {str(names)[:200]} may read {allowed}, not {gateway[:100]}"


def _patterns(name: str) -> tuple[str, ...]:
    """The keys a name is looked up under."""
    _, dot, rest = name.partition(".")
    return (name, f"*.{rest}") if dot and "/" not in name else (name,)


def _gateway(spiffe: str, domain: str) -> str:
    parts = urlsplit(spiffe)
    if parts.scheme != "spiffe" or (domain and parts.netloc != domain) or not parts.path.startswith(PREFIX):
        return ""
    return parts.path.removeprefix(PREFIX).partition("/")[0]


def names(pem: bytes) -> Names:
    """The names of a certificate. One with several URIs has no SPIFFE id, as the standard says. Raises `ValueError`."""
    found = x509.load_pem_x509_certificate(pem)
    try:
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except ExtensionNotFound:
        return Names()
    uris = said.get_values_for_type(x509.UniformResourceIdentifier)
    spiffe = uris[0] if len(uris) == 1 and uris[0].startswith("spiffe://") else ""
    return Names(spiffe, tuple(one.lower().rstrip(".") for one in said.get_values_for_type(x509.DNSName)))
