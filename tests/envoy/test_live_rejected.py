"""A real Envoy rejects a resource: no loop, good siblings arrive, others go on, the list of clients says whose it is,
and a fix recovers.

The checks of the documents let none of these through, so each is forced below them, where messages are encoded.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adsclients
import envoys
import pytest
import stages
import worlds
from google.protobuf.message import Message
from stages import Json, Stage

from protos import discovery_pb2
from xds import messages

pytestmark = pytest.mark.envoy
KINDS = {
    "envoy.config.route.v3.RouteConfiguration": "RDS",
    "envoy.config.cluster.v3.Cluster": "CDS",
    "envoy.config.listener.v3.Listener": "LDS",
    "envoy.config.route.v3.ScopedRouteConfiguration": "SRDS",
    "envoy.config.endpoint.v3.ClusterLoadAssignment": "EDS",
}


def twice(message: Any) -> None:
    """Two virtual hosts for one domain: Envoy understands the message and refuses what it says."""
    message.virtual_hosts.append(message.virtual_hosts[0])
    message.virtual_hosts[1].name = "again"


def nameless(message: Any) -> None:
    """The constraints of the protocol fail: Envoy refuses all of the response (R15)."""
    message.virtual_hosts[0].name = ""


def impatient(message: Any) -> None:
    """A constraint again: a connect timeout must be positive."""
    message.connect_timeout.seconds = -1


def sourceless(message: Any) -> None:
    """Well-formed, and refused by itself: the good siblings are applied (R16)."""
    message.ClearField("eds_cluster_config")


def keyless(message: Any) -> None:
    message.ClearField("key")


def elsewhere(message: Any) -> None:
    """An address of another machine, from a block that nobody has (RFC 5737)."""
    message.address.socket_address.address = "192.0.2.1"


def filterless(message: Any) -> None:
    message.filter_chains[0].filters[0].ClearField("typed_config")


@dataclass
class Saboteur:
    """Encodes as ever, but for the resources it is told to spoil."""

    spoil: dict[tuple[str, str], Callable[[Any], None]] = field(default_factory=dict)

    def encode(self, message: Message) -> bytes:
        kind = KINDS.get(message.DESCRIPTOR.full_name, "")
        how = self.spoil.get((kind, getattr(message, "name", "")))
        if how is None:
            return messages.encode(message)
        bad = type(message)()
        bad.CopyFrom(message)
        how(bad)
        return messages.encode(bad)


@pytest.fixture
def saboteur() -> Saboteur:
    return Saboteur()


@pytest.fixture(params=stages.VARIANTS)
def ads(request: pytest.FixtureRequest) -> Json:
    return stages.VARIANTS[request.param]


@dataclass(frozen=True)
class Case:
    """A resource to spoil, how, and whose it is."""

    kind: str
    name: str
    how: Callable[[Any], None]
    owner: str

    @property
    def spot(self) -> tuple[str, str]:
        return self.kind, self.name


CASES = {
    "a route table that says two things": Case("RDS", "gamma", twice, "gamma"),
    "a route table that breaks a constraint": Case("RDS", "gamma", nameless, "gamma"),
    "a scope without a key": Case("SRDS", "gamma", keyless, "gamma"),
    "a cluster that breaks a constraint": Case("CDS", "orders@gamma", impatient, "gamma"),
    "a cluster without a source": Case("CDS", "orders@gamma", sourceless, "gamma"),
}


def gamma(limit: int) -> Json:
    """The tenant that is spoilt: with a cluster of its own."""
    return worlds.tenant("gamma", policies={"circuit_breaker": {"max_requests": limit}})


async def reported(stage: Stage, case: Case) -> None:
    """Wait until the list of clients names resource and tenant."""

    def says() -> bool:
        said = stages.only(stage.served).of(case.kind)
        return case.name in said.rejected and case.owner in said.tenants and bool(said.error)

    await stage.proxy.until(says, f"{case.name} of {case.owner!r} to be reported")


async def others_go_on(stage: Stage, kind: str) -> None:
    """Changes of others arrive, and bring no new rejection."""
    await stage.quiet()
    rejections = stage.served.rejected(kind)
    for count in range(3):
        await stage.change(stages.tagged("acme", f"after{count}"), worlds.tenant(f"new{count}"))
        await stage.until_tag("acme", f"after{count}")
        await stage.until_status(f"new{count}", 200)
    await stage.quiet()
    assert stage.served.rejected(kind) == rejections
    assert rejections <= 12


@pytest.mark.parametrize("name", CASES)
async def test_a_rejected_resource_harms_nobody_else_and_the_fix_recovers(
    tmp_path: Path, ads: Json, saboteur: Saboteur, name: str
) -> None:
    case = CASES[name]
    async with stages.stage(tmp_path, ads, encode=saboteur.encode) as stage, stage.load() as traffic:
        await stage.quiet()
        saboteur.spoil[case.spot] = case.how
        siblings = [
            worlds.tenant(f"sibling{n}", policies={"circuit_breaker": {"max_requests": n + 10}}) for n in range(5)
        ]
        await stage.change(gamma(5), *siblings)
        await reported(stage, case)
        for n in range(5):
            await stage.until_status(f"sibling{n}", 200)
        await others_go_on(stage, case.kind)
        saboteur.spoil.clear()
        pushed = stage.served.sent(case.kind)
        began = time.perf_counter()
        await stage.change(gamma(6))
        await stage.until_status("gamma", 200)
        assert 1 <= stage.served.sent(case.kind) - pushed <= 2, "the fix is the very next thing sent of its type"
        print(f"{name}: recovered in {(time.perf_counter() - began) * 1000:.0f} ms")
        await stage.quiet()
        await others_go_on(stage, case.kind)
    assert traffic.failures == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind != "SRDS"])
async def test_a_tenant_that_turns_bad_stays_at_its_last_good_version(
    tmp_path: Path, ads: Json, saboteur: Saboteur, name: str
) -> None:
    case = CASES[name]
    async with stages.stage(tmp_path, ads, gamma(5), encode=saboteur.encode) as stage, stage.load("gamma") as traffic:
        await stage.quiet()
        saboteur.spoil[case.spot] = case.how
        await stage.change(gamma_tagged(6, "bad"))
        await reported(stage, case)
        await others_go_on(stage, case.kind)
        saboteur.spoil.clear()
        await stage.change(gamma_tagged(7, "good"))
        await stage.until_tag("gamma", "good")
    assert traffic.failures == []


@pytest.mark.parametrize("how", [impatient, sourceless])
async def test_a_table_stays_where_it_was_while_the_cluster_it_would_move_to_is_rejected(
    tmp_path: Path, ads: Json, saboteur: Saboteur, how: Callable[[Any], None]
) -> None:
    """The tenant asks for a cluster of its own: until that is good, its requests go where they went."""
    async with stages.stage(tmp_path, ads, worlds.tenant("gamma"), encode=saboteur.encode) as stage:
        async with stage.load("gamma", rate=300) as traffic:
            saboteur.spoil["CDS", "orders@gamma"] = how
            await stage.change(gamma_tagged(5, "bad"))
            await reported(stage, Case("CDS", "orders@gamma", how, "gamma"))
            await others_go_on(stage, "CDS")
            saboteur.spoil.clear()
            await stage.change(gamma_tagged(6, "good"))
            await stage.until_tag("gamma", "good")
        assert traffic.failures == []


def gamma_tagged(limit: int, tag: str) -> Json:
    policies = {"circuit_breaker": {"max_requests": limit}, "headers": {"response": {"set": {"x-tag": tag}}}}
    return worlds.tenant("gamma", policies=policies)


@pytest.mark.parametrize("name", CASES)
async def test_a_fresh_envoy_starts_while_a_tenant_is_bad_and_serves_all_others(
    tmp_path: Path, ads: Json, saboteur: Saboteur, name: str
) -> None:
    """F6: else the next restart of a proxy is an outage."""
    case = CASES[name]
    saboteur.spoil[case.spot] = case.how
    others = [worlds.tenant(f"t{n}") for n in range(10)]
    async with stages.stage(tmp_path, ads, gamma(5), *others, encode=saboteur.encode) as stage:
        await reported(stage, case)
        for tenant in ("acme", "beta", *(one["id"] for one in others)):
            await stage.until_status(tenant, 200)
        await stages.none(stage.proxy, stages.STALLS)
        await others_go_on(stage, case.kind)
        saboteur.spoil.clear()
        await stage.change(gamma(6))
        await stage.until_status("gamma", 200)


@pytest.mark.parametrize("how", [elsewhere, filterless])
async def test_a_listener_that_cannot_be_leaves_the_others_alone_and_the_fix_recovers(
    tmp_path: Path, ads: Json, saboteur: Saboteur, how: Callable[[Any], None]
) -> None:
    second, third = envoys.free_port(), envoys.free_port()
    async with stages.stage(tmp_path, ads, encode=saboteur.encode) as stage, stage.load() as traffic:
        saboteur.spoil["LDS", "l1"] = how
        await stage.change(stages.gateway(stage.port, second, third))
        await reported(stage, Case("LDS", "l1", how, ""))
        await stage.until_status("acme", 200, port=third)
        await others_go_on(stage, "LDS")
        saboteur.spoil.clear()
        await stage.change(stages.gateway(stage.port, envoys.free_port(), third))
        await stage.change(stages.gateway(stage.port, second, third))
        await stage.until_status("acme", 200, port=second)
    assert traffic.failures == []


async def test_a_client_that_rejects_everything_keeps_nothing_from_a_real_envoy_f2(tmp_path: Path, ads: Json) -> None:
    """Its answer is tried in halves down to each table, and then no more."""
    tenants = [worlds.tenant(f"t{n}") for n in range(6)]
    node = discovery_pb2.Node(id="sulky", cluster="edge")
    async with (
        stages.stage(tmp_path, ads, *tenants) as stage,
        adsclients.delta(f"127.0.0.1:{stage.served.port}", node) as raw,
    ):
        await raw.ask(adsclients.RDS, resource_names_subscribe=["*"])
        sulking = asyncio.create_task(_reject_all(raw))
        for count in range(5):
            await stage.change(stages.tagged("acme", f"v{count}"))
            await stage.until_tag("acme", f"v{count}")
        await stage.quiet()
        (sulky,) = [one for one in stage.served.plane.hub.clients.values() if one.node.id == "sulky"]
        assert 15 <= sulky.of("RDS").rejections <= 15 + 5  # a tree of halves over 8 tables, then each change once
        assert set(sulky.of("RDS").tenants) == {"acme", "beta", *(one["id"] for one in tenants)}
        sulking.cancel()


async def _reject_all(raw: adsclients.Raw) -> None:
    while True:
        await raw.nack(await raw.next())


async def test_nothing_is_sent_again_while_a_resource_stays_rejected(
    tmp_path: Path, ads: Json, saboteur: Saboteur
) -> None:
    """F1, F8: with the pushes of others as the measure of time, the rejected one is never among them."""
    async with stages.stage(tmp_path, ads, encode=saboteur.encode) as stage:
        saboteur.spoil["RDS", "gamma"] = twice
        await stage.change(gamma(5))
        await reported(stage, CASES["a route table that says two things"])
        await stage.quiet()
        before, rejections = stages.sent(stage.served), stage.served.rejected("RDS")
        for count in range(20):
            await stage.change(stages.tagged("acme", f"v{count}"))
            await stage.until_tag("acme", f"v{count}")
            await stage.quiet()
        assert stages.since(stage.served, before) == {"RDS": 20}
        assert stage.served.rejected("RDS") == rejections
