"""Where notifications go, as an operator writes it. Read by `gatecast.config`; `gatecast.notify` sends there.

Both texts hold secrets: a password, or an address that whoever knows may write to. So neither is ever shown: not by
`repr`, not by `str`, not by the error about a wrong one.
"""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from gatecast.addresses import Address
from gatecast.exits import Usage

PORTS = {"smtp": 587, "smtps": 465}
SMTP = "give smtp://user:password@host:587, or smtps:// for TLS from the start; user and password may be left out"
WEBHOOK = "give the whole URL, as in https://hooks.example.com/services/..."
PERSON = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")


@dataclass(frozen=True, slots=True)
class Hook:
    """A URL that JSON is posted to."""

    host: str
    url: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Usage`, without the text."""
        parts = _split(text, WEBHOOK)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Usage(f"this is not the URL of a webhook: {WEBHOOK}")
        return cls(parts.hostname, text)

    def __str__(self) -> str:
        return self.host


@dataclass(frozen=True, slots=True)
class Post:
    """A mail server, and who we are to it. `tls`: from the first byte; else it is asked for STARTTLS."""

    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Usage`, without the text."""
        parts = _split(text, SMTP)
        more = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in PORTS or not parts.hostname or more or bool(parts.username) != bool(parts.password):
            raise Usage(f"this is not the URL of a mail server: {SMTP}")
        port = parts.port or PORTS[parts.scheme]
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port, parts.scheme == "smtps", user, password)

    @property
    def near(self) -> bool:
        """Nobody can listen on the way to it."""
        return Address(self.host, self.port).loopback

    def __str__(self) -> str:
        return str(Address(self.host, self.port))


def person(text: str) -> str:
    """An address of mail, bare: `ops@example.com`. Raises `Usage`."""
    if not (text.isascii() and text.isprintable() and PERSON.fullmatch(text)):
        raise Usage(f"{text!r} is not an address of mail: give it as ops@example.com")
    return text


def people(text: str) -> tuple[str, ...]:
    """Addresses of mail with commas between them. Raises `Usage`."""
    return tuple(person(one.strip()) for one in text.split(",") if one.strip())


def _split(text: str, right: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # it is only read when asked for
    except ValueError:
        raise Usage(f"this is not a URL: {right}") from None
    if not text.isprintable() or " " in text:
        raise Usage(f"this is not a URL: it has blanks or control characters; {right}")
    return parts
