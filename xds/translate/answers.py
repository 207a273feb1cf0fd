"""Routes that answer by themselves, in JSON: refusals, maintenance, what no route takes. Called by `routes`."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from google.protobuf.message import Message

from tenants.paths import Match
from tenants.policies import Maintenance, RequiredHeader
from xds import messages
from xds.translate.edits import Edits
from xds.translate.errors import body, code_of
from xds.translate.marks import answers_with
from xds.translate.matches import everything, header, methods, takes

Route = messages.message("envoy.config.route.v3.Route")
DirectResponseAction = messages.message("envoy.config.route.v3.DirectResponseAction")
DataSource = messages.message("envoy.config.core.v3.DataSource")

Configs = Mapping[str, Message]
"""Per-route filter configurations by filter name."""


def answer(
    name: str, match: Message, status: int, text: str, configs: Configs | None = None, edits: Edits | None = None
) -> Message:
    """A route that gives this status and body. Of `edits` those of the response count."""
    said = edits or Edits()
    return Route(
        name=name,
        match=match,
        direct_response=_direct(status, text),
        metadata=answers_with(code_of(text)),
        typed_per_filter_config=configs,
        response_headers_to_add=said.response_headers_to_add,
        response_headers_to_remove=said.response_headers_to_remove,
    )


@lru_cache(maxsize=4096)
def _direct(status: int, text: str) -> Message:
    return DirectResponseAction(status=status, body=DataSource(inline_string=text))


def wrong_tenant(header_name: str, tenant: str, configs: Configs) -> Message:
    """The first route of a tenant's table in header mode.

    Envoy chooses the table by the first of several values, while services see them all (`acme,beta`; listeners join
    repeated headers): such a request is refused.
    """
    match = everything(header(header_name, exact=tenant, invert=True))
    return answer("bad-tenant-header", match, 400, _wrong_tenant(header_name), configs)


@lru_cache(maxsize=64)
def _wrong_tenant(header_name: str) -> str:
    return body("bad_tenant_header", header=header_name)


def suspended(tenant: str) -> Message:
    """The only route of a suspended tenant."""
    return answer("suspended", everything(), 403, body("tenant_suspended", tenant=tenant))


def not_found(configs: Configs, edits: Edits) -> Message:
    """The last route of a tenant's table."""
    return answer("not-found", everything(), 404, body("not_found"), configs, edits)


def maintenance(name: str, match: Message, policy: Maintenance, configs: Configs, edits: Edits) -> Message:
    """In place of the real route."""
    return answer(name, match, policy.status, body("maintenance", policy.message), configs, edits)


def refusals(
    name: str, match: Match, required: Iterable[RequiredHeader], configs: Configs, edits: Edits
) -> list[Message]:
    """Ahead of the real route, one for each way in which a required header can be wrong."""
    found = []
    for rule in required:
        # Without methods all are meant, but OPTIONS: a preflight never carries the headers it asks for.
        which = methods(rule.methods) if rule.methods else header(":method", exact="OPTIONS", invert=True)
        missing = body("missing_header", f"The header {rule.name!r} is required.", header=rule.name)
        found.append((takes(match, which, header(rule.name, invert=True)), rule.status, missing))
        if rule.pattern is not None:
            bad = body("invalid_header", f"The header {rule.name!r} must match {rule.pattern}.", header=rule.name)
            found.append((takes(match, which, header(rule.name, regex=rule.pattern, invert=True)), rule.status, bad))
    return [answer(name, which, status, text, configs, edits) for which, status, text in found]
