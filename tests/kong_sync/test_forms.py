"""Short forms: what Kong fills in is no difference, what an older setting left behind is one."""

from collections.abc import Mapping
from typing import Any

import kongs
import pytest

from kong_double.pages import PRIORITIES
from kong_sync.entities import KINDS
from kong_sync.forms import Schemas
from tenants.errors import Refused

KONG = kongs.standing()


def page(path: str) -> Mapping[str, Any]:
    return dict(kongs.call(KONG, "GET", path).json())


KNOWN = Schemas.read(
    {name: page(f"/schemas/{name}") for name in KINDS}, {name: page(f"/schemas/plugins/{name}") for name in PRIORITIES}
)
STATED: Mapping[str, Mapping[str, Any]] = {
    "services": {"name": "s", "host": "h", "retries": 5, "read_timeout": 1000},
    "consumers": {"username": "c"},
    "upstreams": {"name": "u", "hash_on": "ip", "healthchecks": {"active": {"healthy": {"interval": 5}}}},
    "routes": {"name": "r", "paths": ["/b", "/a"], "headers": {"x-tenant-id": ["b", "a"]}, "strip_path": False},
    "plugins": {"name": "rate-limiting", "config": {"minute": 5, "policy": "local"}, "tags": ["b", "a"]},
}


@pytest.mark.parametrize("name", STATED)
def test_what_kong_makes_of_an_entity_has_the_short_form_of_what_was_stated(name: str) -> None:
    made = kongs.make(KONG, f"/{KINDS[name].path}", **STATED[name])
    assert KNOWN.held(KINDS[name], made) == KNOWN.wanted(KINDS[name], {**STATED[name], "id": made["id"]})


def test_defaults_are_left_out_and_what_is_beyond_them_stays() -> None:
    assert KNOWN.wanted(KINDS["services"], {"id": "i", **STATED["services"]}) == {
        "id": "i",
        "name": "s",
        "host": "h",
        "read_timeout": 1000,
    }


def test_a_field_that_an_older_setting_left_behind_is_a_difference() -> None:
    config = {"minute": 5, "hour": 100}
    made = kongs.make(KONG, "/services", name="left", host="h")
    row = kongs.plugin(KONG, f"/services/{made['id']}", "rate-limiting", **config)
    wanted = {**row, "config": {"minute": 5}}
    assert KNOWN.held(KINDS["plugins"], row) != KNOWN.wanted(KINDS["plugins"], wanted)


def test_a_null_where_the_default_is_a_value_stays() -> None:
    row = {"id": "i", "name": "rate-limiting", "config": {"minute": 5, "error_message": None}}
    assert KNOWN.wanted(KINDS["plugins"], row)["config"] == {"minute": 5, "error_message": None}


def test_what_this_kong_does_not_know_is_kept_so_that_it_refuses_it() -> None:
    row = {"id": "i", "name": "cors", "config": {"private_networks": True}, "ordering": {"before": {}}}
    assert KNOWN.wanted(KINDS["plugins"], row) == row


def test_a_plugin_that_this_kong_does_not_have_is_refused() -> None:
    with pytest.raises(Refused, match="nobody-has-this"):
        KNOWN.wanted(KINDS["plugins"], {"id": "i", "name": "nobody-has-this"})


def test_a_target_states_its_weight_and_a_certificate_not_its_names() -> None:
    assert KNOWN.wanted(KINDS["targets"], {"id": "i", "target": "a:80"})["weight"] == 100
    held = KNOWN.held(KINDS["certificates"], {"id": "i", "cert": "c", "key": "k", "snis": ["a.example"]})
    assert held == {"id": "i", "cert": "c", "key": "k"}
