"""`rate_limit` as Envoy's local token bucket. A row of `filters.ROWS` calls it.

The bucket holds `requests + burst` tokens and is refilled evenly, at `requests` in each `per`: after a quiet time that
many pass at once, in the long run `requests` a `per`. Envoy keeps it in the route table, and an update of the table
fills it: one reason why each tenant has a table of its own.
"""

from datetime import timedelta

from google.protobuf.message import Message

from tenants.policies import RateLimit
from xds import messages
from xds.translate.matches import header_key

_ROUTE = "envoy.config.route.v3."
_SHARED = "envoy.extensions.common.ratelimit.v3."
LocalRateLimit = messages.message("envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit")
LocalRateLimitDescriptor = messages.message(_SHARED + "LocalRateLimitDescriptor")
RateLimitDescriptorEntry = messages.message(_SHARED + "RateLimitDescriptor.Entry")
RouteRateLimit = messages.message(_ROUTE + "RateLimit")
Action = messages.message(_ROUTE + "RateLimit.Action")
RemoteAddress = messages.message(_ROUTE + "RateLimit.Action.RemoteAddress")
RequestHeaders = messages.message(_ROUTE + "RateLimit.Action.RequestHeaders")
TokenBucket = messages.message("envoy.type.v3.TokenBucket")
FractionalPercent = messages.message("envoy.type.v3.FractionalPercent")
RuntimeFractionalPercent = messages.message("envoy.config.core.v3.RuntimeFractionalPercent")
BoolValue = messages.message("google.protobuf.BoolValue")
UInt32Value = messages.message("google.protobuf.UInt32Value")

BUCKETS = 10_000
"""How many clients (or header values) a limit counts apart. Beyond it the one unseen for longest starts afresh."""

_KEY = "by"
_ALWAYS = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100))


def rate_limit(policy: RateLimit) -> Message:
    """The filter's configuration for a tenant, or for a route that has a limit of its own."""
    bucket = _bucket(policy)
    config = LocalRateLimit(
        stat_prefix="rate_limit",
        token_bucket=bucket,
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
    )
    if policy.by != "tenant":
        config.MergeFrom(_counted_apart(_action(policy), bucket))
    return config


def unlimited() -> Message:
    """The configuration of a filter that counts nothing; Envoy wants a bucket even so."""
    never_asked = TokenBucket(max_tokens=1, fill_interval=messages.duration(timedelta(seconds=1)))
    return LocalRateLimit(stat_prefix="rate_limit", token_bucket=never_asked)


def _bucket(policy: RateLimit) -> Message:
    return TokenBucket(
        max_tokens=policy.requests + policy.burst,
        tokens_per_fill=UInt32Value(value=policy.requests),
        fill_interval=messages.duration(policy.period),
    )


def _action(policy: RateLimit) -> Message:
    if policy.header is None:
        return Action(remote_address=RemoteAddress())
    by_header = RequestHeaders(header_name=header_key(policy.header), descriptor_key=_KEY)
    return Action(request_headers=by_header)


def _counted_apart(action: Message, bucket: Message) -> Message:
    """A bucket for each value: an entry without one is a template. Requests without the header share one bucket."""
    key = _KEY if action.HasField("request_headers") else "remote_address"
    each = LocalRateLimitDescriptor(entries=[RateLimitDescriptorEntry(key=key)], token_bucket=bucket)
    return LocalRateLimit(
        descriptors=[each],
        rate_limits=[RouteRateLimit(actions=[action])],
        always_consume_default_token_bucket=BoolValue(value=False),
        max_dynamic_descriptors=UInt32Value(value=BUCKETS),
    )
