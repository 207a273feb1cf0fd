"""Policies that change headers on a route: `headers`, `correlation_id`, and what `cors` owes to caches.

Rows of `filters.ROWS` call these. Values are literal text: a `%` is doubled, because Envoy reads `%...%` as a command.
"""

from typing import NamedTuple

from google.protobuf.message import Message

from tenants.policies import CorrelationId, Cors, HeaderChanges, Headers
from xds import messages

HeaderValue = messages.message("envoy.config.core.v3.HeaderValue")
HeaderValueOption = messages.message("envoy.config.core.v3.HeaderValueOption")


class Edits(NamedTuple):
    """Header changes of a route, named as the route's fields are."""

    request_headers_to_add: tuple[Message, ...] = ()
    request_headers_to_remove: tuple[str, ...] = ()
    response_headers_to_add: tuple[Message, ...] = ()
    response_headers_to_remove: tuple[str, ...] = ()


def header(name: str, value: str, action: str) -> Message:
    """A header to add; `value` may hold commands, `action` is a name of Envoy's HeaderAppendAction."""
    pair = HeaderValue(key=name, value=value)
    return HeaderValueOption(header=pair, append_action=action, keep_empty_value=not value)


def literal(value: str) -> str:
    """Text that means itself where Envoy looks for commands."""
    return value.replace("%", "%%")


def headers(policy: Headers) -> Edits:
    """Set replaces, add adds a line, remove removes."""
    return Edits(_added(policy.request), policy.request.remove, _added(policy.response), policy.response.remove)


def _added(changes: HeaderChanges) -> tuple[Message, ...]:
    put = [header(name, literal(value), "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in changes.set]
    return (*put, *(header(name, literal(value), "APPEND_IF_EXISTS_OR_ADD") for name, value in changes.add))


def correlation_id(policy: CorrelationId) -> Edits:
    """The caller's id, else the request id (`generate`); back to the caller too (`echo`), also on errors."""
    name = literal(policy.header)
    told = f"%REQ({name}?x-request-id)%" if policy.generate else f"%REQ({name})%"
    made = (header(policy.header, "%REQ(x-request-id)%", "ADD_IF_ABSENT"),) if policy.generate else ()
    echoed = (header(policy.header, told, "OVERWRITE_IF_EXISTS_OR_ADD"),) if policy.echo else ()
    return Edits(made, (), echoed, ())


def cors(_policy: Cors) -> Edits:
    """The answer depends on the origin, and Envoy's filter does not say so to caches."""
    return Edits(response_headers_to_add=(header("vary", "origin", "APPEND_IF_EXISTS_OR_ADD"),))
