"""`gatecast demo --kong`: control plane, sidecar, two echo services and a Kong in one terminal.

A tenant's change, live; all as with `gatecast kong` beside a Kong. Which Kong it is: `gatecast.demo_gates`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from gatecast import demo_stage, kong
from gatecast.demo_gates import GATEWAY, Gate, gate
from gatecast.demo_stage import ANY, Say, Stage, milliseconds, status, strong
from gatecast.output import counted, paint
from kong_sync.admin import Admin
from kong_sync.entities import KINDS, Entity
from kong_sync.names import OURS
from xds.hub import Client
from xds.waiting import until

NODE = "kong-1"
PAUSE = 0.05
"""Seconds between two requests that ask: at most 600 a minute are let through, and a wait may be long."""
PATIENCE = 60.0
NAMESAKE = {
    "id": "6d9f0f0e-8d0c-4d5e-9a0e-2f6b1d0c7a11",
    "username": "gamma",
    "tags": ["by-hand"],
}
"""What somebody else has in this Kong: a consumer with the name of the tenant GAMMA."""
GAMMA = "kind: Tenant\nid: gamma\norganisation: foods\n"


@dataclass(frozen=True, slots=True)
class Kong:
    """A stage with a sidecar at work between its server and a Kong."""

    stage: Stage
    sidecar: kong.Running
    gate: Gate

    @property
    def admin(self) -> Admin:
        assert self.sidecar.kong is not None, "it has answered"
        return self.sidecar.kong

    @property
    def client(self) -> Client:
        """The sidecar as the server lists it."""
        return next(one for one in self.stage.server.plane.hub.clients.values() if one.node.id == NODE)

    async def applied(self, after: int) -> int:
        """Wait until the sidecar has answered for all revisions up to one that comes after this one. Returns it."""
        plane, rollouts = self.stage.server.plane, self.stage.server.ledger.rollouts
        await until(lambda: plane.catalog.revision > after, "the change at the server")
        newest = plane.catalog.revision
        await until(
            lambda: all(one.state != "pending" for one in rollouts.of(newest).clients),
            f"the sidecar's answer to revision {newest}",
            within=PATIENCE,
        )
        return newest

    def count(self, name: str) -> float:
        """A counter of the sidecar, over all its labels."""
        families = self.sidecar.registry.collect()
        return sum(one.value for family in families for one in family.samples if one.name == f"gatecast_kong_{name}")


async def run(say: Say, environment: Mapping[str, str], *, keep: bool = False) -> None:
    """Show it all. Raises `Refused` without a Kong to use, `TimeoutError` if something does not happen."""
    demo_stage.end_by_sigterm()
    async with gate(environment) as found:
        say(found.said)
        async with at_work(found, say) as on:
            say("\n1. Requests through Kong")
            await demo_stage.requests(on.stage, say)
            await change(on, say)
            say("\n3. Break acme.yaml: requests: lots")
            await demo_stage.mistake(on.stage, say)
            await refused(on, say)
            await drift(on, say)
            if keep:
                await demo_stage.kept(say, hints(on))
    say("\nCleaned up: no process, no file and no entity in Kong is left.")


# -- what it stands on ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def at_work(found: Gate, say: Say) -> AsyncIterator[Kong]:
    """Server and sidecar, and the first sync done. Says how it went."""
    async with demo_stage.stage(found.proxy, pause=PAUSE, patience=PATIENCE) as on:
        told = kong.Told(
            found.access, str(on.server.xds), GATEWAY, NODE,
            listen=ANY, alone=found.alone, single=found.single, proxy=found.proxy,
        )  # fmt: skip
        began = time.perf_counter()
        async with kong.running(told) as (sidecar, work):
            made = Kong(on, sidecar, found)
            await _while(work, first_sync(made, began, say))
            yield made
        work.result()


async def _while(work: asyncio.Task[None], doing: Coroutine[Any, Any, None]) -> None:
    """Do this unless the sidecar ends: then raise what it raised."""
    task = asyncio.create_task(doing)
    try:
        await asyncio.wait({work, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
    if work.done():
        work.result()
    await task


async def first_sync(on: Kong, began: float, say: Say) -> None:
    """Wait for it and say what it was."""
    say(f"Up: gatecast {on.stage.server.xds}, its sidecar, Kong {on.gate.proxy}, two echo services.")
    await until(lambda: _ready(on), "the first sync", within=PATIENCE)
    await on.applied(0)
    seconds, waited = time.perf_counter() - began, on.count("phase_wait_seconds_total")
    say(f"First sync: {on.count('written_total'):.0f} entities written, acknowledged after {_apart(seconds, waited)}.")
    await until(on.stage.serves, f"requests through {on.gate.proxy} to reach services on 127.0.0.1 here")


def _ready(on: Kong) -> bool:
    if on.sidecar.unready:
        raise AssertionError(on.sidecar.unready)
    return True


def _apart(seconds: float, waited: float) -> str:
    return f"{milliseconds(seconds)}, {waited * 1000:.0f} ms of them the wait for Kong's timers"


# -- the story --------------------------------------------------------------------------------------------------------


async def change(on: Kong, say: Say) -> None:
    """One tenant's limit, there and back."""
    say("\n2. Edit acme.yaml: 600 requests a minute become 2")
    await _changed(on, say, "requests: 600", "requests: 2", rejected=True)
    answer = await on.stage.ask("beta", "/api/payments")
    say(f"   beta    GET /api/payments {status(answer)}")
    say("   and back to 600")
    await _changed(on, say, "requests: 2", "requests: 600", rejected=False)


async def _changed(on: Kong, say: Say, old: str, new: str, *, rejected: bool) -> None:
    before, written = on.stage.server.plane.catalog.revision, on.count("written_total")
    waited = on.count("phase_wait_seconds_total")
    began = on.stage.edit("acme.yaml", old, new)
    feeling = asyncio.create_task(on.stage.felt(began, rejected=rejected))
    try:
        await on.applied(before)
        seconds = time.perf_counter() - began
        felt = await feeling
    finally:
        feeling.cancel()
    word = "refused" if rejected else "let through"
    say(f"   felt after {milliseconds(felt)}: from the file on disk to the first request {word}")
    waited = on.count("phase_wait_seconds_total") - waited
    entities = counted(round(on.count("written_total") - written), "entity", "entities")
    say(f"   acknowledged after {_apart(seconds, waited)}; {entities} written")


async def refused(on: Kong, say: Say) -> None:
    """What Kong does not take of one tenant is refused by name, and the others of the same push are applied."""
    say("\n4. Add the tenant gamma, whose name somebody else has in this Kong; and give acme 400 requests")
    before = on.stage.server.plane.catalog.revision
    await on.admin.put(KINDS["consumers"], NAMESAKE)
    try:
        on.stage.write("gamma.yaml", GAMMA)
        on.stage.edit("acme.yaml", "requests: 500", "requests: 400")
        after = await on.applied(before)
        say(f"   {NODE} in `gatecast clients`: {paint(on.client.of('TENANTS').error, 'red')}")
        say(f"   acme    its limit in Kong is {await _limit(on)}: the others of the push are applied")
        (on.stage.settings / "gamma.yaml").unlink()
        await on.applied(after)
    finally:
        await on.admin.delete(KINDS["consumers"], str(NAMESAKE["id"]))
    say("   gamma.yaml taken away: nothing is refused any more" if not _parked(on) else "   still refused")


def _parked(on: Kong) -> bool:
    return any(one.parked for one in on.client.machine.interests.values())


async def drift(on: Kong, say: Say) -> None:
    """What somebody changes by hand is found and healed."""
    say("\n5. Somebody gives acme 100000 requests by hand, in Kong itself")
    assert on.sidecar.sidecar is not None, "it has synced"
    plugin = await _plugin(on)
    await on.admin.patch(KINDS["plugins"], plugin["id"], {"config": {"minute": 100_000}})
    say(f"   acme    its limit in Kong is {await _limit(on)}")
    report = await on.sidecar.sidecar.reconcile()
    for one in report.drift:
        say(f"   found by the look that comes every 10 min: {paint(one, 'yellow')}")
    say(f"   acme    its limit in Kong is {await _limit(on)}: {strong('healed')}")


async def _plugin(on: Kong) -> Entity:
    """The plugin that counts acme's requests."""
    rows = await on.admin.rows(KINDS["plugins"], tags=(OURS, "tenant:acme"))
    return next(one for one in rows if one["name"] == "rate-limiting")


async def _limit(on: Kong) -> str:
    return f"{(await _plugin(on))['config']['minute']:.0f} a minute"


def hints(on: Kong) -> str:
    """What to try while it runs."""
    api, files, admin = f"http://{on.stage.server.api}", on.stage.settings, on.gate.access.url
    return f"""
It keeps running; Ctrl-C ends it. In another terminal:
   curl -i -H 'x-tenant-id: acme' {on.gate.proxy}/api/orders
   curl -i -H 'x-tenant-id: acme' -X POST {on.gate.proxy}/api/orders      # 400: acme demands an Idempotency-Key
   $EDITOR {files}/acme.yaml                   # and repeat
   gatecast clients --server {api}
   gatecast kong drift --admin {admin} --xds {on.stage.server.xds} --gateway {GATEWAY}
   gatecast kong export --admin {admin} --gateway {GATEWAY}
   curl {admin}/plugins
   curl http://127.0.0.1:{on.sidecar.port}/metrics"""
