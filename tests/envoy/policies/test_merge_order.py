"""Gateway < organisation < route < tenant < the tenant's override of a route, as requests see it."""

import itertools
from collections.abc import AsyncIterator

import edges
import pytest
import pytest_asyncio

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

LAYERS = ("gateway", "organisation", "route", "tenant", "override")
"""Most specific last."""


def sign(layer: str, **more: edges.Json | None) -> edges.Json:
    """Policies by which an answer tells who set the header; each layer also sets one that no other does."""
    return {"headers": {"response": {"set": {"x-said-by": layer, f"x-{layer}": "yes"}}}, **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def layered(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[edges.Edge]:
    """A gateway with policies of its own."""
    general = sign("gateway", maintenance={"status": 503}, correlation_id={"header": "x-trace"})
    async with edges.edge(tmp_path_factory.mktemp("envoy"), **general) as made:
        yield made


def documents(layers: tuple[str, ...]) -> list[edges.Json]:
    """An organisation, a route and a tenant of which those named among `layers` speak."""
    said = {layer: sign(layer) if layer in layers else {} for layer in LAYERS}
    overrides = {"merged": {"policies": {**said["override"], "maintenance": None}}}
    return [
        edges.organisation("group", **said["organisation"]),
        edges.route("merged", policies=said["route"]),
        edges.tenant("asking", overrides, {"organisation": "group"}, **said["tenant"]),
    ]


COMBINATIONS = [("gateway", *some) for size in range(5) for some in itertools.combinations(LAYERS[1:], size)]


@pytest.mark.parametrize("layers", COMBINATIONS, ids="-".join)
async def test_the_most_specific_document_wins_and_the_others_add(layered: edges.Edge, layers: tuple[str, ...]) -> None:
    await layered.put(*documents(layers))
    answer = await layered.ask("asking", "/merged")
    assert answer.status_code == 200, answer.text
    assert answer.headers.get_list("x-said-by") == [layers[-1]]
    assert {layer for layer in LAYERS if f"x-{layer}" in answer.headers} == set(layers)


async def test_what_no_route_takes_has_the_policies_of_the_tenant(layered: edges.Edge) -> None:
    await layered.put(*documents(LAYERS))
    answer = await layered.ask("asking", "/nowhere")
    assert (answer.status_code, answer.headers["x-said-by"]) == (503, "tenant")
    assert {layer for layer in LAYERS if f"x-{layer}" in answer.headers} == {"gateway", "organisation", "tenant"}


@pytest.mark.parametrize("layer", LAYERS[1:])
async def test_any_document_switches_off_what_it_inherits(layered: edges.Edge, layer: str) -> None:
    off: edges.Json = {"maintenance": None, "correlation_id": None}
    said = {one: off if one == layer else {} for one in LAYERS}
    await layered.put(
        edges.organisation("opening", **said["organisation"]),
        edges.route("opened", policies=said["route"]),
        edges.tenant(
            "asking", {"opened": {"policies": said["override"]}}, {"organisation": "opening"}, **said["tenant"]
        ),
        edges.tenant("outside", {"opened": {"policies": {"maintenance": None}}}),
    )
    answer = await layered.ask("asking", "/opened")
    assert (answer.status_code, "x-trace" in answer.headers) == (200, False)
    told = (await layered.ask("outside", "/opened")).headers
    assert ("x-trace" in told) == (layer != "route")  # a route is everybody's
    assert await layered.statuses("outside", "/a") == [503]


async def test_a_more_specific_document_switches_on_again_what_one_above_it_switched_off(layered: edges.Edge) -> None:
    await layered.put(
        edges.organisation("opening", maintenance=None),
        edges.tenant("asking", more={"organisation": "opening"}, maintenance={"status": 410}),
        edges.tenant("inherits", more={"organisation": "opening"}),
    )
    assert await layered.statuses("asking") == [410]
    assert await layered.statuses("inherits") == [200]


async def test_a_changed_organisation_or_gateway_reaches_its_tenants_alone(layered: edges.Edge) -> None:
    await layered.put(
        edges.organisation("ours", maintenance=None),
        edges.organisation("theirs", maintenance=None),
        edges.tenant("asking", more={"organisation": "ours"}),
        edges.tenant("outside", more={"organisation": "theirs"}),
    )
    assert [await layered.statuses(name) for name in ("asking", "outside")] == [[200], [200]]
    sent = layered.served.sent("LDS"), layered.served.sent("CDS")
    await layered.put(edges.organisation("ours", maintenance={"status": 410}))

    async def reached() -> bool:
        return await layered.statuses("asking") == [410]

    await layered.until(reached, "the organisation's change to reach its tenant")
    assert await layered.statuses("outside") == [200]
    assert (layered.served.sent("LDS"), layered.served.sent("CDS")) == sent


async def test_a_list_is_replaced_as_a_whole(layered: edges.Edge) -> None:
    open_for_all: edges.Json = {"maintenance": None}
    await layered.put(
        edges.organisation("listing", access={"allow": ["127.0.0.2/32"], "deny": ["127.0.0.3/32"]}, **open_for_all),
        edges.tenant("asking", more={"organisation": "listing"}, access={"allow": ["127.0.0.3/32", "127.0.0.4/32"]}),
        edges.tenant("inherits", more={"organisation": "listing"}),
    )
    for tenant, who in (("asking", {4}), ("inherits", {2})):
        said = {last: await layered.statuses(tenant, address=f"127.0.0.{last}") for last in (1, 2, 3, 4)}
        assert {last for last, status in said.items() if status == [200]} == who
