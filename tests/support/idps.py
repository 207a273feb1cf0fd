"""A real identity provider on loopback: keys of every algorithm, discovery and JWK set over HTTP, tokens, and faults.

    async with idps.Idp() as idp:
        idp.issuer, idp.uri, idp.jwks()
        idp.token(sub="ann", tenant="acme")        # a good one; exp=None leaves `exp` out, expires_in=-600 is expired
        idp.rotate()                               # a new key signs and the old ones are no longer published

A test chooses how it answers by attributes, read at each request: `headers`, `status`, `body`, `redirect`, `delay`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import ssl
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
import sockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
CHUNK = 1 << 16
NEVER = math.inf
"""The `delay` of an answer that never comes."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair and its names. Made by `key()`."""

    kid: str
    alg: str
    private: Any

    def public(self) -> dict[str, Any]:
        """The JWK an identity provider publishes."""
        made = get_default_algorithms()[self.alg].to_jwk(self.private.public_key(), as_dict=True)
        made.pop("key_ops", None)
        return made | {"kid": self.kid, "alg": self.alg, "use": "sig"}

    def secret(self) -> dict[str, Any]:
        """The JWK with its private parts, which nobody may publish."""
        return dict(get_default_algorithms()[self.alg].to_jwk(self.private, as_dict=True)) | {"kid": self.kid}

    def pem(self) -> bytes:
        public, plain = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
        return bytes(self.private.public_key().public_bytes(plain, public))


def key(kid: str, alg: str = "RS256") -> Key:
    """A new key pair for RS*, PS*, ES256, ES384, ES512 or EdDSA."""
    if alg in CURVES:
        return Key(kid, alg, ec.generate_private_key(CURVES[alg]()))
    if alg == "EdDSA":
        return Key(kid, alg, ed25519.Ed25519PrivateKey.generate())
    return Key(kid, alg, rsa.generate_private_key(public_exponent=65537, key_size=2048))


@dataclass(eq=False)
class Idp:
    """An identity provider at `http://127.0.0.1:port` + `path`, with https when it is given a server's `tls`.

    `keys` are published, the last one signs; their kids are `name`-1, -2, ... `body` replaces the JWK set (a text, or
    bytes as they are), `discovery` the discovery document. `redirect` answers 302 for the JWK set. `endless` never
    stops sending it. `requests` counts by path; `sent` are bytes of bodies the peer's side took; `waiting` are the
    requests it holds for `delay`.
    """

    alg: str = "RS256"
    path: str = ""
    name: str = "key"
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes | str | None = None
    content_type: str = "application/json"
    discovery: Mapping[str, Any] | str | None = None
    redirect: str = ""
    delay: float = 0.0
    endless: bool = False
    port: int = 0
    sent: int = 0
    waiting: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    keys: list[Key] = field(default_factory=list)
    made: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        if not self.keys:
            self.add()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on `port`; 0 takes a free one, which later starts keep."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be down: refuse connections and cut those that are open."""
        if self._server is not None:
            await sockets.close(self._server, self._open)
        self._server = None

    @property
    def base(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens, and where its discovery begins."""
        return self.base + self.path

    @property
    def uri(self) -> str:
        """Where the JWK set is."""
        return f"{self.base}{self.path.rstrip('/')}/jwks"

    def add(self, alg: str = "") -> Key:
        """Publish one key more; it signs from now on."""
        self.made += 1
        self.keys.append(key(f"{self.name}-{self.made}", alg or self.alg))
        return self.keys[-1]

    def rotate(self, alg: str = "") -> Key:
        """A new key signs and the old ones are not published any more. Returns the new one."""
        self.keys.clear()
        return self.add(alg)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [one.public() for one in self.keys]}

    def token(
        self, key: Key | None = None, /, *, kid: str | None = None, expires_in: float = 300.0, **claims: Any
    ) -> str:
        """A token signed by `key` (default: the newest). Claims of None are left out; `kid` says another, "" none."""
        signer = key or self.keys[-1]
        name = signer.kid if kid is None else kid
        headers = {"kid": name} if name else None
        return jwt.encode(self.claims(expires_in, claims), signer.private, algorithm=signer.alg, headers=headers)

    def forged(self, alg: str = "none", *, expires_in: float = 300.0, **claims: Any) -> str:
        """A token nobody may accept: `none` without a signature, or HS256 with our public key as the secret."""
        head = {"alg": alg, "typ": "JWT", "kid": self.keys[-1].kid}
        signed = f"{_part(head)}.{_part(self.claims(expires_in, claims))}"
        mac = b"" if alg == "none" else hmac.digest(self.keys[-1].pem(), signed.encode(), hashlib.sha256)
        return f"{signed}.{_text(mac)}"

    def claims(self, expires_in: float, claims: Mapping[str, Any]) -> dict[str, Any]:
        now = int(time.time())
        usual = {"iss": self.issuer, "sub": "somebody", "iat": min(now, now + int(expires_in))}
        said = usual | {"exp": now + int(expires_in)} | dict(claims)
        return {name: value for name, value in said.items() if value is not None}

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
                self.requests[path] += 1
                await self._pause()
                await self._answer(path, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left: its right
        finally:
            writer.close()

    async def _pause(self) -> None:
        """Wait for `delay`; one that never comes ends with the server."""
        self.waiting += 1
        try:
            await (asyncio.Event().wait() if self.delay == NEVER else asyncio.sleep(self.delay))
        finally:
            self.waiting -= 1

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        base = self.path.rstrip("/")
        if path == f"{base}/jwks":
            await self._answer_keys(writer)
        elif path == f"{base}/.well-known/openid-configuration":
            said = self.discovery if self.discovery is not None else {"issuer": self.issuer, "jwks_uri": self.uri}
            await self._send(writer, self.status, said if isinstance(said, str) else json.dumps(said))
        else:
            await self._send(writer, 404, "{}")

    async def _answer_keys(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(self.jwks()) if self.body is None else self.body
        if self.redirect:
            await self._send(writer, 302, "", {"location": self.redirect})
        else:
            await self._send(writer, self.status, body, self.headers)

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes | str, headers: Mapping[str, str] | None = None
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        size = {} if self.endless else {"content-length": str(len(data))}
        said = {"content-type": self.content_type} | size | dict(headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        writer.write(f"HTTP/1.1 {status} Answer\r\n{lines}\r\n".encode())
        while data:
            for start in range(0, len(data), CHUNK):
                part = data[start : start + CHUNK]
                writer.write(part)
                await writer.drain()
                self.sent += len(part)
            if not self.endless:
                return


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(said: Mapping[str, Any]) -> str:
    return _text(json.dumps(said).encode())
