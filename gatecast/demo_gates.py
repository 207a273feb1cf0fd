"""The Kong that `gatecast demo --kong` shows: a double in this process, or a real one that somebody runs.

A real one holds nothing of ours before, and nothing afterwards; what others have in it is not touched.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from gatecast.exits import Conflict, Usage
from gatecast.kong_options import made
from kong_sync.admin import Access, Admin, connected
from kong_sync.answers import About, doubts
from kong_sync.entities import KINDS
from kong_sync.listing import ours
from kong_sync.names import OURS
from tenants.errors import Refused

GATEWAY = "edge"
"""The gateway of the example."""
PERIOD = 0.5
"""Seconds between two looks of the double at its database, where Kong takes 5: nearly all the time the demo takes."""
DOUBLE = f"""\
This Kong is a DOUBLE, not Kong: gatecast's own model of Kong 3.9.1 (Admin API, proxy, timers), in this process.
Its timers run every {PERIOD:g} s (Kong's: every 5 s). With KONG_ADMIN_URL and KONG_PROXY_URL a real Kong is used."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A Kong. `said`: what it is; `single`: no other node shares its database; `alone`: it serves nobody else."""

    access: Access
    proxy: str
    said: str
    single: bool = False
    alone: bool = False


@contextlib.asynccontextmanager
async def gate(environment: Mapping[str, str]) -> AsyncIterator[Gate]:
    """A Kong for the length of the block. Raises Refused, Unavailable."""
    admin, proxy = environment.get("KONG_ADMIN_URL", ""), environment.get("KONG_PROXY_URL", "")
    if bool(admin) != bool(proxy):
        raise Usage("KONG_ADMIN_URL and KONG_PROXY_URL go together: both for a real Kong, none for the double")
    async with _real(_access(admin), proxy.rstrip("/")) if admin else _double() as found:
        yield found


@contextlib.asynccontextmanager
async def _double() -> AsyncIterator[Gate]:
    if find_spec("lupa") is None:
        raise Refused(
            "the double of Kong runs Lua: pip install 'gatecast[demo]'; "
            "or set KONG_ADMIN_URL and KONG_PROXY_URL for a real Kong"
        )
    from kong_double.double import Double
    from kong_double.pages import Node
    from kong_double.timers import Timers

    node, timers = Node(state=PERIOD, database=PERIOD), Timers(period=PERIOD, router=PERIOD / 2)
    async with Double(node=node, timers=timers).serving() as double:
        yield Gate(Access(double.admin_url), double.proxy_url, DOUBLE, single=True, alone=True)


def _access(url: str) -> Access:
    try:
        return made(url, "", "", "", "")
    except Usage as error:
        raise Usage(str(error).replace("--admin:", "KONG_ADMIN_URL:")) from None


@contextlib.asynccontextmanager
async def _real(access: Access, proxy: str) -> AsyncIterator[Gate]:
    async with connected(access) as admin:
        _fit(admin.about)
        if await admin.rows(KINDS["services"], tags=(OURS,)) or await admin.rows(KINDS["consumers"], tags=(OURS,)):
            raise Conflict(f"{access.url} has entities of gatecast already: the demo wants a Kong without")
        said = f"This Kong is real: {admin.about.version} at {access.url}. The demo takes its entities away at the end."
        try:
            yield Gate(access, proxy, said)
        finally:
            await _empty(admin)


def _fit(about: About) -> None:
    """Raises Refused if this Kong cannot show the story."""
    doubts(about)
    if about.dbless:
        raise Refused("this Kong has no database: the demo shows changes of single entities, which it does not take")


async def _empty(admin: Admin) -> None:
    """Delete what carries our tags, the dependent first; what is nested goes along."""
    for kind in reversed(list(KINDS.values())):
        for row in () if kind.nested else await admin.rows(kind, tags=ours(GATEWAY)):
            await admin.delete(kind, row["id"])
