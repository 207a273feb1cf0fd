"""What several commands take: kinds and ids (a shell completes them), durations, `--yes`. Imports nothing heavy."""

import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from gatecast import remote
from tenants.errors import GatecastError, Refused

UNITS: Final[Mapping[str, float]] = MappingProxyType({"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400})
ENOUGH = 100  # ids that a shell is offered

yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def sure(question: str, *, yes: bool) -> None:
    """Ask whoever sits at a terminal; a script is not asked. Raises `Refused` on a no."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not click.confirm(question, err=True):
        raise Refused("nothing was changed")


class Duration(click.ParamType[float]):
    """`500ms`, `30s`, `5m`, `2h`, `90d`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
        if found is None:
            self.fail(f"{value!r} is not a duration, as in 500ms, 30s, 5m, 2h or 90d", param, ctx)
        return float(found[1]) * UNITS[found[2]]


class Kind(click.ParamType[str]):
    """A kind of document, as people write it: `Tenant`, `tenant`, `tenants`. The server knows which there are.

    What follows a slash is an id, and stays as it is: see `parted`.
    """

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, slash, name = str(value).partition("/")
        return f"{kind.lower().removesuffix('s')}{slash}{name}"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _offered(kind for kind in _kinds() if kind.startswith(incomplete.lower()))


class Id(click.ParamType[str]):
    """The id of a document; `kind` is that of all of them, else another argument says it."""

    name = "id"

    def __init__(self, kind: str = "") -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _offered(_ids(ctx, self.kind or str(ctx.params.get("kind") or ""), incomplete))


class Name(click.ParamType[tuple[str, str]]):
    """`KIND/ID`: both, the kind as `Kind` has it."""

    name = "kind/id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        kind, slash, name = str(value).partition("/")
        if not (kind and slash and name):
            self.fail(f"{value!r} is not a document's name, as in tenant/acme", param, ctx)
        return KIND.convert(kind, param, ctx), name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        kind, slash, start = incomplete.partition("/")
        if not slash:
            return _offered(f"{one}/" for one in _kinds() if one.startswith(kind.lower()))
        return _offered(f"{kind}/{one}" for one in _ids(ctx, KIND.convert(kind, param, ctx), start))


def parted(kind: str, id: str | None) -> tuple[str, str | None]:
    """`KIND ID` or `KIND/ID` as kind and id."""
    if id is None and "/" in kind:
        kind, _, id = kind.partition("/")
    return kind, id


DURATION, KIND, ID, NAME = Duration(), Kind(), Id(), Name()


def _kinds() -> list[str]:
    from tenants.documents import KINDS

    return [kind.lower() for kind in KINDS]


def _ids(ctx: click.Context, kind: str, start: str) -> list[str]:
    """Ids that begin so, asked once and briefly: a shell waits for it, and no error may reach its line."""
    shape = {"documents": [{"id": str}]}
    try:
        target = remote.here(*remote.said(ctx)).target
        with closing(remote.Server(target, patience=1.0, pauses=())) as server:
            page = server.get("/api/v1/documents", shape, kind=kind, q=start, limit=ENOUGH)
    except GatecastError:
        return []
    return [one["id"] for one in page["documents"] if one["id"].startswith(start)]


def _offered(texts: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(text) for text in texts]
