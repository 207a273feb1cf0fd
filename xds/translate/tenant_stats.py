"""Counts of each tenant's requests and rejections, made from the access log. Called by `access_logs`.

A tenant has as many counters as there are classes of status and reasons; its own routes and clients add none. Envoy
forgets those that were not counted for a while (`xds.bootstrap`), and makes no more than MOST. Requests of no tenant
are counted together, so names that are made up cost nothing.
"""

from google.protobuf.message import Message

from xds import messages
from xds.translate.marks import ANSWERED, NOBODY
from xds.translate.replies import REPLIES

_LOG = "envoy.config.accesslog.v3."
_STATS = "envoy.extensions.access_loggers.stats.v3."
EnvoyAccessLog = messages.message(_LOG + "AccessLog")
AccessLogFilter = messages.message(_LOG + "AccessLogFilter")
ExtensionFilter = messages.message(_LOG + "ExtensionFilter")
ExpressionFilter = messages.message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")
StatsLogger = messages.message(_STATS + "Config")
Counter = messages.message(_STATS + "Config.Counter")
Stat = messages.message(_STATS + "Config.Stat")
Tag = messages.message(_STATS + "Config.Tag")
Scope = messages.message("envoy.type.v3.Scope")
UInt32Value = messages.message("google.protobuf.UInt32Value")
UInt64Value = messages.message("google.protobuf.UInt64Value")

SCOPE = "gatecast"
MOST = 200_000
"""Counters of one Envoy, about 50 MB of its memory. What would be one more is counted nowhere."""

NONE = NOBODY
"""The tenant of requests that no table took."""

_DETAILS = "response.code_details"
OURS = f"{_DETAILS} != 'via_upstream' && response.code >= 400"
"""A request that no service answered."""


Rows = tuple[tuple[str, str], ...]
"""Values, each with the condition that makes it."""

DEEP = 8  # Envoy takes no expression of more than 32 levels, and each row of a chain is one


def chosen(rows: Rows, otherwise: str) -> str:
    """A CEL expression for the value of the first row whose condition holds."""
    chain = " : ".join([*(f"({when}) ? '{value}'" for value, when in rows[:DEEP]), f"'{otherwise}'"])
    if len(rows) <= DEEP:
        return chain
    some = " || ".join(f"({when})" for _value, when in rows[:DEEP])
    return f"({some}) ? ({chain}) : {chosen(rows[DEEP:], otherwise)}"


_ENVOYS = chosen(tuple((row.code, row.when.said) for row in REPLIES), "error")
ERROR = f"!({OURS}) ? '' : {_DETAILS} == 'direct_response' ? {ANSWERED} : {_ENVOYS}"
"""CEL: the code of the error that a request was answered with, '' if none or a service's own."""

_TENANT = f"has(xds.virtual_host_name) ? xds.virtual_host_name : '{NONE}'"
_CLASS = chosen(
    tuple((f"{digit}xx", f"response.code < {digit}00 + 100 && response.code >= {digit}00") for digit in range(1, 6)),
    NONE,
)


def counters() -> list[Message]:
    """The loggers that count: all requests by class of status, and those that a service did not answer by reason."""
    rejected = AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel",
            typed_config=messages.pack(ExpressionFilter(expression=OURS)),
        )
    )
    return [_counter("requests", None, gatecast_class=_CLASS), _counter("rejections", rejected, gatecast_reason=ERROR)]


def _counter(name: str, when: Message | None, **tags: str) -> Message:
    values = {"gatecast_tenant": _TENANT, **tags}
    said = [Tag(name=tag, value_format=f"%CEL({value})%") for tag, value in values.items()]
    counter = Counter(stat=Stat(name=name, tags=said), value_fixed=UInt64Value(value=1))
    config = StatsLogger(
        # Shared by all listeners: what a listener counted is not gone with its next version.
        stats_scope=Scope(prefix=SCOPE, sharing_name=SCOPE, enable_eviction=True, max_counters=UInt32Value(value=MOST)),
        counters=[counter],
    )
    return EnvoyAccessLog(name="envoy.access_loggers.stats", filter=when, typed_config=messages.pack(config))
