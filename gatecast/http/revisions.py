"""Routes of history: revisions, what they changed, the way back, and who has them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from gatecast.answers import answer
from gatecast.http import asking
from gatecast.http.asking import Body, Cursor, DryRun, Limit, Number
from gatecast.http.described import READ, WRITE, fails, keyed, sent
from gatecast.http.written import Commits, ResourceChangeView, Written, commit_answer, replayed, resource_view, shown
from gatecast.ledger import Ledger
from gatecast.resource_diffs import ResourceChange, resource_changes
from gatecast.rollouts import Rollout
from gatecast.views import View
from tenants.catalog import Catalog
from tenants.sources import stored
from tenants.store import Change, Documents, Revision, diffs
from xds.builder import Builder

Wait = Annotated[str, Query(max_length=20, description="how long to wait for all clients, as in 30s; at most 60s")]


class RevisionView(View):
    """One revision: who made it, when, why, and how many documents it touched. `restores`: it went back to that one."""

    number: int
    at: str
    author: str
    source: str
    reason: str
    request_id: str
    restores: int | None
    created: int
    changed: int
    deleted: int


class Revisions(View):
    """A page of revisions, newest first."""

    revisions: tuple[RevisionView, ...]
    next_cursor: str | None = None


class Differences(View):
    """What leads from one revision to another: documents field by field, and resources of proxies by name."""

    before: int
    after: int
    documents: tuple[dict[str, Any], ...]
    resources: tuple[ResourceChangeView, ...]


class RevisionDetail(RevisionView):
    """One revision and what it did to documents."""

    documents: tuple[dict[str, Any], ...]


class Restore(Body):
    """Why one goes back; and the revision that is thought to be the newest one."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    if_revision: Annotated[int, Field(ge=0, le=asking.MOST)] | None = None


class ClientRollout(View):
    """One client: it has the revision, or it is pending, or it refused, for which `detail` has the reason."""

    client: str
    node: str
    gateway: str
    state: str
    detail: str


class RolloutView(View):
    """Which clients have a revision. `done`: all have it."""

    revision: int
    done: bool
    has: int
    pending: int
    refused: int
    clients: tuple[ClientRollout, ...]


def routes(ledger: Commits) -> APIRouter:
    """Of this ledger."""
    router = APIRouter(tags=["revisions"])
    _history(router, ledger)
    _rollouts(router, ledger)

    @router.post(
        "/revisions/{number:int}:restore", response_model=Written, responses=WRITE, openapi_extra=keyed(Restore)
    )
    async def restore(request: Request, number: Number, dry_run: DryRun = False) -> Response:
        """Make what was at a revision the newest one. Files and registries are kept from writing it over (pins)."""
        said = await asking.modelled(request, Restore)
        key = asking.once(request, said.model_dump(), commit_answer)
        who = asking.by(request, said.reason)
        done = await ledger().restore(number, who, if_revision=said.if_revision, dry_run=dry_run, once=key)
        return replayed(done.answer) if done.replayed and done.answer else answer(shown(done, dry_run=dry_run))

    return router


def _history(router: APIRouter, ledger: Commits) -> None:
    @router.get("/revisions", response_model=Revisions, responses=READ)
    async def revisions(
        limit: Limit = 100, cursor: Cursor = "", author: str = "", kind: str = "", id: str = ""
    ) -> Response:
        """Kept revisions, newest first; of an author, or those that touched the document `kind` and `id`."""
        key = asking.key_of(kind, id) if kind or id else None
        (before,) = asking.place(cursor, int) or (None,)
        found = await ledger().store.revisions(before=before, limit=limit + 1, key=key, author=author)
        more = asking.cursor(found[limit - 1].number) if len(found) > limit else None
        return answer(Revisions(revisions=tuple(map(revision_view, found[:limit])), next_cursor=more))

    @router.get("/revisions/{number:int}", response_model=RevisionDetail, responses=READ)
    async def revision(number: Number) -> Response:
        """One revision and what it did to documents, field by field; secrets are hidden."""
        made, changes = await ledger().store.changes(number)
        documents = tuple(one.as_json() for one in diffs(changes))
        return answer(RevisionDetail(**revision_view(made).model_dump(), documents=documents))

    @router.get("/revisions/{one:int}/diff/{other:int}", response_model=Differences, responses=READ)
    async def diff(
        one: Number, other: Annotated[int, Path(ge=0, le=asking.MOST)],
        resources: Annotated[bool, Query(description="translate both, and compare what proxies would hold")] = True,
    ) -> Response:  # fmt: skip
        """What leads from one revision to another, either way."""
        here = ledger()
        changes = await here.store.diff(one, other)
        found = await _resources(here, one, changes) if resources and changes else ()
        documents = tuple(each.as_json() for each in diffs(changes))
        shown = tuple(map(resource_view, found))
        return answer(Differences(before=one, after=other, documents=documents, resources=shown))


def revision_view(one: Revision) -> RevisionView:
    """A revision with all its parts."""
    return RevisionView(**{name: getattr(one, name) for name in RevisionView.model_fields})


async def _resources(ledger: Ledger, number: int, changes: tuple[Change, ...]) -> tuple[ResourceChange, ...]:
    """What the changes come to for proxies that hold what was at this revision, with today's keys and secrets."""
    then = await ledger.store.at(number)
    catalog = await asyncio.to_thread(_catalog, then)
    step = await asyncio.to_thread(catalog.apply, stored.changed(changes))
    builder, supplies = Builder(), ledger.plane.supplies
    await asyncio.to_thread(builder.update, catalog, step.touched, supplies)
    return await resource_changes(builder, step, supplies)


def _catalog(then: Documents) -> Catalog:
    return Catalog.empty().apply(stored.changes(then.documents)).catalog


def _rollouts(router: APIRouter, ledger: Commits) -> None:
    @router.get(
        "/revisions/{number:int}/rollout", response_model=RolloutView,
        responses={**fails(404), **sent(202, "not all clients have it yet", RolloutView)},
    )  # fmt: skip
    async def rollout(number: Number, wait: Wait = "0s") -> Response:
        """Which clients have a revision: 200 if all have it, else 202, after `wait`."""
        within = asking.seconds(wait)
        here = ledger()
        if number > here.revision:
            await here.store.changes(number)  # raises 404 where there is none
        found = await here.rolled_out(number, within) if within else here.rollout(number)
        return answer(_rollout(found), 200 if found.done else 202)


def _rollout(found: Rollout) -> RolloutView:
    counts = {state: sum(one.state == state for one in found.clients) for state in ("has", "pending", "refused")}
    clients = tuple(
        ClientRollout(client=str(one.client), node=one.node, gateway=one.gateway, state=one.state, detail=one.detail)
        for one in found.clients
    )
    return RolloutView(revision=found.revision, done=found.done, **counts, clients=clients)
