"""Certificates are verified for the name, though the connection goes to an address; https never becomes http."""

import ssl

import fetchers
import idps
import pytest
import trustme

from tenants.errors import Refused
from tenants.keysets.faults import Unreached
from tenants.keysets.fetch import Provider
from tenants.keysets.source import Source
from tenants.keysets.transport import client

ADDRESS = "10.1.2.3"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*names).configure_cert(made)
    return made


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    made = ssl.create_default_context()
    ca.configure_trust(made)
    return made


async def kids(network: fetchers.Network, source: Source) -> tuple[str, ...]:
    async with client(network.checked(), 2.0) as asking:
        return (await Provider(asking, source, fetchers.QUICK).fetch(0.0)).keys.kids


async def test_the_certificate_must_be_of_the_name_and_of_a_ca_we_trust(ca: trustme.CA) -> None:
    async with idps.Idp(alg="ES256", tls=server(ca, "idp.example")) as idp:
        names = {"idp.example": [ADDRESS], "other.example": [ADDRESS]}
        network = fetchers.Network(names, tls=trusting(ca))
        assert await kids(network, Source("x", f"https://idp.example:{idp.port}/jwks")) == ("key-1",)
        assert network.connected == [ADDRESS]
        with pytest.raises(Unreached, match="CERTIFICATE_VERIFY_FAILED"):
            await kids(network, Source("x", f"https://other.example:{idp.port}/jwks"))
        with pytest.raises(Unreached, match="CERTIFICATE_VERIFY_FAILED"):
            await kids(fetchers.Network(names), Source("x", f"https://idp.example:{idp.port}/jwks"))
        assert idp.requests == {"/jwks": 1}


async def test_a_connection_to_a_shared_address_never_carries_another_names_request(ca: trustme.CA) -> None:
    """One client, one address: the second name's certificate is checked although the first name's was good."""
    async with idps.Idp(alg="ES256", tls=server(ca, "idp.example")) as idp:
        network = fetchers.Network({"idp.example": [ADDRESS], "other.example": [ADDRESS]}, tls=trusting(ca))
        async with client(network.checked(), 2.0) as asking:
            good, bad = (Source("x", f"https://{name}.example:{idp.port}/jwks") for name in ("idp", "other"))
            await Provider(asking, good, fetchers.QUICK).fetch(0.0)
            with pytest.raises(Unreached, match="CERTIFICATE_VERIFY_FAILED"):
                await Provider(asking, bad, fetchers.QUICK).fetch(0.0)
        assert idp.requests == {"/jwks": 1}


async def test_an_address_in_the_url_is_verified_as_an_address(ca: trustme.CA) -> None:
    async with idps.Idp(alg="ES256", tls=server(ca, "127.0.0.1")) as idp:
        network = fetchers.Network(tls=trusting(ca))
        assert await kids(network, Source(idp.issuer, local=True)) == ("key-1",)


async def test_https_never_redirects_to_http(ca: trustme.CA) -> None:
    async with idps.Idp(alg="ES256") as plain, idps.Idp(alg="ES256", tls=server(ca, "idp.example")) as idp:
        network = fetchers.Network({"idp.example": [ADDRESS]}, tls=trusting(ca))
        idp.redirect = plain.uri.replace("127.0.0.1", "idp.example")
        with pytest.raises(Refused, match="from https to http:"):
            await kids(network, Source("x", f"https://idp.example:{idp.port}/jwks"))
        issuer = f"https://idp.example:{idp.port}"
        idp.discovery = {"issuer": issuer, "jwks_uri": idp.redirect}
        with pytest.raises(Refused, match="from https to http:"):
            await kids(network, Source(issuer))
        assert plain.requests == {}


async def test_http_may_redirect_to_https(ca: trustme.CA) -> None:
    async with idps.Idp(alg="ES256", tls=server(ca, "idp.example")) as idp, idps.Idp() as plain:
        plain.redirect = f"https://idp.example:{idp.port}/jwks"
        network = fetchers.Network({"idp.example": [ADDRESS]}, tls=trusting(ca))
        assert await kids(network, Source("x", f"http://idp.example:{plain.port}/jwks")) == ("key-1",)
