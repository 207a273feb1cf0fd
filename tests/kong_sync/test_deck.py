"""The file of `kong export` as decK reads it: its rules by its own sources, and decK's engine where that was built.

decK's JSON schema (`kong_json_schema.json` of go-database-reconciler) was held against the files of these worlds once;
what it refused is a test here. The engine is `bench/bin/deck`, built by `python bench/run.py deck`.
"""

import asyncio
from asyncio.subprocess import PIPE
from pathlib import Path
from random import Random
from typing import Any

import kong_worlds
import plan_worlds
import pytest
import yaml

from kong_double.double import Double
from kong_double.timers import Timers
from kong_sync import deck
from kong_sync.admin import Access, connected
from kong_sync.backups import dumped
from kong_sync.database import Database
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.listing import ours
from kong_sync.states import State
from kong_sync.translate import Desired, translate

TAGS = ours("edge")
DECK = Path(__file__).parents[2] / "bench" / "bin" / "deck"
SETTINGS = (
    kong_worlds.GATEWAY,
    'kind: Service\nid: slow\nendpoints: ["10.0.0.2:80", "10.0.0.3:80"]\nhealth_check: {path: /up}\n',
    'kind: Route\nid: slow\nmatch: {prefix: /slow}\nservice: slow\npolicies: {cors: {origins: ["https://a.example"]}}\n',
    "kind: Tenant\nid: acme\npolicies: {rate_limit: {requests: 5, per: minute}}\n",
    "kind: Tenant\nid: beta\npolicies: {rate_limit: {requests: 5, per: minute}}\n",
    "kind: Tenant\nid: gone\nstatus: suspended\n",
)


def state(desired: Desired) -> State:
    return State.of((key[0], row) for key, row in desired.entities.items())


@pytest.fixture(scope="module")
def desired() -> Desired:
    return translate(kong_worlds.world(*SETTINGS))


def nulls(value: Any, way: str = "") -> list[str]:
    """Where a value is null, the `config` of plugins left out."""
    if value is None:
        return [way]
    if isinstance(value, dict):
        return [found for name, one in value.items() if name != "config" for found in nulls(one, f"{way}/{name}")]
    return [found for one in value for found in nulls(one, way)] if isinstance(value, list) else []


def test_nothing_is_null_beyond_the_config_of_plugins(desired: Desired) -> None:
    assert any(row["healthchecks"]["active"]["headers"] is None for row in _upstreams(desired)), "there is one to drop"
    assert nulls(deck.document(state(desired), TAGS)) == []


def test_in_the_config_of_a_plugin_null_stays_because_it_takes_a_value_away(desired: Desired) -> None:
    text = dumped(state(desired), TAGS)
    (acme,) = [one for one in yaml.safe_load(text)["consumers"] if one["username"] == "acme"]
    assert [one["config"]["hour"] for one in acme["plugins"]] == [None]


def test_equal_parts_are_written_out_since_decks_yaml_refuses_a_file_of_references(desired: Desired) -> None:
    limits = {id(row["config"]) for row in _limits(desired)}
    assert (len(_limits(desired)), len(limits)) == (2, 1), "both tenants share one value"
    tokens = yaml.scan(dumped(state(desired), TAGS))
    assert not [one for one in tokens if isinstance(one, yaml.AnchorToken | yaml.AliasToken)]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_read_back_is_what_was_written(seed: int) -> None:
    wanted = plan_worlds.desired(Random(seed))
    again = State.of(deck.read(yaml.safe_load(dumped(wanted, TAGS))))
    assert dict(again.rows) == dict(wanted.rows)


def test_sets_are_in_the_order_in_which_they_are_written_to_kong_since_deck_compares_it(desired: Desired) -> None:
    routes = [one for service in deck.document(state(desired), TAGS)["services"] for one in service["routes"]]
    assert {tuple(one["methods"]) for one in routes} == {tuple(sorted(one["methods"])) for one in routes}
    assert all(one["tags"] == sorted(one["tags"]) for one in routes)
    named = [row["methods"] for key, row in desired.entities.items() if key[0] == "routes" and row["methods"]]
    assert any(one != sorted(one) for one in named), "there is an order to lose"


async def test_a_kong_brought_to_the_file_needs_no_plan_of_the_settings(desired: Desired) -> None:
    rows = deck.read(yaml.safe_load(dumped(state(desired), TAGS)))
    async with _double() as kong, connected(Access(kong.admin_url)) as admin:
        await _held(kong, admin, rows)
        assert not await _plan(admin, desired)


@pytest.mark.skipif(not DECK.exists(), reason="decK's engine is not built: `python bench/run.py deck` does it with Go")
async def test_deck_brings_an_empty_kong_to_the_file_and_nothing_is_left_to_do(
    desired: Desired, tmp_path: Path
) -> None:
    file = tmp_path / "kong.yaml"
    file.write_text(dumped(state(desired), TAGS))
    async with _double() as kong, connected(Access(kong.admin_url)) as admin:
        assert await _deck(kong, "sync", file) == [len(state(desired)), 0, 0]
        assert not await _plan(admin, desired)
        assert await _deck(kong, "diff", file) == [0, 0, 0]


@pytest.mark.skipif(not DECK.exists(), reason="decK's engine is not built: `python bench/run.py deck` does it with Go")
async def test_deck_sees_no_difference_in_a_kong_that_we_brought_to_the_settings(
    desired: Desired, tmp_path: Path
) -> None:
    file = tmp_path / "kong.yaml"
    file.write_text(dumped(state(desired), TAGS))
    async with _double() as kong, connected(Access(kong.admin_url)) as admin:
        database = _database(admin)
        await database.look()
        await database.want(desired)
        assert await database.converge() == ()
        assert await _deck(kong, "diff", file) == [0, 0, 0]


def _upstreams(desired: Desired) -> list[Any]:
    return [row for key, row in desired.entities.items() if key[0] == "upstreams"]


def _limits(desired: Desired) -> list[Any]:
    return [row for key, row in desired.entities.items() if key[0] == "plugins" and row["name"] == "rate-limiting"]


def _double() -> Any:
    return Double(timers=Timers(period=0.01)).serving()


def _database(admin: Any) -> Database:
    return Database(admin, "edge", Executor(admin, lambda: 0.0, Gauges()), Gauges())


async def _held(kong: Double, admin: Any, rows: Any) -> None:
    database = _database(admin)
    await database.look()
    await database.hold(rows)
    assert await database.converge() == ()


async def _plan(admin: Any, desired: Desired) -> Any:
    database = _database(admin)
    await database.look()
    await database.want(desired)
    return database.planned()


async def _deck(kong: Double, verb: str, file: Path) -> list[int]:
    """How many were created, updated and deleted."""
    process = await asyncio.create_subprocess_exec(str(DECK), verb, kong.admin_url, str(file), stdout=PIPE)
    said, _nothing = await process.communicate()
    assert process.returncode == 0
    return [int(one) for one in said.decode().splitlines()[-1].split()]
