"""Real certificates for tests, in files that documents name, and TLS handshakes that say which one was shown.

shop = certificates.Shop(tmp_path)
shop.put("acme", "acme.example.com")
document = shop.document("acme", hosts=["acme.example.com"])
shown = await certificates.shake(port, "acme.example.com", shop.ca)
"""

import asyncio
import os
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509

Json = dict[str, Any]
LONG = datetime.now(UTC) + timedelta(days=365)


@dataclass(eq=False)
class Shop:
    """A folder of certificates, all from one authority; `ca.pem` in it is that authority's."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.trust("ca.pem", self.ca)

    def issue(self, *names: str, end: datetime = LONG, begin: datetime | None = None) -> trustme.LeafCert:
        """A certificate with these names; valid for a year."""
        return self.ca.issue_cert(*names, not_after=end, not_before=begin)

    def put(self, name: str, *names: str, **dates: datetime) -> trustme.LeafCert:
        """A new certificate in `<name>.pem`, its key in `<name>.key`: both in place at once, as renewal tools do it."""
        made = self.issue(*names, **dates)
        self.place(name, made)
        return made

    def place(self, name: str, made: trustme.LeafCert, key: trustme.LeafCert | None = None) -> None:
        """The certificate and its key, or the `key` of another, in the files of this name."""
        self.write(f"{name}.pem", b"".join(blob.bytes() for blob in made.cert_chain_pems))
        self.write(f"{name}.key", (key or made).private_key_pem.bytes())

    def trust(self, file: str, *authorities: trustme.CA) -> None:
        """The certificates of these authorities in a file."""
        self.write(file, b"".join(one.cert_pem.bytes() for one in authorities))

    def write(self, file: str, content: bytes) -> None:
        """Another file under this name, at once."""
        fresh = self.folder / f".{file}.new"
        fresh.write_bytes(content)
        os.replace(fresh, self.folder / file)

    @staticmethod
    def document(name: str, hosts: Sequence[str] = (), **more: Any) -> Json:
        """The Certificate document for the files of this name."""
        places = {"certificate": {"file": f"{name}.pem"}, "key": {"file": f"{name}.key"}}
        return {"kind": "Certificate", "id": name, "hosts": list(hosts), **places, **more}


@dataclass(frozen=True)
class Shown:
    """What a handshake came to: the names of the certificate and its serial number, TLS version and protocol."""

    names: tuple[str, ...]
    serial: str
    version: str
    protocol: str | None


@dataclass(frozen=True)
class Line:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    shown: Shown

    async def get(self, path: str = "/", **headers: str) -> int:
        """The status of a GET on this connection."""
        said = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"GET {path} HTTP/1.1\r\n{said}\r\n".encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await self.reader.readexactly(int(lengths[0].split(b":")[1]))
        return int(head.split(b" ")[1])


def serial(made: trustme.LeafCert) -> str:
    """The serial number, as handshakes show it."""
    number = x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()).serial_number
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


async def dial(
    port: int,
    name: str | None,
    ca: trustme.CA,
    *,
    alpn: Sequence[str] = (),
    newest: ssl.TLSVersion | None = None,
    own: trustme.LeafCert | None = None,
) -> Line:
    """A connection by TLS that asks for this name (None: for none). Raises what Python raises."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    context.check_hostname = False  # a test looks at the names itself
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if newest is not None:
        _limit(context, newest)
    if own is not None:
        own.configure_cert(context)
    async with asyncio.timeout(15):
        # An IP address is no name to ask for, so Python sends none.
        asked = name or "127.0.0.1"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=asked)
    return Line(reader, writer, _shown(writer.get_extra_info("ssl_object")))


def _limit(context: ssl.SSLContext, newest: ssl.TLSVersion) -> None:
    """Python warns of versions that are as old as those that a test must see refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    context.set_ciphers("ALL:@SECLEVEL=0")


async def shake(port: int, name: str | None, ca: trustme.CA, **more: Any) -> Any:
    """What is shown (`Shown`) to a client that asks for this name; words about it (str) if the handshake fails."""
    try:
        line = await dial(port, name, ca, **more)
    except (ssl.SSLError, ConnectionError) as error:
        return str(getattr(error, "reason", None) or type(error).__name__)
    line.writer.close()
    return line.shown


def _shown(wire: ssl.SSLObject) -> Shown:
    found: Any = wire.getpeercert()
    names = tuple(value for _kind, value in found["subjectAltName"])
    return Shown(names, found["serialNumber"], wire.version() or "", wire.selected_alpn_protocol())
