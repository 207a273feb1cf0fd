"""What can be shown, what cannot, and that no message repeats what was read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tenants.secrets.material import SOON, Bad, Material, authorities, flaws, material, system, turns

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@cache
def ca() -> trustme.CA:
    return trustme.CA()


def issue(*names: str, begin: datetime = NOW - DAY, end: datetime = NOW + 365 * DAY) -> trustme.LeafCert:
    return ca().issue_cert(*(names or ("acme.example.com",)), not_before=begin, not_after=end)


def chain(made: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in made.cert_chain_pems)


def key(made: trustme.LeafCert) -> bytes:
    return made.private_key_pem.bytes()


def read(made: trustme.LeafCert) -> Material:
    return material(chain(made), key(made))


def pem(made: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())


def encrypted() -> bytes:
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush"))


def test_a_certificate_and_its_key_are_material() -> None:
    found = read(issue("acme.example.com", "*.acme.example.com"))
    assert found.names == ("*.acme.example.com", "acme.example.com")
    assert (found.begin, found.end) == (NOW - DAY, NOW + 365 * DAY)
    assert flaws(found, ("acme.example.com", "a.acme.example.com", "*.acme.example.com"), NOW) == ()


def test_a_file_with_certificate_and_key_puts_no_key_where_certificates_are_shown() -> None:
    made = issue()
    both = b"a comment\n" + chain(made) + key(made)
    found = material(both, both)
    assert "PRIVATE" not in found.chain
    assert "comment" not in found.chain
    assert found == read(made)


def test_nobody_who_prints_material_sees_it() -> None:
    found = read(issue())
    assert "BEGIN" not in repr(found)
    assert "BEGIN" not in f"{found}"


BAD: dict[str, tuple[str, str, Callable[[], tuple[bytes, bytes]]]] = {
    "no certificate": ("GC412", "certificate", lambda: (b"secret words", key(issue()))),
    "nothing": ("GC412", "certificate", lambda: (b"", key(issue()))),
    "half a certificate": ("GC412", "certificate", lambda: (chain(issue())[:300], key(issue()))),
    "no key": ("GC412", "key", lambda: (chain(issue()), b"secret words")),
    "half a key": ("GC412", "key", lambda: (chain(issue()), key(issue())[:100])),
    "a certificate as key": ("GC412", "key", lambda: (chain(issue()), chain(issue()))),
    "a key with a password": ("GC412", "key", lambda: (chain(issue()), encrypted())),
    "a short key": ("GC412", "key", lambda: (chain(issue()), pem(rsa.generate_private_key(65537, 1024)))),
    "a curve nobody takes": ("GC412", "key", lambda: (chain(issue()), pem(ec.generate_private_key(ec.SECP256K1())))),
    "a kind nobody takes": ("GC412", "key", lambda: (chain(issue()), pem(ed25519.Ed25519PrivateKey.generate()))),
    "the key of another": ("GC413", "key", lambda: (chain(issue()), key(issue()))),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_shown_is_refused_and_not_repeated(case: str) -> None:
    code, part, make = BAD[case]
    given = make()
    with pytest.raises(Bad) as refused:
        material(*given)
    flaw = refused.value.flaw
    assert (flaw.code, flaw.part, flaw.severity) == (code, part, "error")
    assert flaw.hint
    assert not [line for line in b"".join(given).decode("latin-1").split("\n") if line and line in flaw.message]


@pytest.mark.parametrize(
    ("now", "code", "severity"),
    [
        (NOW - 2 * DAY, "GC414", "error"),
        (NOW, None, None),
        (NOW + 365 * DAY - SOON, "GC415", "warning"),
        (NOW + 365 * DAY, "GC414", "error"),
    ],
)
def test_the_dates_count(now: datetime, code: str | None, severity: str | None) -> None:
    found = flaws(read(issue()), (), now)
    assert [(flaw.code, flaw.severity) for flaw in found] == ([(code, severity)] if code else [])


def test_at_each_turn_something_changes() -> None:
    found = read(issue())
    before = [flaws(found, (), moment - timedelta(seconds=1)) for moment in turns(found)]
    after = [flaws(found, (), moment) for moment in turns(found)]
    assert all(one != other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("host", ["other.example.com", "*.example.com", "a.b.acme.example.com", "example.com"])
def test_a_host_that_the_certificate_does_not_have_is_named(host: str) -> None:
    (flaw,) = flaws(read(issue("acme.example.com", "*.acme.example.com")), (host,), NOW)
    assert (flaw.code, flaw.part) == ("GC416", "hosts")
    assert host in flaw.message


def test_authorities_are_certificates_of_which_one_is_valid() -> None:
    text = ca().cert_pem.bytes()
    assert authorities(text + b"junk", "tls.ca_file", NOW) == text.decode()
    with pytest.raises(Bad) as refused:
        authorities(text, "tls.ca_file", datetime(3001, 1, 1, tzinfo=UTC))
    assert refused.value.flaw.code == "GC414"
    with pytest.raises(Bad):
        authorities(b"", "tls.ca_file", NOW)


def test_the_authorities_of_a_system_are_taken_as_they_are() -> None:
    text = ca().cert_pem.bytes()
    assert system(b"# a comment\n" + text + text, "tls.ca_file").count("BEGIN") == 2
    with pytest.raises(Bad):
        system(b"# a comment\n", "tls.ca_file")
