"""Routes of the settings documents: read one, read many, put, patch, delete, and many in one revision.

A write says what it changes (`If-Match`), and is live on proxies before it is answered.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gatecast.answers import answer
from gatecast.faults import Error
from gatecast.http import asking
from gatecast.http.asking import Body, Cursor, DryRun, Force, Limit, Reason
from gatecast.http.described import (
    MERGE_BODY,
    PRECONDITION,
    PRECONDITIONS,
    PUT_BODY,
    READ,
    WRITE,
    keyed,
    sent,
)
from gatecast.http.written import Commits, Written, commit_answer, replayed, shown
from gatecast.ledger import Ledger
from gatecast.views import View
from tenants.documents import Key
from tenants.store import Expected, Stored, Write, canonical, etag, owner, redacted

CONDITIONS: Final = {**WRITE, **PRECONDITIONS}


class DocumentView(View):
    """A document as stored. `etag` is its version, `revision` touched it last, `source` says who gives it."""

    kind: str
    id: str
    etag: str
    revision: int
    source: str
    pinned: bool
    document: dict[str, Any]


class Documents(View):
    """A page of documents, by kind and id."""

    documents: tuple[DocumentView, ...]
    next_cursor: str | None = None


class Apply(Body):
    """Documents for one revision: all of them, or none."""

    documents: Annotated[list[dict[str, Any]], Field(max_length=100_000)]


def routes(ledger: Commits) -> APIRouter:
    """The routes, on this ledger."""
    router = APIRouter(tags=["documents"])
    _reading(router, ledger)
    _putting(router, ledger)
    _patching(router, ledger)
    _deleting(router, ledger)
    _applying(router, ledger)
    return router


def view(stored: Stored, role: str) -> DocumentView:
    """A viewer is not shown values that are secrets."""
    body = redacted(stored.body) if role == "viewer" else stored.body
    return DocumentView(
        kind=stored.key.kind, id=stored.key.id, etag=stored.etag, revision=stored.revision, source=stored.source,
        pinned=stored.pinned, document=body,
    )  # fmt: skip


def _reading(router: APIRouter, ledger: Commits) -> None:
    @router.get("/documents", response_model=Documents, responses=READ)
    async def documents(
        request: Request, limit: Limit = 100, cursor: Cursor = "", kind: str = "", organisation: str = "", q: str = ""
    ) -> Response:
        """Documents by kind and id; `kind`, `organisation` and `q` (a part of the id) narrow the list."""
        known = asking.key_of(kind, "any").kind if kind else ""
        after = asking.place(cursor, str, str)
        store, role = ledger().store, asking.who(request).role
        found = await store.documents(
            kind=known, organisation=organisation, part=q, after=Key(*after) if after else None, limit=limit + 1
        )
        more = asking.cursor(*found[limit - 1].key) if len(found) > limit else None
        return answer(Documents(documents=tuple(view(one, role) for one in found[:limit]), next_cursor=more))

    @router.get("/documents/{kind}/{id}", response_model=DocumentView, responses={**READ, **sent(304, "not changed")})
    async def document(request: Request, kind: str, id: str) -> Response:
        """One document; `If-None-Match` answers 304 if it is still that version."""
        stored = await ledger().store.document(asking.key_of(kind, id))
        headers = {**asking.quoted(stored.etag), "vary": "authorization"}
        if asking.same(request, stored.etag):
            return Response(status_code=304, headers=headers)
        return answer(view(stored, asking.who(request).role), 200, headers)


def _putting(router: APIRouter, ledger: Commits) -> None:
    @router.put(
        "/documents/{kind}/{id}", response_model=Written, responses={**CONDITIONS, **sent(201, "created", Written)},
        openapi_extra=PUT_BODY,
    )  # fmt: skip
    async def put(
        request: Request, kind: str, id: str, dry_run: DryRun = False, force: Force = False, reason: Reason = ""
    ) -> Response:
        """Put a document: over the version of `If-Match`, or as a new one with `If-None-Match: *`."""
        key = asking.key_of(kind, id)
        expected = asking.expected(request, create=True)
        write = _put(key, await asking.body(request, asking.ONE), expected)
        done = await ledger().write([write], asking.by(request, reason), force=force, dry_run=dry_run)
        made = any(one.what == "created" for one in done.changes) and not dry_run
        headers = asking.quoted(etag(write.text or "")) | ({"location": request.url.path} if made else {})
        return answer(shown(done, dry_run=dry_run), 201 if made else 200, {} if dry_run else headers)


def _patching(router: APIRouter, ledger: Commits) -> None:
    @router.patch(
        "/documents/{kind}/{id}", response_model=Written, responses=CONDITIONS, openapi_extra=MERGE_BODY
    )  # fmt: skip
    async def patch(
        request: Request, kind: str, id: str, dry_run: DryRun = False, force: Force = False, reason: Reason = ""
    ) -> Response:
        """Change a document by a JSON Merge Patch (RFC 7396): null takes a field away."""
        key = asking.key_of(kind, id)
        expected = asking.expected(request, create=False)
        change = await asking.body(request, asking.ONE, asking.MERGE)
        before = await ledger().store.document(key)
        exactly = Expected((before.etag,)) if expected.holds(before.etag) else expected
        write = _put(key, asking.merged(before.body, change), exactly)
        done = await ledger().write([write], asking.by(request, reason), force=force, dry_run=dry_run)
        return answer(shown(done, dry_run=dry_run), 200, {} if dry_run else asking.quoted(etag(write.text or "")))


def _deleting(router: APIRouter, ledger: Commits) -> None:
    @router.delete("/documents/{kind}/{id}", response_model=Written, responses=CONDITIONS, openapi_extra=PRECONDITION)
    async def delete(
        request: Request, kind: str, id: str, dry_run: DryRun = False, force: Force = False, reason: Reason = ""
    ) -> Response:
        """Delete the version of `If-Match`. What a file or registry gives is pinned, or it would come back."""
        key = asking.key_of(kind, id)
        expected = asking.expected(request, create=False)
        await ledger().store.document(key)
        write = Write.delete(key, expected)
        done = await ledger().write([write], asking.by(request, reason), force=force, dry_run=dry_run)
        return answer(shown(done, dry_run=dry_run))


def _put(key: Key, body: Any, expected: Expected | None) -> Write:
    """A document for the name of the path, which it need not repeat. Raises 422."""
    if not isinstance(body, dict):
        raise Error(422, "invalid_body", f'a document is an object of fields, as in {{"kind": "{key.kind}"}}')
    whole = {"kind": key.kind, "id": key.id, **body}
    if (whole["kind"], whole["id"]) != tuple(key):
        raise Error(422, "invalid_body", f"the body is not {key}: leave out kind and id, or say the same as the path")
    return Write(key, canonical(whole), expected)


def _applying(router: APIRouter, ledger: Commits) -> None:
    @router.post("/documents:apply", response_model=Written, responses=WRITE, openapi_extra=keyed(Apply))
    async def apply(
        request: Request, dry_run: DryRun = False, force: Force = False, reason: Reason = "",
        prune: Annotated[bool, Query(description="delete what operators gave and the body does not name")] = False,
        if_revision: Annotated[int | None, Query(ge=0, le=asking.MOST, description="the newest revision")] = None,
    ) -> Response:  # fmt: skip
        """Many documents in one revision, all or nothing."""
        said = await asking.modelled(request, Apply, asking.LARGEST)
        if prune and not said.documents:
            raise Error(422, "invalid_body", "documents: none are given, and prune would delete everything")
        writes = [Write.put(one) for one in said.documents]
        here = ledger()
        if prune:
            if_revision, gone = await _others(here, frozenset(write.key for write in writes), if_revision)
            writes += gone
        done = await here.write(
            writes, asking.by(request, reason), if_revision=if_revision, force=force, dry_run=dry_run,
            once=asking.once(request, said.documents, commit_answer),
        )  # fmt: skip
        return replayed(done.answer) if done.replayed and done.answer else answer(shown(done, dry_run=dry_run))


async def _others(ledger: Ledger, kept: frozenset[Key], revision: int | None) -> tuple[int, list[Write]]:
    """Deletions of what else operators gave, and the revision they were decided at."""
    now = await ledger.store.current()
    others = (one.key for one in now.documents if owner(one.source) == "operator" and one.key not in kept)
    return now.revision if revision is None else revision, [Write.delete(key) for key in others]
