"""`gatecast set`: fields of one document."""

from typing import Any

import click

from gatecast import output, remote, writing
from gatecast.commands.get import document
from gatecast.exits import Usage
from gatecast.parameters import NAME
from gatecast.remote import Server, segment
from gatecast.writing import How


@click.command("set")
@click.argument("name", type=NAME, metavar="KIND/ID")
@click.argument("fields", nargs=-1, required=True, metavar="PATH=VALUE...")
@writing.options
@remote.server
@output.option()
def command(name: tuple[str, str], fields: tuple[str, ...], how: How, server: Server, output: str) -> int:
    """Change fields of one document: gatecast set tenant/acme policies.rate_limit.requests=600

    A VALUE is YAML; an empty one takes the field away. A list is given as a whole: hosts='[a.example, b.example]'
    """
    kind, id = name
    patch = merged([assignment(one) for one in fields])
    etag = f'"{document(server, kind, id)["etag"]}"'
    path = f"/api/v1/documents/{segment(kind)}/{segment(id)}"
    written = server.send("PATCH", path, writing.WRITTEN, patch, etag=etag, **how.query)
    return writing.finish(server, written, how, output)


def assignment(text: str) -> tuple[list[str], Any]:
    """`a.b=5` as the names on the way and the value; None takes away. Raises `Usage`."""
    from tenants.parsing import documents

    path, sign, value = text.partition("=")
    names = path.strip().split(".")
    if not sign or not all(names):
        raise Usage(f"{text!r} is not PATH=VALUE, as in policies.rate_limit.requests=600")
    if "[" in path:
        raise Usage(f"{path!r}: a list is replaced as a whole, as in {path.partition('[')[0]}='[one, two]'")
    try:
        found = documents(value)
    except (ValueError, _yaml_error()) as error:
        raise Usage(f"{path}: {value!r} is not YAML: {getattr(error, 'problem', None) or error}") from None
    if len(found) > 1 or (found and found[0].faults):
        raise Usage(f"{path}: {value!r} is not one plain value")
    return names, found[0].value if found else None


def _yaml_error() -> type[Exception]:
    import yaml

    return yaml.YAMLError


def merged(assignments: list[tuple[list[str], Any]]) -> dict[str, Any]:
    """All of them as one JSON Merge Patch. Raises `Usage` where two say different things of one field."""
    patch: dict[str, Any] = {}
    for names, value in assignments:
        inner = patch
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise Usage(f"{'.'.join(names)} is given twice: once as a whole, once in part")
        if names[-1] in inner:
            raise Usage(f"{'.'.join(names)} is given twice")
        inner[names[-1]] = value
    return patch
