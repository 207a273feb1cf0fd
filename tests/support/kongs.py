"""The double in a test in few words: make and change entities through its Admin API, ask its proxy, move its clock.

kong = kongs.standing()                         timers of 5 s, plugins 2 s behind routes, by a clock that stands
kongs.make(kong, "/services", name="orders", host="orders.test")
kongs.settle(kong)
assert kongs.ask(kong, "/orders", ("x-tenant-id", "acme")).status == 200
"""

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.refusals import Json
from kong_double.timers import Hand, Timers
from kong_double.wire import Request, Response

JSON = (("Content-Type", "application/json"),)
BEHIND = Timers(period=5.0, router=1.0, plugins=3.0)
"""Plugins become effective two seconds after routes."""
AHEAD = Timers(period=5.0, router=3.0, plugins=1.0)


def standing(timers: Timers = BEHIND, **more: Any) -> Double:
    """A double without sockets whose time stands until `move`."""
    hand = Hand(float(int(time.time())))
    return Double(timers=timers, clock=hand, wall=hand, **more)


def without_database() -> Double:
    return standing(node=Node(dbless=True))


def move(kong: Double, seconds: float) -> None:
    assert isinstance(kong.clock, Hand)
    kong.clock.move(seconds)


def settle(kong: Double) -> None:
    """Wait until every change is effective."""
    move(kong, kong.timers.wait)


def call(kong: Double, method: str, path: str, body: Json | None = None) -> Response:
    sent = b"" if body is None else json.dumps(body).encode()
    return kong.admin(Request(method, path, JSON if body is not None else (), sent))


def make(kong: Double, path: str, **fields: Any) -> Json:
    """Create below this collection."""
    answer = call(kong, "POST", path, fields)
    assert answer.status == 201, answer.body
    return dict(answer.json())


def change(kong: Double, path: str, **fields: Any) -> Json:
    answer = call(kong, "PATCH", path, fields)
    assert answer.status == 200, answer.body
    return dict(answer.json())


def drop(kong: Double, path: str) -> None:
    assert call(kong, "DELETE", path).status == 204


def plugin(kong: Double, path: str, name: str, **config: Any) -> Json:
    """Add a plugin below `path` ("" for a global one)."""
    return make(kong, f"{path}/plugins", name=name, config=config)


def ask(
    kong: Double, path: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b"", host: str = "gw.test"
) -> Response:
    """A request to the proxy; the upstream echoes it."""
    return kong.proxy(Request(method, path, (("Host", host), *headers), body))


def statuses(kong: Double, *asked: tuple[str, tuple[tuple[str, str], ...]]) -> list[int]:
    return [ask(kong, path, *headers).status for path, headers in asked]


class Issuer:
    """Somebody who signs tokens with a key of the name `kid`."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def credential(self) -> Json:
        """As Kong takes it."""
        return {"key": self.kid, "algorithm": "RS256", "rsa_public_key": self.pem, "secret": "unused"}

    def token(self, now: float, *, headers: Json | None = None, **claims: Any) -> str:
        return jwt.encode({"exp": int(now) + 600} | claims, self._key, "RS256", {"kid": self.kid} | (headers or {}))


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"
