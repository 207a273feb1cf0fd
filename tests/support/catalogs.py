"""Catalogs from YAML text, for tests of every floor: `from catalogs import BASE, catalog, changes`."""

from tenants.catalog import Catalog, Changes
from tenants.errors import Problem
from tenants.reading import read

BASE = """
kind: Gateway
id: edge
listeners: [{name: public, port: 8080}]
policies: {rate_limit: {requests: 100, per: second}}
---
kind: Service
id: orders
endpoints: ["10.0.0.1:80"]
---
kind: Service
id: orders-next
endpoints: ["10.0.0.2:80"]
---
kind: Route
id: orders
match: {prefix: /api/orders}
service: orders
---
kind: Organisation
id: foods
"""


def changes(text: str, file: str = "a.yaml") -> Changes:
    """What a source says when it reads this text as that file."""
    reading = read(text, file)
    return Changes(put=reading.documents, broken=reading.problems, read=frozenset({file}))


def catalog(*texts: str) -> Catalog:
    """A catalog that was given these texts one after the other, as files a.yaml, b.yaml and so on."""
    made = Catalog.empty()
    for index, text in enumerate(texts):
        made = made.apply(changes(text, f"{chr(ord('a') + index)}.yaml")).catalog
    return made


def places(problems: tuple[Problem, ...]) -> list[tuple[str, str, int]]:
    """Code, path and line of each."""
    return [(problem.code, problem.path, problem.line) for problem in problems]
