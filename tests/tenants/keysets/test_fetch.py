"""One look at a real provider over real HTTP: discovery, redirects, limits, and every bad answer by its name."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import fetchers
import httpx
import idps
import pytest

from tenants.errors import GatecastError, Refused
from tenants.keysets.faults import KINDS, Unfit, Unreached
from tenants.keysets.fetch import Fetched, Provider, shown
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from tenants.keysets.transport import Checked, client

PUBLIC = "10.1.2.3"


@pytest.fixture
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp(alg="ES256") as made:
        yield made


async def look(
    source: Source, transport: httpx.AsyncBaseTransport | None = None, limits: Limits = fetchers.QUICK
) -> Fetched:
    async with client(transport or Checked(), limits.connect) as asking:
        return await Provider(asking, source, limits).fetch(fetchers.Time().wall)


async def refusal(source: Source, transport: httpx.AsyncBaseTransport | None = None) -> Unfit | Unreached:
    with pytest.raises(GatecastError) as told:
        await look(source, transport)
    assert isinstance(told.value, Unfit | Unreached)
    assert told.value.kind in KINDS
    assert str(told.value).isprintable()
    return told.value


def at(idp: idps.Idp) -> Source:
    return Source(idp.issuer, idp.uri, local=True)


async def test_keys_come_from_the_uri(idp: idps.Idp) -> None:
    idp.headers = {"cache-control": "max-age=700"}
    found = await look(at(idp))
    assert (found.keys.kids, found.fresh_for) == (("key-1",), 700)
    assert idp.requests == {"/jwks": 1}


@pytest.mark.parametrize("path", ["", "/", "/realms/acme", "/realms/acme/"])
async def test_without_a_uri_they_are_found_through_the_issuer(path: str) -> None:
    async with idps.Idp(alg="ES256", path=path) as idp:
        assert (await look(Source(idp.issuer, local=True))).keys.kids == ("key-1",)
        base = path.rstrip("/")
        assert idp.requests == {f"{base}/.well-known/openid-configuration": 1, f"{base}/jwks": 1}


DISCOVERIES: list[tuple[Any, str]] = [
    ({"issuer": "https://other.example", "jwks_uri": "{uri}"}, "it is of the issuer 'https://other.example'"),
    ({"issuer": "{issuer}/", "jwks_uri": "{uri}"}, "it is of the issuer"),
    ({"jwks_uri": "{uri}"}, "it is of the issuer 'None'"),
    ({"issuer": "{issuer}"}, "no `jwks_uri`"),
    ({"issuer": "{issuer}", "jwks_uri": 3}, "no `jwks_uri`"),
    ({"issuer": "{issuer}", "jwks_uri": "file:///etc/passwd"}, "no `jwks_uri` that is a URL"),
    ("<html>", "HTML or XML, and not a discovery document"),
    ("{", "not JSON, so not a discovery document"),
]


@pytest.mark.parametrize(("said", "why"), DISCOVERIES, ids=[str(said) for said, _ in DISCOVERIES])
async def test_a_bad_discovery_document_is_refused_in_words(idp: idps.Idp, said: Any, why: str) -> None:
    text = said if isinstance(said, str) else json.dumps(said)
    idp.discovery = text.replace("{uri}", idp.uri).replace("{issuer}", idp.issuer)
    told = await refusal(Source(idp.issuer, local=True))
    assert told.kind == "discovery"
    assert why in str(told)
    assert f"{idp.issuer}/.well-known/openid-configuration" in str(told)
    assert idp.requests["/jwks"] == 0


@pytest.mark.parametrize(
    "issuer", ["", "joe", "urn:me", "https://a.example/?x=1", "https://a.example/#x", "http://[", "http://a:99999"]
)
async def test_an_issuer_that_is_no_url_needs_a_uri(issuer: str) -> None:
    told = await refusal(Source(issuer))
    assert told.kind == "url"
    assert "give `jwks.uri` or `jwks.keys`" in str(told)


ANSWERS: list[tuple[dict[str, Any], str, str]] = [
    ({"body": "<html>sign in", "content_type": "text/html"}, "content", "HTML"),
    ({"body": "{"}, "content", "not JSON"),
    ({"body": '{"keys": []}'}, "content", "it is empty"),
    ({"body": json.dumps({"keys": [idps.key("leaked", "ES256").secret()]})}, "private", "'leaked'"),
    ({"status": 404}, "status", "it answers 404"),
    ({"status": 503}, "status", "it answers 503"),
    ({"status": 204}, "status", "it answers 204"),
    ({"headers": {"content-encoding": "gzip"}}, "content", "compressed"),
    ({"body": b" " * (512 << 10) + b"{}"}, "size", "larger than 512 KiB"),
    ({"redirect": "ftp://somewhere/jwks"}, "url", "redirects to"),
    ({"redirect": "http://a.example:x/jwks"}, "connect", "Invalid URL in location header"),
    ({"redirect": "http://a.example:99999/jwks"}, "url", "is no http or https URL"),
    ({"redirect": "http://" + "a" * 300 + ".example/"}, "dns", "cannot be resolved"),
    ({"redirect": "/jwks"}, "redirect", "more than 3 redirects"),
]


@pytest.mark.parametrize(("answer", "kind", "why"), ANSWERS, ids=[f"{kind}-{why}" for _, kind, why in ANSWERS])
async def test_a_bad_answer_is_refused_in_words(idp: idps.Idp, answer: dict[str, Any], kind: str, why: str) -> None:
    for name, value in answer.items():
        setattr(idp, name, value)
    told = await refusal(at(idp))
    assert (told.kind, why in str(told)) == (kind, True), str(told)
    assert str(told).startswith(idp.uri)


async def test_of_a_set_of_ten_megabytes_no_more_than_the_limit_is_read(idp: idps.Idp) -> None:
    """By its length it is not read at all; without one, and without end, no further than the limit."""
    idp.body = b" " * (10 << 20)
    assert (await refusal(at(idp))).kind == "size"
    idp.endless = True
    counted = Counted()
    assert (await refusal(at(idp), Checked(inner=counted))).kind == "size"
    assert counted.read <= (512 << 10) + (64 << 10)


class Counted(httpx.AsyncBaseTransport):
    """The real wire, and how many bytes of bodies we took from it."""

    def __init__(self) -> None:
        self.read = 0
        self._wire = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._wire.handle_async_request(request)
        response.stream = _Counting(response.stream, self)
        return response

    async def aclose(self) -> None:
        await self._wire.aclose()


class _Counting(httpx.AsyncByteStream):
    def __init__(self, inner: Any, owner: Counted) -> None:
        self._inner, self._owner = inner, owner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._owner.read += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_nobody_there_is_said_plainly(idp: idps.Idp) -> None:
    await idp.stop()
    told = await refusal(at(idp))
    assert (told.kind, isinstance(told, Refused)) == ("connect", False)


async def test_an_answer_that_never_comes_is_not_waited_for(idp: idps.Idp) -> None:
    idp.delay = idps.NEVER
    with pytest.raises(Unreached, match="the keys did not come within"):
        await look(at(idp), limits=replace(fetchers.QUICK, total=0.05))


async def test_a_provider_on_loopback_is_refused_unless_the_gateway_allows_it(idp: idps.Idp) -> None:
    for source in (Source(idp.issuer, idp.uri), Source(idp.issuer), Source("x", f"http://localhost:{idp.port}/jwks")):
        told = await refusal(source)
        assert told.kind == "address"
        assert "is on loopback, and the gateway does not allow that" in str(told)
    for spelling in ("2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "[::1]", "0"):
        assert (await refusal(Source("x", f"http://{spelling}:{idp.port}/jwks"))).kind == "address", spelling
    assert idp.requests == {}


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/jwks", "http://169.254.169.254/latest/meta-data", "http://inside.example:{port}/"],
)
async def test_a_redirect_to_loopback_or_link_local_is_refused_and_not_followed(idp: idps.Idp, target: str) -> None:
    network = fetchers.Network({"idp.example": [PUBLIC], "inside.example": ["169.254.7.7"]})
    idp.redirect = target.format(port=idp.port)
    told = await refusal(Source("x", f"http://idp.example:{idp.port}/jwks"), network.checked())
    assert told.kind == "address"
    assert f"http://idp.example:{idp.port}/jwks redirects to {idp.redirect}" in str(told)
    assert network.connected == [PUBLIC]


async def test_a_discovery_document_cannot_point_inside_either(idp: idps.Idp) -> None:
    network = fetchers.Network({"idp.example": [PUBLIC]})
    issuer = f"http://idp.example:{idp.port}"
    idp.discovery = {"issuer": issuer, "jwks_uri": f"http://127.0.0.1:{idp.port}/jwks"}
    assert (await refusal(Source(issuer), network.checked())).kind == "address"
    assert network.connected == [PUBLIC]


async def test_redirects_are_followed_to_the_third(idp: idps.Idp) -> None:
    async with idps.Idp() as one, idps.Idp() as two, idps.Idp() as three:
        one.redirect, two.redirect, three.redirect = two.uri, three.uri, idp.uri
        assert (await look(at(one))).keys.kids == ("key-1",)
        async with idps.Idp() as zero:
            zero.redirect = one.uri
            assert (await refusal(at(zero))).kind == "redirect"


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(idp: idps.Idp) -> None:
    """DNS rebinding: the name is resolved once for each connection, and that address is the one connected to."""
    network = fetchers.Network()
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    transport = Checked(rebinding, inner=network)
    source = Source("x", f"http://idp.example:{idp.port}/jwks")
    async with client(transport, 2.0) as asking:
        provider = Provider(asking, source, fetchers.QUICK)
        assert (await provider.fetch(0.0)).keys.kids == ("key-1",)
        with pytest.raises(Refused, match="on loopback"):
            await provider.fetch(0.0)
    assert network.connected == [PUBLIC]


async def test_of_several_addresses_the_next_is_tried_and_refused_ones_never(idp: idps.Idp) -> None:
    network = fetchers.Network({"idp.example": ["127.0.0.1", "10.9.9.9", PUBLIC]}, dead=frozenset({"10.9.9.9"}))
    found = await look(Source("x", f"http://idp.example:{idp.port}/jwks"), network.checked())
    assert found.keys.kids == ("key-1",)
    assert network.connected == ["10.9.9.9", PUBLIC]


async def test_the_environments_proxy_is_not_used(idp: idps.Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with idps.Idp() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await look(at(idp))).keys.kids == ("key-1",)
        assert proxy.requests == {}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://ann:secret@a.example:8443/jwks?key=secret#x", "https://a.example:8443/jwks"),
        ("nonsense?secret", "'nonsense'"),
        ("https://ann:secret@[/", "'[/'"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, text: str) -> None:
    assert shown(url) == text
