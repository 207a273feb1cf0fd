"""Our RateLimitConfig against the standard one: bytes written out by hand from the numbers in its .proto file."""

from protos.ratelimit_pb2 import DESCRIPTOR, RateLimitConfig, RateLimitDescriptor, RateLimitPolicy, RateLimitUnit
from xds import messages
from xds.kinds import KINDS

# ratelimit/config/ratelimit/v3/rls_conf.proto of envoyproxy/ratelimit: what we use of it.
FIELDS = {
    "RateLimitConfig": {"name": 1, "domain": 2, "descriptors": 3},
    "RateLimitDescriptor": {"key": 1, "value": 2, "rate_limit": 3, "descriptors": 4},
    "RateLimitPolicy": {"unit": 1, "requests_per_unit": 2},
}
UNITS = {"UNKNOWN": 0, "SECOND": 1, "MINUTE": 2, "HOUR": 3, "DAY": 4}


def test_every_field_and_every_unit_has_the_standard_number() -> None:
    ours = {
        name: {one.name: one.number for one in message.fields}
        for name, message in DESCRIPTOR.message_types_by_name.items()
    }
    assert ours == FIELDS
    assert dict(RateLimitUnit.items()) == UNITS


def test_the_bytes_are_those_written_out_by_hand() -> None:
    policy = RateLimitPolicy(unit="HOUR", requests_per_unit=300)
    inner = RateLimitDescriptor(key="h", rate_limit=policy)
    outer = RateLimitDescriptor(key="t", value="a", rate_limit=policy, descriptors=[inner])
    limit = "1a 05 08 03 10 ac02"
    nested = f"22 0a 0a 01 68 {limit}"
    expected = f"0a 01 65 12 01 64 1a 19 0a 01 74 12 01 61 {limit} {nested}"
    assert messages.encode(RateLimitConfig(name="e", domain="d", descriptors=[outer])) == bytes.fromhex(expected)


def test_it_is_read_by_the_name_it_travels_under() -> None:
    assert messages.message(KINDS["RLS"].message) is RateLimitConfig
