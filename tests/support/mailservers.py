"""A real SMTP server on loopback, as small as a test needs it: it keeps the letters it takes.

    async with mailservers.Mailserver() as mail:
        mail.letters[0].recipients, mail.letters[0].message["Subject"]

A test chooses how it answers by attributes, read at each command: `tls` offers STARTTLS (`at_once`: TLS from the first
byte), `login` wants AUTH PLAIN, `refuses` says no to MAIL with this code, `silent` says nothing at all.
"""

import asyncio
import base64
import ssl
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter as it came. `user`: who had logged in; `secure`: over TLS."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    user: str
    secure: bool


@dataclass(eq=False)
class Mailserver:
    """Listens on `port` from `async with` on."""

    tls: ssl.SSLContext | None = None
    at_once: bool = False
    login: tuple[str, str] | None = None
    refuses: int = 0
    silent: bool = False
    port: int = 0
    connections: int = 0
    letters: list[Letter] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        tls = self.tls if self.at_once else None
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(_Talk(self, reader, writer).run())
        self._open.add(task)
        task.add_done_callback(self._open.discard)


@dataclass(eq=False)
class _Talk:
    server: Mailserver
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    secure: bool = False
    user: str = ""
    sender: str = ""
    recipients: list[str] = field(default_factory=list)

    async def run(self) -> None:
        self.secure = self.server.at_once
        try:
            await self._say("220 test")
            while line := (await self.reader.readline()).decode().strip():
                verb, _, rest = line.partition(" ")
                self.server.commands.append(verb.upper())
                await getattr(self, f"_{verb.lower()}", self._unknown)(rest)
        except (ConnectionError, ssl.SSLError):
            pass  # the client left: its right
        finally:
            self.writer.close()

    async def _say(self, *lines: str) -> None:
        if not self.server.silent:
            self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
            await self.writer.drain()

    async def _ehlo(self, _rest: str) -> None:
        offers = ["STARTTLS"] if self.server.tls and not self.secure else []
        offers += ["AUTH PLAIN"] if self.server.login else []
        lines = ["test", *offers]
        await self._say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")

    async def _starttls(self, _rest: str) -> None:
        await self._say("220 go on")
        assert self.server.tls is not None
        await self.writer.start_tls(self.server.tls)
        self.secure = True

    async def _auth(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        if (user, password) != self.server.login:
            return await self._say(f"535 no: {rest}")  # some servers repeat what they were told
        self.user = user
        await self._say("235 welcome")

    async def _mail(self, rest: str) -> None:
        if self.server.refuses:
            return await self._say(f"{self.server.refuses} no")
        self.sender = rest.partition("<")[2].partition(">")[0]
        await self._say("250 fine")

    async def _rcpt(self, rest: str) -> None:
        self.recipients.append(rest.partition("<")[2].partition(">")[0])
        await self._say("250 fine")

    async def _data(self, _rest: str) -> None:
        await self._say("354 go on")
        body = (await self.reader.readuntil(b"\r\n.\r\n"))[:-3]
        message = message_from_bytes(body, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.server.letters.append(Letter(self.sender, tuple(self.recipients), message, self.user, self.secure))
        await self._say("250 taken")

    async def _rset(self, _rest: str) -> None:
        await self._say("250 fine")

    async def _quit(self, _rest: str) -> None:
        await self._say("221 bye")

    async def _unknown(self, _rest: str) -> None:
        await self._say("502 unknown")
