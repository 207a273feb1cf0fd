"""How a listener finds the tenant of a request: one row for each `tenant.from` of a Gateway. Called by `listeners`.

Envoy picks a tenant's table by a header whose value must equal the scope's key, letter by letter.

- `header`: ids are lower case, so another case is an unknown tenant (404).
- `host`: names of hosts know no case. A first filter writes the host in lower case into a header of our own, a second
  has the table chosen anew; the port is cut off where the header is read. What this needs came with Envoy 1.40.
- `claim`: comes with issue 3; until then no request names a tenant, and every answer is 404.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from google.protobuf.message import Message

from tenants.documents import TenantSelector
from xds import messages
from xds.translate.edits import header

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
_MUTATION = "envoy.extensions.filters.http.header_mutation.v3."
ScopeKeyBuilder = messages.message(_HCM + "ScopedRoutes.ScopeKeyBuilder")
FragmentBuilder = messages.message(_HCM + "ScopedRoutes.ScopeKeyBuilder.FragmentBuilder")
HeaderValueExtractor = messages.message(_HCM + "ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor")
HttpFilter = messages.message(_HCM + "HttpFilter")
HeaderMutationFilter = messages.message(_MUTATION + "HeaderMutation")
Mutations = messages.message(_MUTATION + "Mutations")
HeaderMutation = messages.message("envoy.config.common.mutation_rules.v3.HeaderMutation")
EarlyHeaderMutation = messages.message("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation")
SetFilterState = messages.message("envoy.extensions.filters.http.set_filter_state.v3.Config")
TypedExtensionConfig = messages.message("envoy.config.core.v3.TypedExtensionConfig")
Cel = messages.message("envoy.extensions.formatter.cel.v3.Cel")
CelExpressionConfig = messages.message("envoy.config.core.v3.CelExpressionConfig")

HOST_HEADER = "x-gatecast-host"
"""Our own header in host mode. What a client sends under this name is dropped, and services never see it."""

CLAIM_HEADER = "x-gatecast-claim"


@dataclass(frozen=True, slots=True)
class Selection:
    """The header that holds the key, what ends the key in it, headers nobody outside may set, and first filters."""

    header: str
    ends: str = ""
    forbidden: tuple[str, ...] = ()
    lower_case: bool = False

    def key_builder(self) -> Message:
        """How Envoy reads the scope's key."""
        extract = HeaderValueExtractor(name=self.header, element_separator=self.ends, index=0)
        return ScopeKeyBuilder(fragments=[FragmentBuilder(header_value_extractor=extract)])

    def early(self) -> list[Message]:
        """What happens to the headers before anything else."""
        if not self.forbidden:
            return []
        dropped = EarlyHeaderMutation(mutations=[HeaderMutation(remove=name) for name in self.forbidden])
        name = "envoy.http.early_header_mutation.header_mutation"
        return [TypedExtensionConfig(name=name, typed_config=messages.pack(dropped))]

    def filters(self) -> list[Message]:
        """The first HTTP filters."""
        return [_lower_case_host(), _choose_again()] if self.lower_case else []


SELECTIONS: Mapping[str, Selection] = MappingProxyType(
    {
        "host": Selection(HOST_HEADER, ends=":", forbidden=(HOST_HEADER,), lower_case=True),
        "claim": Selection(CLAIM_HEADER, forbidden=(CLAIM_HEADER,)),
    }
)


def selection(selector: TenantSelector) -> Selection:
    """The row for a gateway's `tenant`."""
    return SELECTIONS.get(selector.source) or Selection(selector.name or "")


def _lower_case_host() -> Message:
    functions = messages.pack(Cel(cel_config=CelExpressionConfig(enable_string_functions=True)))
    host = header(HOST_HEADER, "%CEL(request.host.lowerAscii())%", "OVERWRITE_IF_EXISTS_OR_ADD")
    mutations = Mutations(
        request_mutations=[HeaderMutation(append=host)],
        formatters=[TypedExtensionConfig(name="envoy.formatter.cel", typed_config=functions)],
    )
    return _filter("envoy.filters.http.header_mutation", HeaderMutationFilter(mutations=mutations))


def _choose_again() -> Message:
    return _filter("envoy.filters.http.set_filter_state", SetFilterState(clear_route_cache=True))


def _filter(name: str, config: Message) -> Message:
    return HttpFilter(name=name, typed_config=messages.pack(config))
