"""Carries messages about what is wrong to a webhook and by mail. Assembled by `gatecast.serve`.

    await run(sinks(settings), look, pace, counted)          # until cancelled

Each sink has its own task and its own book (`gatecast.notices`): one that is slow or dead waits for itself alone, and
nothing is queued for it. Mail is sent by smtplib in a thread of its own; the loop's common threads read settings.
Neither the address of a webhook nor what a mail server says is logged: both may hold a secret.
"""

import asyncio
import math
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol

import httpx
import structlog

from gatecast.config import Settings
from gatecast.notices import Book, Message, Pace, due, observe, told
from gatecast.sinks import Hook, Post
from gatecast.troubles import Trouble
from tenants.errors import GatecastError, Refused, Unavailable

LOOK = 5.0  # seconds between two looks at what is wrong
PATIENCE = 15.0  # seconds for one message to arrive
SILENCE = 10.0  # seconds that a mail server may think about one line
FIRST, LONGEST = 5.0, 300.0  # seconds until a message that did not arrive is tried again: doubled each time
SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""In Slack's texts `<!channel>` calls everybody: what a proxy or a document says must not."""

log = structlog.get_logger("gatecast.notify")

Look = Callable[[], tuple[Trouble, ...]]
Counted = Callable[[str, str, int], None]
"""Told the name of the sink, "sent" or "failed", and how many."""


class Sink(Protocol):
    """Something that takes a message. `send` raises `Unavailable` or `Refused`, without secrets."""

    name: str

    async def send(self, message: Message) -> None: ...


class Webhook:
    """POSTs JSON: `text` for Slack and what understands its webhooks, the other fields for programs."""

    name = "webhook"

    def __init__(self, hook: Hook, server: str, tls: ssl.SSLContext | None = None) -> None:
        self._hook, self._server = hook, server
        self._tls = tls or ssl.create_default_context()

    async def send(self, message: Message) -> None:
        """A redirect is not followed: it would tell another host."""
        try:
            async with httpx.AsyncClient(verify=self._tls, timeout=SILENCE) as client:
                answer = await client.post(self._hook.url, json=payload(message, self._server))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unavailable(f"{self._hook} cannot be reached: {type(error).__name__}") from None
        if not answer.is_success:
            raise Unavailable(f"{self._hook} answers {answer.status_code}")


class Mail:
    """Sends mail by one server. Its one thread may hang for as long as the server does."""

    name = "mail"

    def __init__(
        self, post: Post, sender: str, recipients: tuple[str, ...], server: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._post, self._sender, self._recipients, self._server = post, sender, recipients, server
        self._tls = tls or ssl.create_default_context()
        self._thread = ThreadPoolExecutor(1, "mail")

    async def send(self, message: Message) -> None:
        """The password goes out over TLS, or to this machine, or not at all."""
        letter = written(message, self._sender, self._recipients, self._server)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, letter)
        except smtplib.SMTPResponseException as error:
            raise Unavailable(f"{self._post} answers {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{self._post} does not take it: {type(error).__name__}") from None

    def _deliver(self, letter: EmailMessage) -> None:
        with self._connected() as server:
            if not self._post.tls:
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
                    server.starttls(context=self._tls)
                elif self._post.user and not self._post.near:
                    raise Refused(f"{self._post} offers no STARTTLS, and a password is not sent in the clear")
            if self._post.user:
                server.login(self._post.user, self._post.password)
            refused = server.send_message(letter)
        if refused:
            log.warning("not every recipient takes the mail", refused=sorted(refused))

    def _connected(self) -> smtplib.SMTP:
        place = self._post.host, self._post.port
        if self._post.tls:
            return smtplib.SMTP_SSL(*place, timeout=SILENCE, context=self._tls)
        return smtplib.SMTP(*place, timeout=SILENCE)


def payload(message: Message, server: str) -> dict[str, Any]:
    """The JSON of a webhook."""
    return {
        "text": f"gatecast on {server}: {message.text}".translate(SLACK),
        "server": server,
        "status": message.status,
        "subject": message.subject,
        "note": message.note,
        "standing": message.standing,
        "new": message.new,
        "over": message.over,
        "passed": message.passed,
    }


def written(message: Message, sender: str, recipients: tuple[str, ...], server: str) -> EmailMessage:
    """The mail."""
    letter = EmailMessage()
    letter["Subject"] = f"[gatecast] {message.title}"
    letter["From"], letter["To"], letter["Date"] = sender, ", ".join(recipients), formatdate()
    letter["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(f"{message.text}\n\nServer: {server}\n")
    return letter


def sinks(settings: Settings) -> tuple[Sink, ...]:
    """Those that the settings of the process name."""
    server, found = socket.gethostname(), list[Sink]()
    if settings.notify_webhook:
        found.append(Webhook(settings.notify_webhook, server))
    if settings.notify_smtp and settings.notify_from:
        found.append(Mail(settings.notify_smtp, settings.notify_from, settings.notify_to, server))
    return tuple(found)


async def run(targets: Iterable[Sink], look: Look, pace: Pace, counted: Counted, every: float = LOOK) -> None:
    """Tell every sink, until cancelled, what is wrong and what no longer is. `every`: seconds between two looks."""
    async with asyncio.TaskGroup() as tasks:
        for sink in targets:
            tasks.create_task(_Teller(sink, look, pace, counted).run(every))


class _Teller:
    """Owns the book of one sink, and how long it leaves the sink alone after a failure."""

    def __init__(self, sink: Sink, look: Look, pace: Pace, counted: Counted) -> None:
        self._sink, self._look, self._pace, self._counted = sink, look, pace, counted
        self._book, self._failures, self._again = Book(), 0, -math.inf
        for outcome in ("sent", "failed"):
            counted(sink.name, outcome, 0)

    async def run(self, every: float) -> None:
        while True:
            try:
                await self._turn()
            except Exception:
                log.exception("messages could not be made: this is a defect of gatecast, please report it")
            await asyncio.sleep(every)

    async def _turn(self) -> None:
        now = time.monotonic()
        self._book = observe(self._book, self._look(), now, self._pace)
        for message in due(self._book, now, self._pace) if now >= self._again else ():
            if not await self._reached(message):
                return
            self._book = told(self._book, message.subject, now, self._pace)

    async def _reached(self, message: Message) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._sink.send(message)
        except (GatecastError, TimeoutError) as error:
            self._failed(str(error) or f"no answer within {PATIENCE:g} s")
            return False
        self._counted(self._sink.name, "sent", 1)
        if self._failures:
            log.info("messages are sent again", sink=self._sink.name, failures=self._failures)
        self._failures = 0
        return True

    def _failed(self, why: str) -> None:
        """It is logged once: the metric counts the others."""
        self._again = time.monotonic() + min(FIRST * 2**self._failures, LONGEST)
        self._failures += 1
        self._counted(self._sink.name, "failed", 1)
        if self._failures == 1:
            log.warning("message not sent", sink=self._sink.name, error=why)
