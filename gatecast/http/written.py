"""What a write came to, as it is shown. Called by the routes that write."""

from collections.abc import Callable, Collection
from typing import Any

from fastapi import Response

from gatecast.ledger import Ledger
from gatecast.outcomes import Outcome
from gatecast.resource_diffs import ResourceChange
from gatecast.views import ProblemView, View, problem_view
from tenants.documents import Key
from tenants.store import Answer, Change, Commit, KeptOut, diffs

Commits = Callable[[], Ledger]
"""The ledger; raises `Error` where this server has no store."""


class ChangeView(View):
    """One document that changed. `etag` is its version now; `fields` are given where nothing was written yet.

    `pinned`: from now on files and registries may not write it, until it is unpinned.
    """

    kind: str
    id: str
    change: str
    etag: str = ""
    pinned: bool = False
    fields: tuple[dict[str, Any], ...] = ()


class KeptOutView(View):
    """A document that was not written: it is pinned, or belongs to `owner`."""

    kind: str
    id: str
    why: str
    owner: str


class ResourceChangeView(View):
    """A resource of a gateway that would change."""

    gateway: str
    type: str
    name: str
    change: str
    tenant: str


class Written(View):
    """What a write came to. `revision` is the newest one, also where nothing was new (`made` is false).

    With `dry_run` nothing was written: `changes` have their fields, `resources` are what proxies would be sent, and
    `problems` what would be wrong.
    """

    revision: int
    made: bool
    dry_run: bool = False
    changes: tuple[ChangeView, ...] = ()
    kept_out: tuple[KeptOutView, ...] = ()
    problems: tuple[ProblemView, ...] = ()
    resources: tuple[ResourceChangeView, ...] = ()


def shown(done: Outcome, *, dry_run: bool) -> Written:
    """An outcome of the ledger."""
    plain = _written(done)
    if not dry_run:
        return plain
    by_key = {one.key: tuple(field.as_json() for field in one.fields) for one in diffs(done.changes)}
    changes = tuple(_change(one, done.pinned, by_key[one.key]) for one in done.changes)
    resources = tuple(map(resource_view, done.resources or ()))
    problems = tuple(problem_view(one) for one in done.problems)
    more = {"dry_run": True, "changes": changes, "resources": resources, "problems": problems}
    return plain.model_copy(update=more)


def resource_view(one: ResourceChange) -> ResourceChangeView:
    """A resource that would change."""
    return ResourceChangeView(
        gateway=one.gateway, type=one.kind, name=one.name, change=one.what, tenant=one.tenant
    )  # fmt: skip


def commit_answer(done: Commit) -> Answer:
    """The answer that is kept with an Idempotency-Key: the same that is given without one."""
    return Answer(200, _written(done).model_dump_json())


def replayed(first: Answer) -> Response:
    """The first answer once more."""
    headers = {"idempotency-replayed": "true"}
    return Response(first.body, first.status, headers, media_type="application/json")


def _written(done: Outcome | Commit) -> Written:
    return Written(
        revision=done.revision,
        made=done.made,
        changes=tuple(_change(one, done.pinned) for one in done.changes),
        kept_out=tuple(map(_kept_out, done.kept_out)),
    )


def _kept_out(one: KeptOut) -> KeptOutView:
    return KeptOutView(kind=one.key.kind, id=one.key.id, why=one.why, owner=one.owner)


def _change(change: Change, pinned: Collection[Key], fields: tuple[dict[str, Any], ...] = ()) -> ChangeView:
    version = change.after.etag if change.after else ""
    return ChangeView(
        kind=change.key.kind, id=change.key.id, change=change.what, etag=version, pinned=change.key in pinned,
        fields=fields,
    )  # fmt: skip
