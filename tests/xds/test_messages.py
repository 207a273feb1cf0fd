"""The message classes of `xds.messages` against what others say of the same bytes: a table made by hand,
envoy-data-plane, and the schema inside the Envoy binary.
"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import corpora
import envoy_protos
import oracle
import pytest
from google.protobuf.message import Message
from worlds import World

from xds import descriptors, messages, translate
from xds.envoy_binary import envoy_binary

CORE, ROUTE, CLUSTER = "envoy.config.core.v3.", "envoy.config.route.v3.", "envoy.config.cluster.v3."
HTTP = "envoy.extensions.filters.http."

# Written out by hand from the numbers in Envoy's .proto files: tag, (length), value.
ENCODINGS: list[tuple[str, dict[str, Any], str]] = [
    # scalars: address = 2, port_value = 3, ipv4_compat = 6
    (CORE + "SocketAddress", {"address": "::1", "port_value": 9001, "ipv4_compat": True}, "12 03 3a3a31 18 a946 30 01"),
    # a wrapper is a message with the value in field 1: load_balancing_weight = 4
    ("envoy.config.endpoint.v3.LbEndpoint", {"load_balancing_weight": 2}, "22 02 08 02"),
    # a wrapper around zero is there and empty: address_prefix = 1, prefix_len = 2
    (CORE + "CidrRange", {"address_prefix": "::", "prefix_len": 0}, "0a 02 3a3a 12 00"),
    # consecutive_5xx = 1, enforcing_success_rate = 6
    (CLUSTER + "OutlierDetection", {"consecutive_5xx": 5, "enforcing_success_rate": 0}, "0a 02 08 05 32 00"),
    # enums, ours and nested ones, and messages in messages: name = 1, type = 2 (EDS = 3), eds_cluster_config = 3
    # (eds_config = 1 (ads = 3, resource_api_version = 6 (V3 = 2)), service_name = 2), connect_timeout = 4,
    # lb_policy = 6 (LEAST_REQUEST = 1), common_lb_config = 27, ignore_health_on_host_removal = 32
    (
        CLUSTER + "Cluster",
        {
            "name": "a",
            "type": "EDS",
            "lb_policy": "LEAST_REQUEST",
            "connect_timeout": "2s",
            "eds_cluster_config": {"service_name": "a", "eds_config": {"ads": {}, "resource_api_version": "V3"}},
            "common_lb_config": {"healthy_panic_threshold": {}},
            "ignore_health_on_host_removal": True,
        },
        "0a 01 61 10 03 1a 09 0a 04 1a 00 30 02 12 01 61 22 02 08 02 30 01 da01 02 0a 00 8002 01",
    ),
    # a member of a oneof is there even when it is false: headers = 6 (name = 1, present_match = 7, invert_match = 8,
    # string_match = 13 (exact = 1)), path_separated_prefix = 14
    (
        ROUTE + "RouteMatch",
        {
            "path_separated_prefix": "/a",
            "headers": [
                {"name": "b", "present_match": False},
                {"name": "c", "string_match": {"exact": "d"}, "invert_match": True},
            ],
        },
        "32 05 0a 01 62 38 00 32 0a 0a 01 63 40 01 6a 03 0a 01 64 72 02 2f61",
    ),
    # match = 1, direct_response = 7 (status = 1, body = 2 (inline_string = 3)), name = 14
    (
        ROUTE + "Route",
        {"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": 403, "body": {"inline_string": "x"}}},
        "0a 03 0a 01 2f 3a 08 08 9303 12 03 1a 01 78 72 01 72",
    ),
    # a duration below a second: retry_on = 1, num_retries = 2, per_try_timeout = 3 (nanos = 2)
    (
        ROUTE + "RetryPolicy",
        {"retry_on": "5xx", "num_retries": 3, "per_try_timeout": "0.5s"},
        "0a 03 357878 12 02 08 03 1a 06 10 80cab5ee01",
    ),
    # weighted_clusters = 3 (clusters = 1 (name = 1, weight = 2)), host_rewrite_literal = 6, timeout = 8
    (
        ROUTE + "RouteAction",
        {
            "weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 0}]},
            "timeout": "5s",
            "host_rewrite_literal": "h",
        },
        "1a 10 0a 07 0a 01 61 12 02 08 5a 0a 05 0a 01 62 12 00 32 01 68 42 02 08 05",
    ),
    # header = 1 (key = 1; an empty text is not written), append_action = 3, keep_empty_value = 4
    (
        CORE + "HeaderValueOption",
        {
            "header": {"key": "a", "value": ""},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            "keep_empty_value": True,
        },
        "0a 03 0a 01 61 18 02 20 01",
    ),
    # max_tokens = 1, tokens_per_fill = 2, fill_interval = 3
    (
        "envoy.type.v3.TokenBucket",
        {"max_tokens": 650, "tokens_per_fill": 600, "fill_interval": "60s"},
        "08 8a05 12 03 08 d804 1a 02 08 3c",
    ),
    # messages defined inside messages: name = 1, route_configuration_name = 2, key = 3 (fragments = 1 (string_key = 1))
    (
        ROUTE + "ScopedRouteConfiguration",
        {"name": "a", "route_configuration_name": "b", "key": {"fragments": [{"string_key": "a"}]}},
        "0a 01 61 12 01 62 1a 05 0a 03 0a 01 61",
    ),
    # a map, in the order of its keys and not of the document: action = 1 (DENY = 1), policies = 2 (key = 1, value = 2)
    (
        "envoy.config.rbac.v3.RBAC",
        {
            "action": "DENY",
            "policies": {
                "b": {},
                "a": {"permissions": [{"any": True}], "principals": [{"not_id": {"any": True}}]},
            },
        },
        "08 01 12 0f 0a 01 61 12 0a 0a 02 18 01 12 04 42 02 18 01 12 05 0a 01 62 12 00",
    ),
    # max_age = 5, allow_credentials = 6, allow_origin_string_match = 1 (safe_regex = 5 (regex = 2))
    (
        HTTP + "cors.v3.CorsPolicy",
        {
            "allow_origin_string_match": [{"safe_regex": {"regex": "."}}],
            "allow_credentials": False,
            "max_age": "60",
        },
        "0a 05 2a 03 12 01 2e 2a 02 3630 32 00",
    ),
    # a field newer than envoy-data-plane (enable_retry_after_header = 19): stat_prefix = 1,
    # enable_x_ratelimit_headers = 12, max_dynamic_descriptors = 18
    (
        HTTP + "local_ratelimit.v3.LocalRateLimit",
        {
            "stat_prefix": "r",
            "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            "max_dynamic_descriptors": 300,
            "enable_retry_after_header": True,
        },
        "0a 01 72 60 01 9201 03 08 ac02 9801 01",
    ),
    # cel_config = 1 (enable_string_functions = 3)
    ("envoy.extensions.formatter.cel.v3.Cel", {"cel_config": {"enable_string_functions": True}}, "0a 02 18 01"),
]


def made(name: str, body: dict[str, Any]) -> Message:
    return messages.from_dict(body, messages.message(name)())


def built(world: World) -> Iterator[Message]:
    """Every resource of a world."""
    yield from (one.message for one in translate.listeners(world.gateway))
    specs: set[translate.ClusterSpec] = set()
    for view in world.views():
        resources, needs = translate.tenant(view)
        specs |= needs.clusters
        yield from (one.message for one in resources if one.kind != "RLS")  # that one is not Envoy's
    for spec in sorted(specs, key=lambda spec: spec.name):
        yield from (one.message for one in translate.cluster(world.services[spec.service], spec))
    for name in sorted(world.services):
        yield from (one.message for one in translate.endpoints(world.services[name]))


@pytest.fixture(scope="module")
def pieces() -> list[Message]:
    """Every message class that translation builds, in every combination of fields the corpus gives it."""
    return list(oracle.pieces(message for world in corpora.all_worlds() for message in built(world)))


@pytest.mark.parametrize(("name", "body", "expected"), ENCODINGS, ids=[row[0].rpartition(".")[2] for row in ENCODINGS])
def test_bytes_are_those_written_out_by_hand(name: str, body: dict[str, Any], expected: str) -> None:
    message = made(name, body)
    assert messages.encode(message) == bytes.fromhex(expected)
    assert type(message).FromString(bytes.fromhex(expected)) == message


def test_envoy_data_plane_reads_all_we_build_and_writes_the_same(pieces: list[Message]) -> None:
    different = [messages.to_dict(piece) for piece in pieces if oracle.again(piece) != messages.encode(piece)]
    assert different == []


def test_envoy_data_plane_knows_every_field_we_build_but_the_listed_ones(pieces: list[Message]) -> None:
    listed = {row.message for row in descriptors.NEWER}
    assert {piece.DESCRIPTOR.full_name for piece in pieces if oracle.unknown(piece)} == listed


def test_the_corpus_reaches_every_kind_of_message(pieces: list[Message]) -> None:
    """A guard of the two tests above: what they do not see, they do not check."""
    seen = {piece.DESCRIPTOR.full_name for piece in pieces}
    assert {"envoy.config.listener.v3.Listener", CLUSTER + "Cluster", ROUTE + "RouteConfiguration"} <= seen
    assert len(seen) > 90


def test_a_field_that_envoy_data_plane_has_learned_is_no_longer_listed() -> None:
    for row in descriptors.NEWER:
        assert row.name in {column.name for column in descriptors.newer(row.message)}


def test_every_field_is_as_the_real_envoy_has_it() -> None:
    binary = envoy_binary()
    assert binary is not None
    theirs = envoy_protos.schema(binary)
    wrong, compared = [], 0
    for name in sorted(descriptors.reached(messages.ROOTS)):
        real = {field.name: field for field in theirs[name].field} if name in theirs else {}
        for field in messages.POOL.FindMessageTypeByName(name).fields if real else ():
            compared += 1
            other = real.get(field.name)
            ours = (field.number, field.type, field.is_repeated)
            if other is None or ours != (other.number, other.type, other.label == other.LABEL_REPEATED):
                wrong.append(f"{name}.{field.name}")
    assert wrong == []
    assert compared > 1000


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(), ""),
        (timedelta(milliseconds=5250), "08 05 10 80e59a77"),
        (timedelta(days=365), "08 80e7840f"),
        (timedelta(microseconds=1), "10 e807"),
    ],
)
def test_durations_are_exact(length: timedelta, expected: str) -> None:
    assert messages.encode(messages.duration(length)) == bytes.fromhex(expected)


def test_a_packed_message_has_its_type_and_deterministic_bytes() -> None:
    first = made("envoy.config.rbac.v3.RBAC", {"policies": {"a": {}, "b": {}}})
    other = made("envoy.config.rbac.v3.RBAC", {"policies": {"b": {}, "a": {}}})
    assert messages.encode(messages.pack(first)) == messages.encode(messages.pack(other))
    assert messages.to_dict(messages.pack(first))["@type"] == "type.googleapis.com/envoy.config.rbac.v3.RBAC"


def test_a_misspelt_field_or_an_unknown_message_raises() -> None:
    with pytest.raises(ValueError, match="nmae"):
        messages.message(ROUTE + "Route")(nmae="x")
    with pytest.raises(KeyError):
        messages.message("envoy.config.route.v3.Rout")


PROGRAM = """
import hashlib, sys
sys.path[:0] = sys.argv[1:]
import corpora
from test_messages import built
from xds import messages
for world in corpora.all_worlds():
    print(hashlib.sha256(b"".join(map(messages.encode, built(world)))).hexdigest())
"""


def test_bytes_are_the_same_in_every_process() -> None:
    def digest(seed: str) -> str:
        command = [sys.executable, "-c", PROGRAM, *sys.path, str(Path(__file__).parent)]
        environment = {"PYTHONHASHSEED": seed, "PATH": ""}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return ran.stdout

    assert digest("1") == digest("2")
