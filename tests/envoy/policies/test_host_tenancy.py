"""The tenant from the host: case, port and trailing dot do not count, several hosts may be one tenant's."""

import asyncio
import itertools

import edges
import h2.config
import h2.connection
import h2.events
import httpx
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

WHOSE = "x-whose"


def signed(name: str, *hosts: str) -> edges.Json:
    """A tenant with these hosts whose answers tell that they are its own."""
    sign = {"set": {WHOSE: name}}
    return edges.tenant(name, more={"hosts": [edges.host(name), *hosts]}, headers={"request": sign, "response": sign})


async def get(hosts: edges.Edge, host: str, *headers: tuple[str, str], path: str = "/a") -> httpx.Response:
    return await hosts.client().get(hosts.url(path), headers=[("host", host), *headers])


def whose(answer: httpx.Response) -> str | None:
    """Whose routes answered; nobody's if the request was refused."""
    told = answer.headers.get(WHOSE)
    if answer.status_code == 200:
        assert told
        assert answer.json()["headers"][WHOSE] == told, answer.text
    return told


SPELLINGS = ("acme.example.com", "ACME.example.com", "AcMe.ExAmPlE.CoM", "acme.example.com.", "ACME.EXAMPLE.COM.")


@pytest.mark.parametrize("port", ["", ":80", ":8080", ":65535"])
async def test_case_port_and_trailing_dot_do_not_count(hosts: edges.Edge, port: str) -> None:
    await hosts.put(signed("acme"), signed("beta"))
    for spelling in SPELLINGS:
        answer = await get(hosts, spelling + port)
        assert (answer.status_code, whose(answer)) == (200, "acme"), (spelling, answer.text)


async def test_all_hosts_of_a_tenant_are_the_same_tenant(hosts: edges.Edge) -> None:
    await hosts.put(signed("many", "many.example.org", "shop.many.example.org"), signed("beta"))
    for host in ("many.example.com", "many.example.org:443", "SHOP.many.example.org"):
        assert whose(await get(hosts, host)) == "many", host
    assert whose(await get(hosts, "beta.example.com")) == "beta"


async def test_all_hosts_of_a_tenant_share_one_bucket(hosts: edges.Edge) -> None:
    limit = {"requests": 1, "per": "hour"}
    more = {"hosts": ["pooled.example.com", "pooled.example.org"]}
    await hosts.put(edges.tenant("pooled", more=more, rate_limit=limit))
    said = [(await get(hosts, host)).status_code for host in ("pooled.example.com", "POOLED.example.org")]
    assert said == [200, 429]


@pytest.mark.parametrize(
    "host",
    [
        "nobody.example.com",
        "acme",
        "acme.example",
        "acme.example.co",
        "acme.example.comx",
        "x.acme.example.com",
        "xacme.example.com",
        "*.example.com",
        "example.com",
        "127.0.0.1",
        "[::1]:80",
        "beta.example.com@x",
        ":80",
        "acme.example.com,beta.example.com",
        "acme.example.com:80,beta.example.com",
        "acme.example.com:80, beta.example.com",
        "acme.example.com:port",
        "acme.example.com:80:81",
        "acme.example.com beta.example.com",
        "acme.example.com..",
    ],
)
async def test_any_other_host_is_nobodys(hosts: edges.Edge, host: str) -> None:
    await hosts.put(signed("acme"), signed("beta"))
    before = hosts.echo.count
    answer = await get(hosts, host)
    assert answer.status_code in (400, 404), answer.text
    assert edges.error(answer) == ("bad_request" if answer.status_code == 400 else "unknown_tenant")
    assert (whose(answer), hosts.echo.count) == (None, before)


@pytest.mark.parametrize(
    "spoof",
    [
        ("x-gatecast-host", "beta.example.com"),
        ("X-Gatecast-Host", "beta.example.com"),
        ("x_gatecast_host", "beta.example.com"),
        ("x-forwarded-host", "beta.example.com"),
        ("x-host", "beta.example.com"),
        ("forwarded", "host=beta.example.com"),
        ("x-tenant-id", "beta"),
        ("x-envoy-original-host", "beta.example.com"),
        ("connection", "host"),
        ("connection", "x-gatecast-host"),
    ],
)
async def test_nothing_else_in_a_request_changes_the_tenant(hosts: edges.Edge, spoof: tuple[str, str]) -> None:
    await hosts.put(signed("acme"), signed("beta"))
    answer = await get(hosts, "acme.example.com", spoof)
    if answer.status_code == 200:
        assert whose(answer) == "acme"
        assert answer.json()["headers"]["host"] == "acme.example.com"
        assert "x-gatecast-host" not in answer.json()["headers"]
    else:
        assert edges.error(answer) == "bad_request", answer.text
    unknown = await get(hosts, "nobody.example.com", spoof)
    assert (unknown.status_code, whose(unknown)) in ((404, None), (400, None))


async def test_two_hosts_in_one_request_are_refused(hosts: edges.Edge) -> None:
    await hosts.put(signed("acme"), signed("beta"))
    before = hosts.echo.count
    for pair in itertools.permutations(("acme.example.com", "beta.example.com", "acme.example.com:80", "x"), 2):
        lines = "".join(f"host: {host}\r\n" for host in pair)
        said = await hosts.raw(f"GET /a HTTP/1.1\r\n{lines}\r\n".encode())
        assert said.startswith(("HTTP/1.1 400", "HTTP/1.1 404")), (pair, said)
        assert WHOSE not in said
    assert hosts.echo.count == before


async def test_a_whole_url_as_target_counts_more_than_the_host_header(hosts: edges.Edge) -> None:
    """RFC 9112, 3.2.2. The service must see the same host as the gateway."""
    await hosts.put(signed("acme"), signed("beta"))
    said = await hosts.raw(b"GET http://beta.example.com/a HTTP/1.1\r\nhost: acme.example.com\r\n\r\n")
    assert f"{WHOSE}: beta\r\n" in said
    assert '"host": "beta.example.com"' in said
    assert "acme" not in said


async def test_no_host_at_all_is_refused(hosts: edges.Edge) -> None:
    await hosts.put(signed("acme"))
    for line in (b"", b"host:\r\n", b"host: \t\r\n"):
        said = await hosts.raw(b"GET /a HTTP/1.1\r\n" + line + b"\r\n")
        assert said.startswith(("HTTP/1.1 400", "HTTP/1.1 404")), said
        assert WHOSE not in said


async def test_hosts_that_take_turns_on_one_connection_get_their_own_answers(hosts: edges.Edge) -> None:
    names = [f"turn-{number}" for number in range(4)]
    await hosts.put(*(signed(name) for name in names))
    order = [name for pair in itertools.permutations(names, 2) for name in pair]
    ask = "".join(f"GET /a HTTP/1.1\r\nhost: {edges.host(name).upper()}:81\r\n\r\n" for name in order)
    bad = "GET /a HTTP/1.1\r\nhost: nobody.example.com\r\n\r\n"
    said = await hosts.raw(ask.encode(), bad.encode(), answers=len(order) + 1)
    told = [line.removeprefix(f"{WHOSE}: ") for line in said.split("\r\n") if line.startswith(f"{WHOSE}: ")]
    assert told == order
    assert said.count("HTTP/1.1 404") == 1


async def test_hosts_at_once_on_one_http2_connection_get_their_own_answers(hosts: edges.Edge) -> None:
    names = [f"turn-{number}" for number in range(4)]
    await hosts.put(*(signed(name) for name in names))
    client = hosts.client(http2=True)
    order = [*names, "nobody"] * 10
    said = await asyncio.gather(*(client.get(hosts.url(), headers={"host": f"{name}.EXAMPLE.com:8"}) for name in order))
    assert {answer.http_version for answer in said} == {"HTTP/2"}
    assert [whose(answer) for answer in said] == [None if name == "nobody" else name for name in order]


async def test_a_host_beside_the_authority_of_http2_counts_for_nothing(hosts: edges.Edge) -> None:
    await hosts.put(signed("acme"), signed("beta"))
    reader, writer = await asyncio.open_connection("127.0.0.1", hosts.port)
    speaker = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
    speaker.initiate_connection()
    start = [(":method", "GET"), (":scheme", "http"), (":authority", "acme.example.com"), (":path", "/a")]
    speaker.send_headers(1, [*start, ("host", "beta.example.com")], end_stream=True)
    writer.write(speaker.data_to_send())
    body = b""
    async with asyncio.timeout(10.0):
        while not body.endswith(b"}"):
            events = speaker.receive_data(await reader.read(65_536))
            body += b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))
    writer.close()
    assert b'"host": "acme.example.com"' in body
    assert f'"{WHOSE}": "acme"'.encode() in body
    assert b"beta" not in body


async def test_a_host_that_moves_to_another_tenant_takes_its_requests_along(hosts: edges.Edge) -> None:
    await hosts.put(signed("giver", "moving.example.com"), signed("taker"))
    assert whose(await get(hosts, "moving.example.com")) == "giver"
    await hosts.put(signed("giver"), signed("taker", "moving.example.com"))

    async def moved() -> bool:
        answer = await get(hosts, "moving.example.com")
        assert answer.status_code in (200, 404)
        return whose(answer) == "taker"

    await hosts.until(moved, "the host to have moved")
    assert whose(await get(hosts, "giver.example.com")) == "giver"


@pytest.mark.parametrize("host", ["guarded.example.com", "GUARDED.Example.com", "guarded.example.org:81"])
async def test_guards_hold_however_the_host_is_written(hosts: edges.Edge, host: str) -> None:
    """Envoy decides which filters a request passes before it knows the host's tenant."""
    more = {"hosts": ["guarded.example.com", "guarded.example.org"]}
    policies = {"access": {"deny": ["127.0.0.3/32"]}, "body_limit": {"max": "1KiB"}}
    off = {"b": {"policies": dict.fromkeys(policies)}}
    await hosts.put(edges.tenant("guarded", off, more, **policies), edges.tenant("open"))
    told = {
        (path, last, size): (
            await hosts.client(f"127.0.0.{last}").post(hosts.url(path), headers={"host": host}, content=b"x" * size)
        ).status_code
        for path in ("/a", "/b")
        for last in (2, 3)
        for size in (0, 1025)
    }
    refused = {("/a", 3, 0): 403, ("/a", 3, 1025): 403, ("/a", 2, 1025): 413}
    assert told == dict.fromkeys(told, 200) | refused
    answer = await hosts.ask("open", "/a", "POST", content=b"x" * 100_000, address="127.0.0.3")
    assert (answer.status_code, answer.json()["length"]) == (200, 100_000)


async def test_an_unknown_host_is_404_whatever_it_sends(hosts: edges.Edge) -> None:
    await hosts.put(signed("acme"))
    for size in (0, 1, 2, 100_000, 3_000_000):
        answer = await hosts.ask("nobody", "/a", "POST", content=b"x" * size)
        assert (answer.status_code, edges.error(answer)) == (404, "unknown_tenant"), size


async def test_a_suspended_tenant_is_refused_whatever_it_sends(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("unpaid"))
    await hosts.put(edges.tenant("unpaid", more={"status": "suspended"}))

    async def suspended() -> bool:
        return await hosts.statuses("unpaid") == [403]

    await hosts.until(suspended, "the tenant to be suspended")
    for size in (1, 100_000):
        answer = await hosts.ask("unpaid", "/a", "POST", content=b"x" * size)
        assert (answer.status_code, edges.error(answer)) == (403, "tenant_suspended")
