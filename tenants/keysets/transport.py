"""The way out: an httpx transport that resolves the name itself, checks the addresses, and connects to a checked one.

Nothing lies between check and connection, so a name that changes its address meanwhile (DNS rebinding) gains nothing:
the request goes to the address, and `Host`, SNI and the certificate's name stay the name's. Called by `fetcher`.

Deliberately so:
- The environment's proxies and .netrc are not used: a proxy would resolve the name again, behind our back.
- Certificates are verified with the system's CAs; OpenSSL honours SSL_CERT_FILE and SSL_CERT_DIR.
- A connection serves one request. Connections to an address are not told apart by name, so a kept one could carry
  another name's request past the check of its certificate.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpx

from tenants.keysets.faults import Unreached
from tenants.keysets.guard import allowed

THREADS = 32
TRIES = 4
"""Addresses of one name that are tried; they share the time for connecting."""

Resolve = Callable[[str, int], Awaitable[Iterable[str]]]


class Names:
    """The system's resolver, in threads of its own: it blocks for as long as a name server is silent.

    The loop's common threads read settings and must not wait for a tenant's name server.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "names")

    async def __call__(self, host: str, port: int) -> Iterable[str]:
        """The addresses of a host, in the system's order."""
        ask = asyncio.get_running_loop().run_in_executor
        try:
            found = await ask(self._threads, socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, socket.gaierror) and error.strerror else "it is no host name"
            raise Unreached("dns", f"{host} cannot be resolved: {why}") from None
        return dict.fromkeys(str(one[4][0]) for one in found)

    def close(self) -> None:
        """Wait for nothing: a thread that is stuck ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Checked(httpx.AsyncBaseTransport):
    """Sends each request to an address of its host that `guard` allows; `extensions["local"]` is the source's word."""

    def __init__(
        self,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._names = Names()
        self._resolve: Resolve = resolve or self._names
        self._inner = inner or plain_transport(tls or ssl.create_default_context())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises `Unfit`, `Unreached`, and what httpx raises."""
        host = request.url.raw_host.decode("ascii")
        found = [host] if _is_address(host) else await self._resolve(host, _port(request.url))
        addresses = allowed(host, found, bool(request.extensions.get("local")))[:TRIES]
        failure: httpx.TransportError | None = None
        for address in addresses:
            try:
                return await self._inner.handle_async_request(_to(request, address, host, len(addresses)))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        assert failure is not None, "there is at least one address"
        raise failure

    async def aclose(self) -> None:
        """Close what is open."""
        self._names.close()
        await self._inner.aclose()


def plain_transport(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """Connects to whatever it is told; keeps no connection."""
    once = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=tls, limits=once, trust_env=False, retries=0)


def _to(request: httpx.Request, address: str, host: str, tries: int) -> httpx.Request:
    """The request, to be sent to this address; it still says the host's name (`Host` is a header by now)."""
    extensions = dict(request.extensions)
    patience = dict(extensions.get("timeout", {}))
    if patience.get("connect"):
        patience["connect"] /= tries
    extensions["timeout"] = patience
    if not _is_address(host):
        extensions["sni_hostname"] = host
    url = request.url.copy_with(host=address)
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def client(transport: httpx.AsyncBaseTransport, connect: float) -> httpx.AsyncClient:
    """A client over this transport that follows nothing by itself and trusts nothing of the environment.

    `connect`: seconds to connect, TLS included. The rest is bounded by who asks (`fetch`).
    """
    headers = {"accept": "application/json", "accept-encoding": "identity", "connection": "close"}
    patience = httpx.Timeout(None, connect=connect)
    return httpx.AsyncClient(
        transport=transport, headers=headers, timeout=patience, follow_redirects=False, trust_env=False
    )
