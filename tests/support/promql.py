"""The names in a PromQL expression: enough of a reader to hold rules and dashboards against what is exposed.

    found = promql.read('sum by (kind) (rate(gatecast_xds_nacks_total{kind!="RDS"}[5m]))')
    found.series[0].name, found.series[0].values["kind"], found.groups, found.aggregates

What it does not know it takes for the name of a series, so that a test finds it. Syntax is promtool's to judge.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TOKEN = re.compile(r'"(?P<text>[^"]*)"|(?P<number>\d[\w.]*)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>[=!]~|[!=]=|\S)')
AGGREGATORS = frozenset({"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"})
FUNCTIONS = frozenset(
    {"absent", "deriv", "histogram_quantile", "increase", "rate", "time", "vector", "max_over_time", "changes"}
)
GROUPS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
WORDS = frozenset({"and", "or", "unless", "offset", "bool"})


@dataclass(frozen=True, slots=True)
class Series:
    """A selector. `values`: by label, what a matcher names; a regular expression is split at its bars."""

    name: str
    values: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Names:
    """`groups`: labels that are grouped by. `aggregates`: whether other labels are lost."""

    series: tuple[Series, ...]
    groups: frozenset[str]
    aggregates: bool


def read(expression: str) -> Names:
    """The names in the expression."""
    tokens = list(TOKEN.finditer(re.sub(r"\[[^\]]*\]", "", expression)))
    series, groups, aggregates = list[Series](), set[str](), False
    rest = iter(tokens)
    for token in rest:
        name, following = token["name"], _after(tokens, token)
        if not name or name in WORDS or (name in FUNCTIONS and following == "("):
            continue
        if name in AGGREGATORS:
            aggregates = True
        elif name in GROUPS:
            groups |= {one["name"] for one in _until(rest, ")") if one["name"]}
        else:
            series.append(Series(name, _matchers(list(_until(rest, "}"))) if following == "{" else {}))
    return Names(tuple(series), frozenset(groups), aggregates)


def _after(tokens: list[re.Match[str]], token: re.Match[str]) -> str:
    place = tokens.index(token) + 1
    return tokens[place][0] if place < len(tokens) else ""


def _until(rest: Iterator[re.Match[str]], end: str) -> Iterator[re.Match[str]]:
    for token in rest:
        if token[0] == end:
            return
        yield token


def _matchers(tokens: list[re.Match[str]]) -> dict[str, frozenset[str]]:
    labels = [token["name"] for token in tokens if token["name"]]
    texts = [token["text"] for token in tokens if token["text"] is not None]
    return {label: frozenset(text.split("|")) for label, text in zip(labels, texts, strict=True)}
