"""A client of Kong's Admin API: one method for each thing we do to a Kong, errors by type, repeated where that is safe.

    async with connected(Access("http://127.0.0.1:8001")) as kong:
        kong.about; await kong.rows(KINDS["routes"], tags=("gatecast",)); await kong.put(KINDS["services"], entity)

Reading, PUT, PATCH to stated values and DELETE come to the same when they are done twice, and are repeated when the
connection breaks, time runs out or Kong cannot answer. POST is never repeated blindly: after an answer that did not
come we look whether the entity, whose id we chose, is there. Rules about answers are in `kong_sync.answers`.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from kong_sync.answers import EMPTY_HASH, About, Busy, Conflict, LostPlace, Missing, about, failure
from kong_sync.entities import Entity, Kind
from kong_sync.wire import Wire
from tenants.errors import Refused, Unavailable

CONNECTIONS = 8
"""httpx is fastest with so many: 890 writes/s, against 390 with 32 (`research/kong-mapping.md` C1)."""
PAGE = 1000
RESTARTS = 3
"""How often a listing begins anew whose place was lost."""

log = structlog.get_logger("gatecast.kong")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Access:
    """Where the Admin API is and who we are. Files are PEM; `workspace` and `token` are the Enterprise edition's."""

    url: str
    token: str = field(default="", repr=False)
    workspace: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    timeout: float = 10.0
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is tried, and the pauses between: exponential with full jitter, in seconds.

    `races`: how often a conflict may be somebody else's entity that is just going away.
    """

    tries: int = 5
    first: float = 0.1
    most: float = 5.0
    races: int = 2

    def delay(self, failures: int, draw: float) -> float:
        """The pause after so many failures, from 1; `draw` is from [0, 1)."""
        return draw * min(self.most, self.first * 2.0**failures)


@dataclass(frozen=True, slots=True)
class Status:
    """`ready`: it has a configuration. `digest`: of what it was given last, without a database; "" with one."""

    ready: bool
    digest: str


class Admin:
    """One Kong. `about` is what it said of itself when we connected; `root` is the path where it says that."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        root: str = "",
        patience: Patience = Patience(),
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.about: About
        self._root = root
        self._http, self._patience, self._sleep, self._draw = http, patience, sleep, draw

    # -- reading ----------------------------------------------------------------------------------------------------

    async def inquire(self) -> About:
        """Ask Kong who it is, and keep it as `about`."""
        self.about = about(await self._json("GET", self._root))
        return self.about

    async def status(self) -> Status:
        digest = str((await self._json("GET", "status")).get("configuration_hash", ""))
        return Status(digest != EMPTY_HASH, digest)

    async def schema(self, kind: Kind) -> Mapping[str, Any]:
        return await self._json("GET", f"schemas/{kind.name}")

    async def plugin_schema(self, name: str) -> Mapping[str, Any]:
        """Raises Missing if this Kong has no such plugin."""
        return await self._json("GET", f"schemas/plugins/{quote(name, safe='')}")

    async def rows(self, kind: Kind, *, tags: tuple[str, ...] = (), parent: str = "") -> list[Entity]:
        """All entities of a kind that carry all these tags (5 at most), each once; of a nested kind those below
        `parent`, whatever their tags, for Kong ignores tags there.

        It is no picture of a moment: what others create meanwhile with a smaller id is missed, what they delete is
        missing or not. The place is kept in ids, so nothing that stays is skipped or doubled.
        """
        for left in reversed(range(RESTARTS)):
            try:
                return await self._rows(kind, tags, parent)
            except LostPlace as error:
                if not left:  # it may go well another time: no reason to give up for good
                    raise Unavailable(f"{kind.name} could not be listed to the end: {error}") from None
        raise AssertionError("the last try returns or raises")

    async def _rows(self, kind: Kind, tags: tuple[str, ...], parent: str) -> list[Entity]:
        found: dict[str, Entity] = {}
        asked: dict[str, str | int] = {"size": PAGE, **({"tags": ",".join(tags)} if tags and not parent else {})}
        while True:
            page = await self._json("GET", _path(kind, "", parent), kind, params=asked)
            found |= {row["id"]: row for row in page["data"]}
            if not page.get("offset"):
                return list(found.values())
            asked["offset"] = page["offset"]  # `next` of a nested collection has lost size and tags

    async def get(self, kind: Kind, key: str, *, parent: str = "") -> Entity | None:
        """The entity of this id or key, None if there is none."""
        try:
            return await self._json("GET", _path(kind, key, parent), kind)
        except Missing:
            return None

    # -- writing ----------------------------------------------------------------------------------------------------

    async def put(self, kind: Kind, entity: Entity) -> Entity:
        """Create or replace by id; what is not stated returns to Kong's defaults. Returns what Kong holds now."""
        parent = _parent(kind, entity)
        try:
            return await self._json("PUT", _path(kind, entity["id"], parent), kind, entity)
        except Missing:
            if not kind.nested:
                raise
        return await self._create(kind, entity, parent)

    async def create(self, kind: Kind, entity: Entity) -> Entity:
        """Create under the id we chose. Raises Conflict if another has one of its unique keys."""
        return await self._create(kind, entity, _parent(kind, entity))

    async def patch(self, kind: Kind, id_: str, changes: Entity, *, parent: str = "") -> Entity:
        """Change the stated fields; records merge, all else is replaced. Raises Missing if there is no such entity."""
        return await self._json("PATCH", _path(kind, id_, parent), kind, changes)

    async def delete(self, kind: Kind, id_: str, *, parent: str = "") -> None:
        """Delete, with what goes with it. That it is gone already is no error."""
        try:
            await self._call("DELETE", _path(kind, id_, parent), kind)
        except Missing:
            return

    async def load(self, text: str) -> bool:
        """Give a Kong without a database its whole configuration. False: it had just this one.

        Raises KongRefused with a problem for each entity that it blames; then all stays as it was.
        """
        flags = {"check_hash": "1", "flatten_errors": "1"}
        answer = await self._call("POST", "config", body={"config": text}, params=flags)
        return answer.status_code != httpx.codes.NOT_MODIFIED

    async def _create(self, kind: Kind, entity: Entity, parent: str) -> Entity:
        """POST, and after an answer that did not come look before doing it again."""
        for failures in range(1, self._patience.tries + 1):
            try:
                return (await self._once("POST", _path(kind, "", parent), kind, entity)).json()  # type: ignore[no-any-return]
            except (Unavailable, Conflict) as error:
                there = await self.get(kind, entity["id"], parent=parent)
                if there is not None:
                    return there
                if isinstance(error, Conflict) and failures > self._patience.races:
                    raise
                await self._pause(error, failures, f"POST {kind.name}")
        raise AssertionError("the last pause raises")

    # -- calling ----------------------------------------------------------------------------------------------------

    async def _json(
        self,
        method: str,
        path: str,
        kind: Kind | None = None,
        body: Entity | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:
        answer = await self._call(method, path, kind, body, params)
        try:
            return answer.json()  # type: ignore[no-any-return]
        except ValueError as error:
            raise Unavailable(f"{method} /{path}: the answer is not JSON ({error})") from None

    async def _call(
        self,
        method: str,
        path: str,
        kind: Kind | None = None,
        body: Entity | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        """One call that may be repeated."""
        races = 0
        for failures in range(1, self._patience.tries + 1):
            try:
                return await self._once(method, path, kind, body, params)
            except Unavailable as error:
                await self._pause(error, failures, f"{method} /{path}")
            except Conflict as error:
                races += 1
                if races > self._patience.races:
                    raise
                await self._pause(error, failures, f"{method} /{path}")
        raise AssertionError("the last pause raises")

    async def _pause(self, error: Unavailable | Conflict, failures: int, what: str) -> None:
        """Wait before the next try; after the last one raise."""
        if failures >= self._patience.tries:
            raise error
        after = error.after if isinstance(error, Busy) else 0.0
        seconds = max(after, self._patience.delay(failures, self._draw()))
        log.info("call to kong is repeated", call=what, why=str(error), seconds=round(seconds, 3))
        await self._sleep(seconds)

    async def _once(
        self,
        method: str,
        path: str,
        kind: Kind | None = None,
        body: Entity | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        what = f"{method} /{path}"
        try:
            answer = await self._http.request(method, path, json=body, params=params)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Refused(f"the address of the Admin API cannot be used: {error}") from None
        except httpx.TransportError as error:
            why = f"{type(error).__name__} {error}".rstrip()
            raise Unavailable(f"{what}: the Admin API at {self._http.base_url} does not answer ({why})") from None
        if answer.is_success or answer.status_code == httpx.codes.NOT_MODIFIED:
            return answer
        again = answer.headers.get("retry-after", "")
        raise failure(what, kind, body or {}, answer.status_code, again, answer.text)


def _path(kind: Kind, key: str, parent: str) -> str:
    """Of an entity, or of the collection if there is no key."""
    if parent and kind.parent:
        above = kind.foreign[kind.parent]
        base = f"{above}/{quote(parent, safe='')}/{kind.under}"
    else:
        base = kind.path
    return f"{base}/{quote(key, safe='')}" if key else base


def _parent(kind: Kind, entity: Entity) -> str:
    """The id below which an entity of a nested kind is reached."""
    return str(entity[kind.parent]["id"]) if kind.nested else ""


def client(access: Access, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """The HTTP client for an Admin API. `transport`: in place of the network."""
    workspace = f"{quote(access.workspace, safe='')}/" if access.workspace else ""
    return httpx.AsyncClient(
        base_url=f"{access.url.rstrip('/')}/{workspace}",
        headers={"Kong-Admin-Token": access.token} if access.token else {},
        timeout=httpx.Timeout(access.timeout),
        transport=transport or Wire(access.connections, _tls(access)),
        trust_env=False,
    )


def _tls(access: Access) -> ssl.SSLContext:
    """Raises Refused if a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
        if access.certificate_file:
            context.load_cert_chain(access.certificate_file, access.key_file or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(one for one in (access.ca_file, access.certificate_file, access.key_file) if one)
        raise Refused(f"the certificates for Kong cannot be used ({files}): {error}") from None
    return context


@asynccontextmanager
async def connected(
    access: Access,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    patience: Patience = Patience(),
    sleep: Sleep = asyncio.sleep,
    draw: Callable[[], float] = random.random,
) -> AsyncIterator[Admin]:
    """A client for the length of the block, which has asked Kong who it is. Raises Refused or Unavailable."""
    root = "kong" if access.workspace else ""  # a role that is bound to a workspace may not read the real root
    async with client(access, transport) as http:
        admin = Admin(http, root=root, patience=patience, sleep=sleep, draw=draw)
        await admin.inquire()
        yield admin
