"""What a route does with a request: its clusters, the rewrite, `timeout` and `retry`.

Called by `routes` and by rows of `filters.ROWS`.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message

from tenants.paths import Match, Rewrite
from tenants.policies import Retry, Timeout
from xds import messages
from xds.translate.edits import literal

_ROUTE = "envoy.config.route.v3."
RetryPolicy = messages.message(_ROUTE + "RetryPolicy")
RetryHostPredicate = messages.message(_ROUTE + "RetryPolicy.RetryHostPredicate")
WeightedCluster = messages.message(_ROUTE + "WeightedCluster")
ClusterWeight = messages.message(_ROUTE + "WeightedCluster.ClusterWeight")
PreviousHosts = messages.message("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
RegexMatchAndSubstitute = messages.message("envoy.type.matcher.v3.RegexMatchAndSubstitute")
RegexMatcher = messages.message("envoy.type.matcher.v3.RegexMatcher")
UInt32Value = messages.message("google.protobuf.UInt32Value")

Targets = tuple[tuple[str, int], ...]
"""Clusters and their shares."""

Fields = Mapping[str, Any]
"""Fields of a RouteAction."""

STREAM_IDLE = timedelta(minutes=5)
"""How long a request may be without a byte either way, where no `timeout.idle` says otherwise."""


def to(targets: Targets) -> Fields:
    """Where requests go."""
    if len(targets) == 1:
        return {"cluster": targets[0][0]}
    shares = [ClusterWeight(name=name, weight=UInt32Value(value=weight)) for name, weight in targets]
    return {"weighted_clusters": WeightedCluster(clusters=shares)}


def timeout(policy: Timeout) -> Fields:
    """Envoy's idle limit would cut a request that may take longer: then it is as long as the request may be."""
    idle = policy.idle
    if idle is None and policy.request is not None and policy.request > STREAM_IDLE:
        idle = policy.request
    given = {"timeout": policy.request, "idle_timeout": idle}
    return {name: messages.duration(value) for name, value in given.items() if value is not None}


def retry(policy: Retry) -> Fields:
    """Each further try goes to an endpoint that has not failed this request yet, where there is one."""
    limit = policy.per_try_timeout
    elsewhere = RetryHostPredicate(name="envoy.retry_host_predicates.previous_hosts", typed_config=_PREVIOUS_HOSTS)
    again = RetryPolicy(
        retry_on=",".join(policy.on),
        num_retries=UInt32Value(value=policy.attempts),
        per_try_timeout=None if limit is None else messages.duration(limit),
        retry_host_predicate=[elsewhere],
        host_selection_retry_max_attempts=3,
    )
    return {"retry_policy": again}


_PREVIOUS_HOSTS = messages.pack(PreviousHosts())


def rewrite(how: Rewrite | None, match: Match) -> Fields:
    """What the service sees in place of the path and the host."""
    if how is None:
        return {}
    fields: dict[str, Any] = {}
    if how.host is not None:
        fields["host_rewrite_literal"] = how.host
    if how.path is not None:
        fields["path_rewrite"] = literal(how.path)
    if how.regex is not None:
        fields["regex_rewrite"] = _replaced(how.regex, how.substitution or "")
    if how.prefix is not None and match.prefix is not None:
        fields |= _prefix(match.prefix, how.prefix)
    return fields


def _prefix(old: str, new: str) -> Fields:
    """`/api` -> `/v2` turns /api/x into /v2/x; whole segments either way, with or without a slash at the end of one."""
    start = new.rstrip("/")
    if old.endswith("/"):
        return {"prefix_rewrite": start + "/"}
    if start:
        return {"prefix_rewrite": start}
    return {"regex_rewrite": _replaced(f"^{re.escape(old)}/?", "/")}  # Envoy's own would make //x of /api/x


def _replaced(pattern: str, substitution: str) -> Message:
    return RegexMatchAndSubstitute(pattern=RegexMatcher(regex=pattern), substitution=substitution)
