"""How a listener finds the tenant of a request: one row for each `tenant.from` of a Gateway. Called by `listeners`.

Envoy picks a tenant's table by a header whose value must equal the scope's key, letter by letter.

- `header`: ids are lower case, so another case is an unknown tenant (404). Of a header given twice Envoy 1.40 reads the
  first value where it chooses the table, is content with any of them where a route matches, and hands on both. So all
  values are joined by a comma before anything else; the first chooses the table, whose first route answers 400.
- `host`: names of hosts know no case. A first filter writes the host in lower case into a header of our own, a second
  has the table chosen anew; the port is cut off where the header is read. What this needs came with Envoy 1.40.
- `claim`: a filter verifies the token (`jwt`), a second writes the claim into a header of our own if it can be the id
  of a tenant, and the table is chosen anew. Without a token it is 401, whatever the path.

Browsers send preflights without any header or token of ours. These get a key that is no tenant's (`preflights`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from google.protobuf.message import Message

from tenants.documents import TenantSelector
from xds import messages
from xds.translate.edits import header
from xds.translate.jwt import CLAIM_SHARD, CLAIMED, TYPE_URL
from xds.translate.matches import ASKS, header_key
from xds.translate.sources import by_ecds
from xds.translate.tokens import claim_value, text_functions

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

HOST_HEADER = "x-gatecast-host"
"""Our own header in host mode. What a client sends under this name is dropped, and services never see it."""

CLAIM_HEADER = "x-gatecast-claim"
"""The same where the tenant comes from a claim."""


def _filled(name: str) -> str:
    return f'"{name}" in request.headers && request.headers["{name}"] != ""'


UNNAMED = "-unnamed"
"""The key of preflights that name no tenant. No tenant has such an id."""


# Of anything but one name and a port, the service could make another tenant's host: such a host is nobody's.
_ONE_HOST = 'request.host.matches("^[^,:]+(:[0-9]*)?$") ? request.host.lowerAscii() : ""'

# Many services believe these more than the host.
_HOSTS = ("forwarded", "x-forwarded-host")

# What Envoy's filters take for a preflight.
_PREFLIGHT = f'request.method == "OPTIONS" && {_filled("origin")} && {_filled(ASKS)}'


@dataclass(frozen=True, slots=True)
class Selection:
    """The header that holds the key, and what ends the key in it.

    `ours`: nobody outside may set the header. `written`: what a filter writes into it, in the language of expressions.
    `verified`: a token is verified before. `gone`: what a service could take for the key. `unnamed`: preflights may
    name no tenant; then `UNNAMED` is their key.
    """

    header: str
    ends: str = ""
    ours: bool = False
    written: str = ""
    verified: bool = False
    gone: tuple[str, ...] = ()
    unnamed: bool = False

    def key_builder(self) -> Message:
        """How Envoy reads the scope's key."""
        extract = HeaderValueExtractor(name=self.header, element_separator=self.ends, index=0)
        return ScopeKeyBuilder(fragments=[FragmentBuilder(header_value_extractor=extract)])

    def early(self) -> list[Message]:
        """What happens before anything else: nobody outside sets our headers. Several hosts Envoy joins by itself."""
        changes = [HeaderMutation(remove=name) for name in (HOST_HEADER, CLAIM_HEADER, *self.gone)]
        if not self.ours and self.header != header_key("host"):
            changes += [HeaderMutation(append=one) for one in (_joined(self.header), _named(self.header))]
        name = "envoy.http.early_header_mutation.header_mutation"
        config = messages.pack(EarlyHeaderMutation(mutations=changes))
        return [TypedExtensionConfig(name=name, typed_config=config)]

    @property
    def late(self) -> bool:
        """Whether a filter finds the table: until then a request has none."""
        return bool(self.written)

    def filters(self) -> list[Message]:
        """The first HTTP filters."""
        token = [HttpFilter(name=CLAIM_SHARD, config_discovery=by_ecds(TYPE_URL))] if self.verified else []
        return [*token, _write(self.header, self.written), _choose_again()] if self.late else []


SELECTIONS: Mapping[str, Callable[[str], Selection]] = MappingProxyType(
    {
        "header": lambda name: Selection(header_key(name), ends=",", unnamed=True),
        "host": lambda _name: Selection(HOST_HEADER, ends=":", ours=True, written=_ONE_HOST, gone=_HOSTS),
        "claim": lambda name: Selection(CLAIM_HEADER, ours=True, written=_an_id(name), verified=True, unnamed=True),
    }
)


@lru_cache(maxsize=64)
def selection(selector: TenantSelector) -> Selection:
    """The row for a gateway's `tenant`."""
    return SELECTIONS[selector.source](selector.name or "")


def _joined(name: str) -> Message:
    return header(name, f'%CEL(request.headers["{name}"])%', "OVERWRITE_IF_EXISTS")


def _named(name: str) -> Message:
    """A preflight without the header gets a key of its own."""
    return header(name, f'%CEL({_PREFLIGHT} ? "{UNNAMED}" : "")%', "ADD_IF_ABSENT")


def _an_id(claim: str) -> str:
    """The claim if it can be a tenant's id; nothing if it is anything else, or no text, or absent.

    A preflight is let past the filter that verifies (`jwt.shard`), so it has no claims.
    """
    value = claim_value(CLAIMED, claim)
    return f'{_PREFLIGHT} ? "{UNNAMED}" : {value}.matches("^[a-z0-9][a-z0-9-]*$") ? {value} : ""'


def _write(name: str, expression: str) -> Message:
    value = header(name, f"%CEL({expression})%", "OVERWRITE_IF_EXISTS_OR_ADD")
    mutations = Mutations(
        request_mutations=[HeaderMutation(append=value)],
        formatters=[text_functions()],
    )
    return _filter("envoy.filters.http.header_mutation", HeaderMutationFilter(mutations=mutations))


def _choose_again() -> Message:
    return _filter("envoy.filters.http.set_filter_state", SetFilterState(clear_route_cache=True))


def _filter(name: str, config: Message) -> Message:
    return HttpFilter(name=name, typed_config=messages.pack(config))
