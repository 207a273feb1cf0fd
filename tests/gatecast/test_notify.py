"""Messages on their way: a real HTTP server, a real SMTP server, and ones that are slow, dead or rude."""

import asyncio
import io
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import adsclients
import pytest
import trustme
from mailservers import Mailserver
from upstreams import Upstream

from gatecast import notify
from gatecast.addresses import Address
from gatecast.config import Settings
from gatecast.notices import Message, Pace
from gatecast.notify import Mail, Sink, Webhook, payload
from gatecast.serve import running
from gatecast.sinks import Hook, Post
from gatecast.telemetry import set_up_logs
from gatecast.troubles import Trouble
from tenants.errors import Refused, Unavailable
from xds.waiting import until

CANARY = "s3cr3t-canary"
MESSAGE = Message("documents have errors", "1 error", 1, ("Tenant/acme: <!channel> & more",), (), ())
AT_ONCE = Pace(after=0.0, every=0.01)
TO = ("ops@example.com", "night@example.com")
WRONG = (Trouble("documents have errors", {"a": "a is bad"}, "1 error"),)
LOOPBACK = Address("127.0.0.1", 0)


class Hooks(Upstream):
    """Keeps the JSON it is posted."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{CANARY}"

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.requests]


def mail(server: Mailserver, user: str = "", *, tls: bool = False, trust: ssl.SSLContext | None = None) -> Mail:
    post = Post("127.0.0.1", server.port, tls, user, CANARY if user else "")
    return Mail(post, "gatecast@example.com", TO, "host-1", trust)


@pytest.fixture
def logged() -> io.StringIO:
    """Everything that the process logs, also what libraries say in detail."""
    stream = io.StringIO()
    set_up_logs("json", "debug", stream)
    return stream


@asynccontextmanager
async def telling(sink: Sink, wrong: list[Trouble]) -> AsyncIterator[Counter[tuple[str, str]]]:
    """Looks every few milliseconds at `wrong`."""
    counts: Counter[tuple[str, str]] = Counter()

    def counted(name: str, outcome: str, count: int) -> None:
        counts[name, outcome] += count

    task = asyncio.create_task(notify.run([sink], lambda: tuple(wrong), AT_ONCE, counted, every=0.005))
    try:
        yield counts
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds for people takes hundredths in a test."""
    monkeypatch.setattr(notify, "FIRST", 0.01)
    monkeypatch.setattr(notify, "LONGEST", 0.05)
    monkeypatch.setattr(notify, "PATIENCE", 0.2)


async def test_a_webhook_hears_text_for_slack_and_fields_for_programs() -> None:
    async with Hooks("hook") as hook:
        await Webhook(Hook.parse(hook.url), "host-1").send(MESSAGE)
        (said,) = hook.heard
        assert hook.requests[0].headers["content-type"] == "application/json"
    assert said["text"] == (
        "gatecast on host-1: documents have errors (1 error)\nnew:\n- Tenant/acme: &lt;!channel&gt; &amp; more"
    )
    assert (said["status"], said["server"], said["subject"]) == ("failing", "host-1", "documents have errors")
    assert said["new"] == ["Tenant/acme: <!channel> & more"]
    assert (said["standing"], said["over"], said["passed"]) == (1, [], [])


@pytest.mark.parametrize("status", [302, 404, 429, 500])
async def test_a_webhook_that_does_not_take_it_is_told_by_its_host_alone(status: int) -> None:
    async with Hooks("hook", status=status, answer_headers={"location": "/elsewhere"}) as hook:
        with pytest.raises(Unavailable, match=f"^127.0.0.1 answers {status}$"):
            await Webhook(Hook.parse(hook.url), "host-1").send(MESSAGE)
        assert hook.count == 1, "a redirect is not followed"
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 cannot be reached: ConnectError$"):
        await Webhook(Hook.parse(hook.url), "host-1").send(MESSAGE)


async def test_a_mail_arrives() -> None:
    async with Mailserver() as server:
        await mail(server).send(MESSAGE)
    (letter,) = server.letters
    assert (letter.sender, letter.recipients, letter.secure) == ("gatecast@example.com", TO, False)
    assert letter.message["Subject"] == "[gatecast] documents have errors"
    assert letter.message["To"] == ", ".join(TO)
    assert letter.message["Auto-Submitted"] == "auto-generated"
    assert letter.message.get_content().replace("\r\n", "\n") == f"{MESSAGE.text}\n\nServer: host-1\n"


@pytest.mark.parametrize("at_once", [True, False])
async def test_over_tls_a_password_is_given(at_once: bool) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    async with Mailserver(tls=theirs, at_once=at_once, login=("ops", CANARY)) as server:
        await mail(server, "ops", tls=at_once, trust=ours).send(MESSAGE)
        assert [(one.user, one.secure) for one in server.letters] == [("ops", True)]
        with pytest.raises(Unavailable, match="does not take it: SSLCertVerificationError"):
            await mail(server, "ops", tls=at_once).send(MESSAGE)
    assert "AUTH" not in server.commands[server.commands.index("QUIT") :], "nothing is said to who is not known"


async def test_a_password_does_not_go_out_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Post, "near", False)
    async with Mailserver(login=("ops", CANARY)) as server:
        with pytest.raises(Refused, match="offers no STARTTLS"):
            await mail(server, "ops").send(MESSAGE)
        assert "AUTH" not in server.commands
        await mail(server).send(MESSAGE)
    assert len(server.letters) == 1, "without a password nothing is to be hidden"


async def test_what_a_mail_server_says_is_not_repeated() -> None:
    async with Mailserver(login=("ops", "another")) as server:
        with pytest.raises(Unavailable, match=rf"^127.0.0.1:{server.port} answers 535$"):
            await mail(server, "ops").send(MESSAGE)
        server.refuses = 550
        with pytest.raises(Unavailable, match=r"does not take it|answers 550$"):
            await mail(server).send(MESSAGE)


async def test_a_dead_sink_gets_one_message_with_what_is_so_when_it_is_back(
    impatient: None, logged: io.StringIO
) -> None:
    wrong = list(WRONG)
    async with Hooks("hook", status=500) as hook, telling(Webhook(Hook.parse(hook.url), "host-1"), wrong) as counts:
        await until(lambda: counts["webhook", "failed"] > 2, "messages that fail")
        wrong[:] = [Trouble("documents have errors", {"b": "b is bad"}, "1 error")]
        seen = hook.count
        await until(lambda: hook.count > seen + 1, "the next try")
        hook.status = 200
        await until(lambda: counts["webhook", "sent"], "the message")
        last = hook.heard[-1]
        assert last["new"] == ["b is bad"]
        wrong.clear()
        await until(lambda: hook.heard[-1]["status"] == "resolved", "that it is over")
    events = Counter(json.loads(line)["event"] for line in logged.getvalue().splitlines() if line.startswith("{"))
    assert (events["message not sent"], events["messages are sent again"]) == (1, 1)


@pytest.mark.parametrize("kind", ["webhook", "mail"])
async def test_a_sink_that_hangs_delays_nobody(kind: str, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails by its time limit, it is asked again, and there are never two conversations with it at once."""
    monkeypatch.setattr(notify, "SILENCE", 60.0)
    async with Hooks("hook", delay=60.0) as hook, Mailserver(silent=True) as server, Hooks("fine") as fine:
        sink: Sink = Webhook(Hook.parse(hook.url), "host-1") if kind == "webhook" else mail(server)
        async with telling(sink, list(WRONG)) as counts, telling(Webhook(Hook.parse(fine.url), "h"), list(WRONG)):
            await until(lambda: fine.count, "the message of the other sink")
            await until(lambda: counts[kind, "failed"] > 1, "two failures")
            common = [asyncio.to_thread(int) for _ in range(40)]
            assert await asyncio.gather(*common) == [0] * 40, "the loop's common threads are free"
        assert hook.count >= 2 if kind == "webhook" else server.connections == 1
        assert not server.letters


async def test_a_defect_in_looking_does_not_end_it(logged: io.StringIO) -> None:
    looks = iter([ValueError("once")])

    def look() -> tuple[Trouble, ...]:
        if error := next(looks, None):
            raise error
        return WRONG

    async with Hooks("hook") as hook:
        task = asyncio.create_task(
            notify.run([Webhook(Hook.parse(hook.url), "h")], look, AT_ONCE, lambda *_: None, every=0.005)
        )
        await until(lambda: hook.count, "the message")
        task.cancel()
        await asyncio.wait({task})
    assert "defect of gatecast" in logged.getvalue()


def test_a_message_is_json() -> None:
    assert json.loads(json.dumps(payload(MESSAGE, "h")))["note"] == "1 error"


async def test_a_server_tells_of_a_bad_document_and_of_a_proxy_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(notify.run, "__defaults__", (0.01,))
    (tmp_path / "a.yaml").write_text(
        "kind: Gateway\nid: edge\nlisteners: [{name: public, port: 8080}]\n---\n{kind: Tenant, id: acme, hosts: 7}\n"
    )
    async with Hooks("hook") as hook, Mailserver(login=("ops", CANARY)) as server:
        settings = Settings(
            settings=tmp_path, store="memory", xds=LOOPBACK, api=LOOPBACK, notify_webhook=hook.url,
            notify_smtp=f"smtp://ops:{CANARY}@127.0.0.1:{server.port}", notify_from="gatecast@example.com",
            notify_to="ops@example.com", notify_after=0, notify_every=1,
        )  # type: ignore[arg-type]  # fmt: skip
        async with running(settings) as served:
            await served.ready()
            async with adsclients.delta(str(served.xds)) as client:
                await client.ask(adsclients.LDS, resource_names_subscribe=["*"])
                await client.nack(await client.next(), "no such filter")
                subjects = {"documents have errors", "gateway edge: proxies refuse what they are sent"}
                await until(lambda: {one["subject"] for one in hook.heard} >= subjects, "both messages")
                await until(lambda: len(server.letters) >= 2, "both mails")
    assert any("no such filter" in one["text"] for one in hook.heard)
    assert any("Tenant/acme" in one["text"] and "hosts" in one["text"] for one in hook.heard)
    assert {one.message["Subject"].removeprefix("[gatecast] ") for one in server.letters} >= subjects
    for text in (
        logged.getvalue(),
        *(one["text"] for one in hook.heard),
        *(str(one.message) for one in server.letters),
    ):
        assert CANARY not in text
