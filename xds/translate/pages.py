"""What pages of other origins may read of the answers that routes give themselves. Called by `routes` and `filters`.

Envoy's CORS filter passes over such routes. So ahead of each stands its like for requests of the origins that are
listed, and a filter tells browsers there what that one would, also where a guard refuses before the route can answer.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from google.protobuf.message import Message

from tenants.policies import Cors
from tenants.values import MAX_PROGRAM
from xds import messages
from xds.translate import matches
from xds.translate.edits import header

_MUTATION = "envoy.extensions.filters.http.header_mutation.v3."
Route = messages.message("envoy.config.route.v3.Route")
RouteMatch = messages.message("envoy.config.route.v3.RouteMatch")
HeaderMutation = messages.message("envoy.config.common.mutation_rules.v3.HeaderMutation")
HeaderMutationFilter = messages.message(_MUTATION + "HeaderMutation")
HeaderMutationPerRoute = messages.message(_MUTATION + "HeaderMutationPerRoute")
Mutations = messages.message(_MUTATION + "Mutations")

PAGES = "gatecast.pages"
"""The filter that tells browsers."""


def pages() -> Message:
    """That filter, where no route says anything."""
    return HeaderMutationFilter()


def readable(answers: Iterable[Message], policy: Cors | None) -> tuple[Message, ...]:
    """The routes that answer, each behind those of which pages may read the same."""
    if policy is None:
        return tuple(answers)
    origins, told = _listed(policy.origins), Route(typed_per_filter_config={PAGES: _told(policy)})
    return tuple(one for plain in answers for one in (*(_like(plain, origin, told) for origin in origins), plain))


def _like(plain: Message, origin: Message, told: Message) -> Message:
    made = Route(match=RouteMatch(headers=[origin]))
    made.MergeFrom(plain)
    made.MergeFrom(told)
    return made


@lru_cache(maxsize=4096)
def _listed(origins: tuple[str, ...]) -> tuple[Message, ...]:
    """Conditions of which one holds for a request of a listed origin: few, for each has routes of its own."""
    if "*" in origins:
        return (matches.header("origin"),)
    patterns = [one.removeprefix("regex:") for one in origins if one.startswith("regex:")]
    exact = [re.escape(one) for one in origins if not one.startswith("regex:")]
    return tuple(matches.header("origin", regex=text) for text in (*_together(exact), *patterns))


def _together(texts: Iterable[str]) -> Iterator[str]:
    """As few expressions as proxies take: an instruction for each byte, and a few for each text."""
    some, size = list[str](), 0
    for text in texts:
        cost = len(text.encode()) + 4
        if some and size + cost > MAX_PROGRAM:
            yield "|".join(some)
            some, size = [], 0
        some.append(text)
        size += cost
    if some:
        yield "|".join(some)


@lru_cache(maxsize=4096)
def _told(policy: Cors) -> Message:
    """What a browser must be told before a page may read an answer."""
    said = {
        "access-control-allow-origin": "%REQ(origin)%",
        "access-control-allow-credentials": "true" if policy.credentials else "",
        "access-control-expose-headers": ", ".join(policy.expose),
    }
    put = [header(name, value, "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in said.items() if value]
    put.append(header("vary", "origin", "ADD_IF_ABSENT"))  # the route says so too, and not for a guard
    mutations = Mutations(response_mutations=[HeaderMutation(append=one) for one in put])
    return messages.pack(HeaderMutationPerRoute(mutations=mutations))
