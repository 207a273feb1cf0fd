"""PEM text to what proxies are given, or why not. Pure; called by `tenants.secrets.keeper`.

What is handed out is written anew from what was parsed: a file that holds certificate and key together puts no key
where proxies show certificates. No message repeats what was read: it may be the secret.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

T = TypeVar("T")

SOON = timedelta(days=30)
"""So long before its end a certificate is a warning."""

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----")
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_BITS = 2048


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with what was read. `part` is the field of the document: `certificate`, `key`, `hosts`, ..."""

    code: str
    part: str
    message: str
    hint: str = ""
    severity: str = "error"


class Bad(Exception):
    """It cannot be used. Never leaves this package."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate that can be shown: the chain and the key as PEM text, and when it begins and ends to be valid."""

    chain: str = field(repr=False)
    key: str = field(repr=False)
    begin: datetime
    end: datetime
    names: tuple[str, ...] = ()


def material(chain: bytes, key: bytes) -> Material:
    """The certificate with its key. Raises `Bad`."""
    found = _certificates(chain, "certificate")
    secret, leaf = _key(key), found[0]
    if _public(secret.public_key()) != _public(leaf.public_key()):
        text = "the key does not belong to the certificate (the first of the chain)"
        raise Bad(Flaw("GC413", "key", text, "the key that the certificate was issued for"))
    pem = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Material(_pem(found), pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc, _names(leaf))


def authorities(text: bytes, part: str, now: datetime) -> str:
    """The certificates of authorities as PEM text. Raises `Bad`."""
    found = _certificates(text, part)
    if now >= max(one.not_valid_after_utc for one in found):
        raise Bad(Flaw("GC414", part, "every certificate in it is expired", "newer ones"))
    return _pem(found)


def system(text: bytes, part: str) -> str:
    """The authorities of an operating system, which has judged them: some are older than today's rules for parsing."""
    found = _BLOCK.findall(text)
    if not found:
        raise Bad(Flaw("GC412", part, "the system's own file holds no certificates", "give `ca_file`"))
    return b"\n".join((*found, b"")).decode("ascii", "replace")


def flaws(found: Material, hosts: tuple[str, ...], now: datetime) -> tuple[Flaw, ...]:
    """What is wrong with a certificate at this moment, for these hosts (exact, or `*.` and a name)."""
    return (*_dates(found, now), *(_not_named(host, found) for host in hosts if not _named(host, found.names)))


def _dates(found: Material, now: datetime) -> tuple[Flaw, ...]:
    renew = "renew it: the file is read again when it changes"
    if now >= found.end:
        return (Flaw("GC414", "certificate", f"the certificate expired on {_day(found.end)}", renew),)
    if now < found.begin:
        return (Flaw("GC414", "certificate", f"the certificate is not valid before {_day(found.begin)}", renew),)
    if now >= found.end - SOON:
        text = f"the certificate expires on {_day(found.end)}"
        return (Flaw("GC415", "certificate", text, renew, "warning"),)
    return ()


def turns(found: Material) -> tuple[datetime, ...]:
    """The moments at which `flaws` may say something else."""
    return found.begin, found.end - SOON, found.end


def _not_named(host: str, found: Material) -> Flaw:
    names = ", ".join(found.names[:5]) or "none"
    return Flaw("GC416", "hosts", f"the certificate is not for {host}; its names: {names}", "one that has this name")


def _named(host: str, names: tuple[str, ...]) -> bool:
    return host in names or (not host.startswith("*.") and "*." + host.partition(".")[2] in names)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _certificates(text: bytes, part: str) -> list[x509.Certificate]:
    found = _parsed(lambda: x509.load_pem_x509_certificates(text), part, "certificates in PEM form")
    if len(found) > 1000:
        raise Bad(Flaw("GC412", part, "there are more than 1000 certificates in it", "fewer"))
    return found


def _key(text: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        found = _parsed(lambda: serialization.load_pem_private_key(text, None), "key", "a private key in PEM form")
    except TypeError:
        raise Bad(Flaw("GC412", "key", "the key is encrypted with a password", "a key without one")) from None
    if isinstance(found, rsa.RSAPrivateKey) and found.key_size >= _BITS:
        return found
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in _CURVES:
        return found
    raise Bad(Flaw("GC412", "key", "Envoy takes no key of this kind", "RSA of 2048 bits, or ECDSA with P-256"))


def _parsed(parse: Callable[[], T], part: str, wanted: str) -> T:
    try:
        return parse()
    except (ValueError, UnsupportedAlgorithm):  # their texts may show what was read
        raise Bad(Flaw("GC412", part, f"it holds no {wanted}", "as openssl writes it: -----BEGIN ...")) from None


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(sorted({name.lower() for name in found.get_values_for_type(x509.DNSName)}))


def _public(key: object) -> bytes:
    made: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return made


def _pem(found: list[x509.Certificate]) -> str:
    return b"".join(one.public_bytes(Encoding.PEM) for one in found).decode()
