"""Routes for administrators: the audit, and tokens."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from gatecast.answers import answer
from gatecast.http import asking
from gatecast.http.asking import Body, Cursor, Limit
from gatecast.http.described import READ, WRITE, fails, keyed
from gatecast.http.written import Commits, replayed
from gatecast.views import View
from tenants.store import Answer, Entry, Head, Once, Token

DAYS: Final = 3650
"""The longest that a token lives."""
LINES: Final = "application/x-ndjson"


class EntryView(View):
    """One entry of the audit: who did what to what, when, from where, why, and what came of it."""

    seq: int
    at: str
    actor: str
    action: str
    target: str
    source: str
    origin: str
    reason: str
    request_id: str
    outcome: str
    revision: int | None
    details: dict[str, Any]
    previous: str
    hash: str


class AuditPage(View):
    """A page of the audit, newest first."""

    entries: tuple[EntryView, ...]
    next_cursor: str | None = None


class VerdictView(View):
    """What a check of the chain came to. Note `seq` and `hash` elsewhere: with them the next check finds more."""

    whole: bool
    entries: int
    seq: int
    hash: str
    problems: tuple[str, ...]


class TokenView(View):
    """A token without its secret. Times are RFC 3339; null: never."""

    id: str
    name: str
    role: str
    author: str
    created: str
    expires: str | None
    revoked: str | None
    used: str | None


class NewToken(TokenView):
    """A token just made. `token` is shown this once; null where the answer is a repeated one."""

    token: str | None


class TokenPage(View):
    """Every token there ever was."""

    tokens: tuple[TokenView, ...]


class Create(Body):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e][\x20-\x7e]*$")]
    role: Literal["viewer", "editor", "admin"]
    expires_in_days: Annotated[int, Field(ge=1, le=DAYS)] | None = None


def audit(ledger: Commits) -> APIRouter:
    """The audit of this ledger's store."""
    router = APIRouter(tags=["audit"])
    _listing(router, ledger)
    _verifying(router, ledger)
    _exporting(router, ledger)
    return router


def _listing(router: APIRouter, ledger: Commits) -> None:
    @router.get("/audit", response_model=AuditPage, responses=READ)
    async def entries(
        limit: Limit = 100, cursor: Cursor = "", actor: str = "", action: str = "",
        outcome: Literal["", "done", "refused", "failed"] = "",
    ) -> Response:  # fmt: skip
        """Who did what, newest first, also what was refused or failed; each filter is exact."""
        (before,) = asking.place(cursor, int) or (None,)
        found = await ledger().store.audit.entries(
            before=before, limit=limit + 1, actor=actor, action=action, outcome=outcome
        )
        more = asking.cursor(found[limit - 1].seq) if len(found) > limit else None
        return answer(AuditPage(entries=tuple(map(_entry, found[:limit])), next_cursor=more))


def _verifying(router: APIRouter, ledger: Commits) -> None:
    @router.get("/audit/verify", response_model=VerdictView, responses=READ)
    async def verify(
        seq: Annotated[int, Query(ge=0, le=asking.MOST, description="a noted end of the chain")] = 0,
        hash: Annotated[str, Query(max_length=64)] = "",
    ) -> Response:
        """Check that no entry was edited, removed or written anew, and that revisions and documents agree."""
        noted = Head(seq, hash) if hash else None
        found = await ledger().store.audit.verify(noted)
        return answer(
            VerdictView(
                whole=not found.problems, entries=found.entries, seq=found.head.seq, hash=found.head.hash,
                problems=found.problems,
            )
        )  # fmt: skip


def _exporting(router: APIRouter, ledger: Commits) -> None:
    @router.get(
        "/audit/export", response_class=StreamingResponse,
        responses={**READ, 200: {"content": {LINES: {}}, "description": "a line of JSON for each entry"}},
    )  # fmt: skip
    async def export(
        after: Annotated[int, Query(ge=0, le=asking.MOST, description="the last entry one has")] = 0,
    ) -> StreamingResponse:
        """The audit as JSON Lines, oldest first."""
        lines = ledger().store.audit.export(after)
        first = await anext(lines, None)  # what fails here still gets a status

        async def each() -> AsyncIterator[str]:
            if first is not None:
                yield f"{first}\n"
                async for line in lines:
                    yield f"{line}\n"

        return StreamingResponse(each(), media_type=LINES)


def _entry(one: Entry) -> EntryView:
    known = {name: getattr(one, name) for name in EntryView.model_fields if name != "details"}
    return EntryView(**known, details=json.loads(one.details))


def tokens(ledger: Commits, forget: Any) -> APIRouter:
    """Tokens of this ledger's store; `forget` is called when one was revoked."""
    router = APIRouter(tags=["tokens"])

    @router.get("/tokens", response_model=TokenPage)
    async def listed() -> Response:
        """Every token, also those that are revoked; no secrets."""
        return answer(TokenPage(tokens=tuple(TokenView(**asdict(one)) for one in await ledger().store.tokens.all())))

    @router.post("/tokens", status_code=201, response_model=NewToken, responses=WRITE, openapi_extra=keyed(Create))
    async def create(request: Request) -> Response:
        """A new token. It is shown this once."""
        said = await asking.modelled(request, Create)
        store, once = ledger().store, asking.once(request, said.model_dump())
        if once and (first := await store.answers.begin(once)):
            return replayed(first)
        lifetime = timedelta(days=said.expires_in_days) if said.expires_in_days else None
        try:
            token, text = await store.tokens.create(said.name, said.role, asking.by(request), lifetime)
        except BaseException:
            if once:
                await store.answers.forget(once)
            raise
        return await _made(store.answers.finish, once, token, text)

    @router.delete("/tokens/{id}", response_model=TokenView, responses=fails(404))
    async def revoke(request: Request, id: str) -> Response:
        """The token is good no more: at once here, within seconds on other servers."""
        found = await ledger().store.tokens.revoke(id, asking.by(request))
        forget()
        return answer(TokenView(**asdict(found)))

    return router


async def _made(finish: Any, once: Once | None, token: Token, text: str) -> Response:
    """What is kept for a repeated request holds no secret."""
    shown = NewToken(**asdict(token), token=text)
    if once:
        await finish(once, Answer(201, shown.model_copy(update={"token": None}).model_dump_json()))
    return answer(shown, 201)
