"""What the Admin client makes of faults, TLS, Enterprise's tokens and workspaces, and Kongs without a database.

Only the double can be told to fail: these tests do not run against a real Kong.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from kong_double.double import Double
from kong_double.faults import EVERY, Fault
from kong_double.pages import Node
from kong_double.transport import Direct
from kong_sync.admin import Access, Admin, Patience, client, connected
from kong_sync.answers import Conflict, KongRefused
from kong_sync.entities import KINDS
from tenants.errors import Refused, Unavailable

ID = "11111111-0000-4000-8000-00000000000{}"
SERVICE: dict[str, Any] = {"id": ID.format(1), "name": "s", "host": "s.test", "tags": ["tenant:acme"]}
UPSTREAM = {"id": ID.format(2), "name": "u"}
TARGET: dict[str, Any] = {"id": ID.format(3), "target": "h:1", "upstream": {"id": UPSTREAM["id"]}}
SERVICES, TARGETS, UPSTREAMS = KINDS["services"], KINDS["targets"], KINDS["upstreams"]
QUICK = Patience(tries=4, first=0.001, most=0.01)


class Pauses:
    """A sleep that takes no time and remembers how long it was to be."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def talking(
    double: Double | None = None, patience: Patience = QUICK, **access: Any
) -> AsyncIterator[tuple[Double, Admin, Pauses]]:
    """A double, a client of it, and the pauses the client made."""
    pauses = Pauses()
    async with (
        (double or Double()).serving() as kong,
        connected(Access(kong.admin_url, **access), patience=patience, sleep=pauses, draw=lambda: 0.5) as admin,
    ):
        kong.calls.clear()
        yield kong, admin, pauses


PASSING = {
    "nothing was done, 500": Fault(status=500),
    "done, and 500": Fault(status=500, done=True),
    "a proxy's 503": Fault(status=503),
    "cut before": Fault(cut=True),
    "cut after": Fault(cut=True, done=True),
    "a race, 409": Fault(status=409),
    "429": Fault(status=429),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("call", [1, 2])
async def test_a_fault_of_one_call_is_not_noticed(fault: Fault, call: int) -> None:
    async with talking() as (kong, admin, pauses):
        kong.faults.on(call, fault)
        for retries in (1, 2):
            held = await admin.put(SERVICES, SERVICE | {"retries": retries})
            assert held["retries"] == retries
        assert kong.faults.hit == 1
        assert len(pauses.seconds) == 1
        assert [row["retries"] for row in await admin.rows(SERVICES)] == [2]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("call", [2, 3])
async def test_a_target_is_made_once_whichever_call_fails(fault: Fault, call: int) -> None:
    """It takes two calls: PUT says 404, POST makes it."""
    async with talking() as (kong, admin, _pauses):
        await admin.put(UPSTREAMS, UPSTREAM)
        kong.faults.on(call - 1, fault)
        assert (await admin.put(TARGETS, TARGET))["id"] == TARGET["id"]
        assert kong.faults.hit == 1
        assert len(await admin.rows(TARGETS, parent=UPSTREAM["id"])) == 1


async def test_a_post_whose_answer_did_not_come_is_looked_for_and_not_repeated() -> None:
    async with talking() as (kong, admin, _pauses):
        await admin.put(UPSTREAMS, UPSTREAM)
        kong.calls.clear()
        kong.faults.on(2, Fault(cut=True, done=True))
        await admin.put(TARGETS, TARGET)
        assert [one.method for one in kong.calls] == ["PUT", "POST", "GET"]


@pytest.mark.parametrize("fault", [Fault(cut=True, done=True), Fault(status=500, done=True), Fault(status=502)])
async def test_a_deletion_whose_answer_did_not_come_is_repeated(fault: Fault) -> None:
    async with talking() as (kong, admin, _pauses):
        await admin.put(UPSTREAMS, UPSTREAM)
        await admin.put(TARGETS, TARGET)
        kong.faults.on(1, fault)
        await admin.delete(TARGETS, TARGET["id"], parent=UPSTREAM["id"])
        assert await admin.rows(TARGETS, parent=UPSTREAM["id"]) == []


async def test_a_slow_answer_is_a_fault_too() -> None:
    async with talking(timeout=0.5) as (kong, admin, pauses):
        kong.faults.on(1, Fault(delay=3600.0))
        await admin.put(SERVICES, SERVICE)
        assert pauses.seconds


async def test_a_listing_goes_on_after_a_fault_of_a_page() -> None:
    async with talking() as (kong, admin, _pauses):
        await admin.put(SERVICES, SERVICE)
        kong.faults.on(1, Fault(status=500), methods=EVERY)
        assert len(await admin.rows(SERVICES)) == 1


async def test_it_gives_up_after_some_tries_with_growing_pauses() -> None:
    async with talking(patience=Patience(tries=4, first=1.0, most=3.0)) as (kong, admin, pauses):
        kong.faults.on(1, Fault(status=500), times=9)
        with pytest.raises(Unavailable, match=r"PUT /services/.*: 500 An unexpected error occurred"):
            await admin.put(SERVICES, SERVICE)
        assert pauses.seconds == [1.0, 1.5, 1.5]
        assert len(kong.calls) == 4


async def test_kong_may_say_how_long_to_wait() -> None:
    async with talking() as (kong, admin, pauses):
        kong.faults.on(1, Fault(status=429, headers=(("Retry-After", "7"),)))
        await admin.put(SERVICES, SERVICE)
        assert pauses.seconds == [7.0]


async def test_a_conflict_that_stays_is_told_after_two_more_tries() -> None:
    async with talking() as (kong, admin, pauses):
        await admin.put(SERVICES, SERVICE)
        kong.calls.clear()
        with pytest.raises(Conflict):
            await admin.put(SERVICES, SERVICE | {"id": ID.format(9)})
        assert len(kong.calls) == len(pauses.seconds) + 1 == 3


@pytest.mark.parametrize("status", [400, 413, 415])
async def test_what_cannot_be_helped_by_repeating_is_not_repeated(status: int) -> None:
    async with talking() as (kong, admin, pauses):
        kong.faults.on(1, Fault(status=status))
        with pytest.raises(KongRefused, match=f"answer {status} to PUT /services/"):
            await admin.put(SERVICES, SERVICE)
        assert pauses.seconds == []


async def test_a_kong_that_is_not_there_is_unavailable() -> None:
    async with Double().serving() as kong:
        url = kong.admin_url
    with pytest.raises(Unavailable, match=rf"the Admin API at {url}/ does not answer \(ConnectError"):
        async with connected(Access(url), patience=QUICK):
            raise AssertionError("nobody is there")


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault(delay=60.0), False),
        (Fault(delay=60.0, done=True), True),
        (Fault(cut=True), False),
        (Fault(delay=1.0), True),
    ],
)
async def test_without_sockets_the_same_things_go_wrong(fault: Fault, kept: bool) -> None:
    pauses = Pauses()
    double = Double(sleep=pauses)
    async with connected(Access("http://kong"), transport=Direct(double), patience=Patience(tries=1)) as admin:
        double.faults.on(1, fault)
        if fault.delay == 1.0:
            await admin.put(SERVICES, SERVICE)
            assert pauses.seconds == [1.0]
        else:
            with pytest.raises(Unavailable):
                await admin.put(SERVICES, SERVICE)
        assert (await admin.get(SERVICES, SERVICE["id"]) is not None) is kept


async def test_no_more_than_eight_connections_are_open_and_waiting_for_one_is_no_fault() -> None:
    pauses = Pauses()
    async with Double().serving() as kong, client(Access(kong.admin_url)) as http:
        http.timeout = httpx.Timeout(10.0, pool=0.0)  # answers have their time; waiting for a place has no limit at all
        admin = Admin(http, patience=QUICK, sleep=pauses)
        kong.faults.on(1, Fault(delay=0.02), methods=EVERY, times=100)
        await asyncio.gather(*(admin.get(SERVICES, SERVICE["id"]) for _ in range(64)))
        assert 1 < kong.admin_server.connections <= 8
        assert pauses.seconds == []


# -- who we are ---------------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def files(authority: trustme.CA, folder: Path) -> dict[str, Any]:
    """The client's files: the authority, and a certificate of its own."""
    authority.cert_pem.write_to_path(folder / "ca.pem")
    mine = authority.issue_cert("gatecast@test")
    mine.private_key_pem.write_to_path(folder / "key.pem")
    mine.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {
        "ca_file": str(folder / "ca.pem"),
        "certificate_file": str(folder / "cert.pem"),
        "key_file": str(folder / "key.pem"),
    }


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_both_sides_show_certificates(authority: trustme.CA, tmp_path: Path) -> None:
    shown = files(authority, tmp_path)
    async with talking(Double(tls=server_side(authority)), **shown) as (kong, admin, _pauses):
        assert kong.admin_url.startswith("https://")
        await admin.put(SERVICES, SERVICE)
        for lacking in ({"ca_file": ""}, {"certificate_file": "", "key_file": ""}):
            with pytest.raises(Unavailable):
                async with connected(Access(kong.admin_url, **(shown | lacking)), patience=QUICK):
                    raise AssertionError("one of them shows nothing")


async def test_a_file_that_is_no_certificate_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(Refused, match=r"ca\.pem"):
        async with connected(Access("https://127.0.0.1:1", ca_file=str(tmp_path / "ca.pem"))):
            raise AssertionError("there is no authority")


async def test_an_administrator_shows_a_token_that_nobody_else_sees() -> None:
    async with talking(Double(token="s3cret"), token="s3cret") as (kong, admin, _pauses):
        await admin.put(SERVICES, SERVICE)
        with pytest.raises(KongRefused, match="Kong-Admin-Token") as caught:
            async with connected(Access(kong.admin_url, token="wr0ng")):
                raise AssertionError("the token is wrong")
        assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in repr(Access("http://kong", token="s3cret"))


async def test_workspaces_are_worlds_of_their_own() -> None:
    async with talking(Double(workspaces=("blue",)), workspace="blue") as (kong, blue, _pauses):
        await blue.put(SERVICES, SERVICE)
        async with connected(Access(kong.admin_url)) as other:
            assert await other.get(SERVICES, SERVICE["id"]) is None
            await other.put(SERVICES, SERVICE)
        assert len(await blue.rows(SERVICES)) == 1


# -- without a database -------------------------------------------------------------------------------------------

GOOD = "_format_version: '3.0'\nservices:\n- {name: s, host: s.test, tags: ['tenant:acme']}\n"
BAD = """_format_version: '3.0'
services:
- {name: s, host: s.test, tags: ['tenant:acme'], port: 99999}
- {name: t, host: t.test, tags: ['tenant:beta']}
- {name: a b, host: u.test, tags: ['tenant:cobalt']}
"""


async def test_a_whole_configuration_is_loaded_once() -> None:
    async with talking(Double(Node(dbless=True))) as (_kong, admin, _pauses):
        assert admin.about.dbless
        assert (await admin.status()).ready is False
        assert [await admin.load(GOOD), await admin.load(GOOD)] == [True, False]
        assert (await admin.status()).ready
        with pytest.raises(KongRefused, match="takes whole configurations only"):
            await admin.put(SERVICES, SERVICE)


async def test_a_refused_configuration_names_each_tenant_and_changes_nothing() -> None:
    async with talking(Double(Node(dbless=True))) as (_kong, admin, _pauses):
        await admin.load(GOOD)
        with pytest.raises(KongRefused) as caught:
            await admin.load(BAD)
        told = {(one.tenant, one.kind, one.id, one.path) for one in caught.value.problems}
        assert told == {("acme", "services", "s", "port"), ("cobalt", "services", "a b", "name")}
        assert [row["name"] for row in await admin.rows(SERVICES)] == ["s"]


@pytest.mark.parametrize("fault", [Fault(status=429), Fault(cut=True, done=True), Fault(status=504, done=True)])
async def test_a_load_is_repeated_until_it_is_answered(fault: Fault) -> None:
    async with talking(Double(Node(dbless=True))) as (kong, admin, _pauses):
        kong.faults.on(1, fault)
        await admin.load(GOOD)
        assert len(await admin.rows(SERVICES)) == 1


@pytest.mark.parametrize("text", [GOOD + "#" * (10 << 20)])
async def test_a_configuration_that_is_too_large_says_what_to_raise(text: str) -> None:
    async with talking(Double(Node(dbless=True))) as (_kong, admin, _pauses):
        with pytest.raises(KongRefused, match="raise nginx_admin_client_max_body_size"):
            await admin.load(text)
