"""Requests race changes of `jwt`: whoever is answered is answered by one table, whole, with its filter in place."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import edges
import httpx
import idps
import pytest
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TABLE = "x-table"
"""What an answer of the service says of the table that it passed: `open`, or whose tokens this table demands."""

REFUSALS = {(401, "token_missing"), (401, "token_invalid")}


def issuers(count: int) -> dict[str, idps.Idp]:
    """Issuers whose keys stand in documents; more than one of them share a filter."""
    made = {f"issuer-{n}": idps.Idp("ES256", path=f"/{n}", port=1) for n in range(count)}
    for one in made.values():
        one.add()
    return made


def said(name: str, jwt: edges.Json | None) -> edges.Json:
    """Policies that guard by this issuer and say so."""
    return {"jwt": jwt, "headers": {"response": {"set": {TABLE: name}}}}


@dataclass
class Seen:
    """What clients were answered; `wrong` is what no table can have answered."""

    tables: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def judge(self, whose: str, answer: httpx.Response) -> None:
        if answer.status_code == 200:
            table = answer.headers[TABLE]
            self.tables[whose, table] += 1
            if table not in ("open", whose):
                self.wrong.append(f"{whose} passed the table of {table}")
        elif (answer.status_code, edges.error(answer)) not in REFUSALS:
            self.wrong.append(f"{whose}: {answer.status_code} {answer.text}")
        else:
            self.tables[whose, "refused"] += 1


@asynccontextmanager
async def clients(edge: edges.Edge, tenant: str, known: Mapping[str, idps.Idp]) -> AsyncIterator[Seen]:
    """One client without a token, and one of each issuer, ask without a pause until the block ends."""
    seen, stop = Seen(), asyncio.Event()
    said = {"nobody": {}} | {name: tokens.bearer(one.token(tenant=tenant)) for name, one in known.items()}

    async def ask(whose: str) -> None:
        while not stop.is_set():
            seen.judge(whose, await edge.ask(tenant, headers=said[whose]))

    asking = [asyncio.create_task(ask(whose)) for whose in said]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*asking)


async def change(edge: edges.Edge, tenant: edges.Json) -> None:
    """What nobody needs any more is let go of at once, while the proxy still has the table that demands it."""
    await edge.served.apply(edges.text([tenant]))
    await edge.served.plane.sweep()
    await edge.put(tenant)


async def test_no_request_meets_half_of_a_change(edge: edges.Edge) -> None:
    """Issuers come, change places and go."""
    known = issuers(6)
    ways = [said("open", None), *(said(name, tokens.inline(one)) for name, one in known.items())]
    ways += [said(name, tokens.inline(one, tenant_claim="tenant")) for name, one in known.items()]
    drawn = random.Random(3)
    await edge.put(edges.tenant("racer", **ways[0]))
    async with clients(edge, "racer", known) as seen:
        for _ in range(60):
            way = drawn.choice(ways)
            await change(edge, edges.tenant("racer", **way))
            assert (await edge.ask("racer")).status_code == (200 if way["jwt"] is None else 401)
    assert seen.wrong == []
    assert {table for whose, table in seen.tables if whose == "nobody"} == {"open", "refused"}
    assert {whose for whose, table in seen.tables if whose == table} >= set(known)


async def test_a_tenant_that_moves_between_organisations_is_guarded_by_one_of_them(edge: edges.Edge) -> None:
    known = issuers(2)
    names = ["open", *known]
    guards = {name: tokens.inline(one) for name, one in known.items()}
    await edge.put(*(edges.organisation(f"of-{name}", **said(name, guards.get(name))) for name in names))
    drawn = random.Random(5)
    await edge.put(edges.tenant("mover", more={"organisation": "of-open"}))
    async with clients(edge, "mover", known) as seen:
        for _ in range(30):
            name = drawn.choice(names)
            await change(edge, edges.tenant("mover", more={"organisation": f"of-{name}"}))
            assert (await edge.ask("mover")).status_code == (200 if name == "open" else 401)
    assert seen.wrong == []
    assert {(name, name) for name in known} <= set(seen.tables)
