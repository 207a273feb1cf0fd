"""Which requests a route takes, in Envoy's words. Called by `routes` and `answers`."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from tenants.paths import HeaderMatch, Match
from xds import messages

RouteMatch = messages.message("envoy.config.route.v3.RouteMatch")
HeaderMatcher = messages.message("envoy.config.route.v3.HeaderMatcher")
StringMatcher = messages.message("envoy.type.matcher.v3.StringMatcher")
RegexMatcher = messages.message("envoy.type.matcher.v3.RegexMatcher")


ASKS = "access-control-request-method"


def header_key(name: str) -> str:
    """The name under which Envoy keeps a header: the host is `:authority` in every version of HTTP."""
    return ":authority" if name == "host" else name


def text_matcher(exact: str | None = None, regex: str | None = None, prefix: str | None = None) -> Message:
    """One way of comparing a text; a regex must match the whole."""
    if regex is not None:
        return StringMatcher(safe_regex=RegexMatcher(regex=regex))
    return StringMatcher(prefix=prefix) if prefix else StringMatcher(exact=exact)


def header(name: str, *, invert: bool = False, **text: str | None) -> Message:
    """A condition on a header: present, or (with `exact`, `regex` or `prefix`) of this form. `invert`: the opposite.

    Of a header given more than once one value suffices (Envoy 1.40).
    """
    name = header_key(name)
    if any(value is not None for value in text.values()):
        return HeaderMatcher(name=name, string_match=text_matcher(**text), invert_match=invert)
    return HeaderMatcher(name=name, present_match=True, invert_match=invert)


def methods(names: Iterable[str]) -> Message:
    """Any of these methods."""
    found = tuple(names)
    return header(":method", exact=found[0]) if len(found) == 1 else header(":method", regex="|".join(found))


def conditions(match: Match) -> list[Message]:
    """The methods and headers of a route's match."""
    found = [methods(match.methods)] if match.methods else []
    return found + [_condition(name, one) for name, one in match.headers]


def _condition(name: str, match: HeaderMatch) -> Message:
    if match.present is not None:
        return header(name, invert=not match.present)
    return header(name, exact=match.exact, regex=match.regex, prefix=match.prefix or None)


def path(match: Match) -> Mapping[str, Any]:
    """The path as fields of a RouteMatch; `/api` takes /api and /api/x and not /apis."""
    if match.path is not None:
        return {"path": match.path}
    if match.regex is not None:
        return {"safe_regex": RegexMatcher(regex=match.regex)}
    prefix = match.prefix or "/"
    return {"prefix": prefix} if prefix.endswith("/") else {"path_separated_prefix": prefix}


@lru_cache(maxsize=4096)
def taken(match: Match) -> Message:
    """The route's match."""
    return takes(match)


def takes(match: Match, *more: Message) -> Message:
    """The route's match with further conditions."""
    return RouteMatch(**path(match), headers=[*conditions(match), *more])


def preflights(match: Match) -> Message:
    """The CORS preflights for what the route takes. They carry none of the headers that the real request will carry."""
    wanted = [header(ASKS, regex="|".join(match.methods))] if match.methods else filled(ASKS)
    return RouteMatch(**path(match), headers=[header(":method", exact="OPTIONS"), *filled("origin"), *wanted])


def filled(name: str) -> list[Message]:
    """The header is there and says something. To Envoy's CORS filter one that is empty is none."""
    return [header(name), header(name, exact="", invert=True)]


def everything(*conditions: Message) -> Message:
    """Any path."""
    return RouteMatch(prefix="/", headers=conditions)
