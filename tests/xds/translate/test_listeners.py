"""Listeners: how a request names its tenant, what is safe by default, and the JSON of every error of Envoy's own."""

import json

import pytest
from worlds import Json, document, gateway

from xds import messages, translate
from xds.translate.errors import CODES, body
from xds.translate.filters import FILTERS
from xds.translate.replies import REPLIES

ADS = {"ads": {}, "resource_api_version": "V3"}


def manager(**fields: object) -> Json:
    (built,) = translate.listeners(document(**gateway(**fields)))
    (chain,) = messages.to_dict(built.message)["filter_chains"]
    (only,) = chain["filters"]
    return dict(only["typed_config"])


def key(**fields: object) -> Json:
    (fragment,) = manager(**fields)["scoped_routes"]["scope_key_builder"]["fragments"]
    return dict(fragment["header_value_extractor"])


def test_each_listener_of_a_gateway_is_a_resource() -> None:
    said = [{"name": "a", "port": 80}, {"name": "b", "port": 81, "address": "::"}]
    found = translate.listeners(document(**gateway(listeners=said)))
    assert [(one.kind, one.name, one.owner, one.uses) for one in found] == [
        ("LDS", "a", "", frozenset()),
        ("LDS", "b", "", frozenset()),
    ]
    addresses = [messages.to_dict(one.message)["address"]["socket_address"] for one in found]
    assert addresses == [
        {"address": "0.0.0.0", "port_value": 80},
        {"address": "::", "port_value": 81, "ipv4_compat": True},
    ]


def test_scopes_and_tables_come_by_the_one_stream() -> None:
    found = manager()["scoped_routes"]
    assert (found["rds_config_source"], found["scoped_rds"]) == (ADS, {"scoped_rds_config_source": ADS})


OURS = [{"remove": "x-gatecast-host"}, {"remove": "x-gatecast-claim"}]


def test_by_header_all_values_are_joined_and_the_first_chooses() -> None:
    assert key() == {"name": "x-tenant-id", "element_separator": ",", "index": 0}
    (early,) = manager()["early_header_mutation_extensions"]
    *removed, change, added = early["typed_config"]["mutations"]
    assert removed == OURS
    assert added["append"]["append_action"] == "ADD_IF_ABSENT"
    assert change["append"] == {
        "header": {"key": "x-tenant-id", "value": '%CEL(request.headers["x-tenant-id"])%'},
        "append_action": "OVERWRITE_IF_EXISTS",
    }


def test_by_host_the_key_is_ours_and_ends_before_the_port() -> None:
    host = {"from": "host"}
    assert key(tenant=host) == {"name": "x-gatecast-host", "element_separator": ":", "index": 0}
    (early,) = manager(tenant=host)["early_header_mutation_extensions"]
    assert early["typed_config"]["mutations"] == [*OURS, {"remove": "forwarded"}, {"remove": "x-forwarded-host"}]
    names = [one["name"] for one in manager(tenant=host)["http_filters"]]
    assert names[:3] == [
        "gatecast.upgrades",
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.set_filter_state",
    ]


def test_by_claim_nobody_outside_names_a_tenant() -> None:
    claim = {"from": "claim", "name": "tenant"}
    (early,) = manager(tenant=claim)["early_header_mutation_extensions"]
    assert early["typed_config"]["mutations"] == OURS
    assert key(tenant=claim) == {"name": "x-gatecast-claim", "index": 0}


def test_by_claim_the_token_comes_first_and_then_the_table() -> None:
    claim = {"from": "claim", "name": "tenant"}
    _, first, second, third, *_ = manager(tenant=claim)["http_filters"]
    assert (first["name"], first["config_discovery"]["config_source"]) == (translate.CLAIM_SHARD, ADS)
    assert [second["name"], third["name"]] == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.set_filter_state",
    ]


@pytest.mark.parametrize("source", [{"from": "header", "name": "x-t"}, {"from": "host"}])
def test_every_filter_is_there_from_the_start(source: Json) -> None:
    found = [one["name"] for one in manager(tenant=source)["http_filters"]]
    named = [name for name, make, _off in FILTERS if make]  # without those that a gateway has to ask for
    assert found[-len(named) :] == named


def test_a_listener_knows_nothing_of_policies() -> None:
    """So that no tenant's and no gateway's policy closes a connection."""
    more = {"policies": {"rate_limit": {"requests": 1, "per": "day"}, "cors": {"origins": ["*"]}}}
    assert manager(**more) == manager()


def test_the_defaults_are_safe_at_the_edge() -> None:
    found = manager()
    assert (found["use_remote_address"], found["normalize_path"], found["merge_slashes"]) == (True, True, True)
    assert found["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert found["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER"
    assert found["always_set_request_id_in_response"] is True
    assert (found["stream_idle_timeout"], found["request_headers_timeout"]) == ("300s", "10s")


def test_every_answer_of_envoys_own_is_json_of_one_form() -> None:
    found = manager()["local_reply_config"]
    *given, others = found["mappers"][0], found["mappers"][1], found["mappers"][2:]
    as_it_is = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"}
    assert [one["body_format_override"] for one in given] == [as_it_is, as_it_is]  # of routes, and of ext_authz servers
    assert [one["body_format_override"]["json_format"]["error"]["code"] for one in others] == [
        row.code for row in REPLIES
    ]
    for one in (*(one["body_format_override"] for one in others), found["body_format"]):
        error = one["json_format"]["error"]
        assert error["message"] == CODES[error["code"]]
        assert error["details"]["status"] == "%RESPONSE_CODE%"


def test_every_code_that_envoy_is_given_is_in_the_table() -> None:
    assert {row.code for row in REPLIES} <= set(CODES)


def test_a_body_is_json_whatever_the_message_holds() -> None:
    text = 'a "quoted" \\ 100% é日\t'
    found = json.loads(body("maintenance", text, header="x", limit=3))
    expected = {"code": "maintenance", "message": text, "details": {"header": "x", "limit": 3}}
    assert found == {"error": expected}
    assert "é日" in body("maintenance", text)


def test_a_code_that_is_not_in_the_table_cannot_be_used() -> None:
    with pytest.raises(KeyError):
        body("oops")


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({}, False),
        ({"policies": {"cors": {"origins": ["*"]}}}, True),
        ({"policies": {"cors": {"origins": ["*"]}}, "tenant": {"from": "claim", "name": "tenant"}}, True),
        ({"policies": {"cors": {"origins": ["*"]}}, "tenant": {"from": "host"}}, False),
    ],
)
def test_preflights_that_name_no_tenant_have_a_table_that_leads_nowhere(fields: Json, there: bool) -> None:
    found = {one.kind: one for one in translate.unnamed(document(**gateway(**fields)))}
    assert set(found) == ({"SRDS", "RDS"} if there else set())
    if there:
        table = messages.to_dict(found["RDS"].message)
        (host,) = table["virtual_hosts"]
        (only,) = host["routes"]
        assert messages.to_dict(found["SRDS"].message)["route_configuration_name"] == table["name"] == "-unnamed"
        assert (host["name"], only["route"], found["RDS"].uses) == ("-", {"cluster": "gatecast.nowhere"}, frozenset())
