"""Routes about sources: how they do, read them again now, and let them write again what a restore pinned."""

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from gatecast.answers import answer
from gatecast.http import asking
from gatecast.http.asking import Body, Reason
from gatecast.http.described import WRITE, fails, keyed, takes
from gatecast.http.written import Commits, replayed
from gatecast.ledger import Ledger
from gatecast.outcomes import SourceState
from gatecast.views import View, when
from tenants.store import Answer, By, Once


class SourceView(View):
    """How a source does; null where it never did, or nobody knows. `kept_out`: how many of its documents it may not
    write, because they are pinned, or another's.
    """

    name: str
    kind: str
    last_success: str | None
    last_error: str
    documents: int
    kept_out: int
    next: str | None


class Sources(View):
    """Every automatic source."""

    sources: tuple[SourceView, ...]


class SyncedView(Sources):
    """What a sync came to."""

    revision: int


class PinView(View):
    """A name that files and registries may not write, and since when."""

    kind: str
    id: str
    revision: int
    at: str
    author: str
    reason: str


class Pins(View):
    """Every pin, by name."""

    pins: tuple[PinView, ...]


class Unpinned(View):
    """How many names were pinned and are not any more."""

    revision: int
    pins: int


class Anything(Body):
    """What a registry sends; only that it comes counts."""

    model_config = Body.model_config | {"extra": "allow"}


def routes(ledger: Commits) -> APIRouter:
    """Of this ledger."""
    router = APIRouter(tags=["sources"])

    @router.get("/sources", response_model=Sources)
    async def sources() -> Response:
        """How each directory and registry does."""
        return answer(Sources(sources=tuple(map(_source, ledger().sources()))))

    @router.post("/sync", response_model=SyncedView, responses=WRITE, openapi_extra=keyed())
    async def sync(request: Request, reason: Reason = "") -> Response:
        """Read every source again now and bring every gateway up to it; answers when that is done."""
        return await _synced(ledger(), asking.by(request, reason), asking.once(request, None))

    @router.post(
        "/webhooks/registry", response_model=SyncedView, responses=WRITE, openapi_extra=takes(Anything, required=False)
    )
    async def webhook(request: Request) -> Response:
        """A registry says that something changed: it is read at once. Many calls at a time are one sync."""
        await asking.modelled(request, Anything, optional=True)
        return await _synced(ledger(), asking.by(request, "webhook"), None)

    @router.get("/pins", response_model=Pins)
    async def pins() -> Response:
        """Names that files and registries may not write, since somebody restored or deleted them."""
        found = await ledger().store.pins()
        made = (PinView(**one.key._asdict(), revision=one.revision, at=one.at, author=one.author, reason=one.reason)
                for one in found)  # fmt: skip
        return answer(Pins(pins=tuple(made)))

    @router.delete("/pins/{kind}/{id}", response_model=Unpinned, responses=fails(404))
    async def unpin(request: Request, kind: str, id: str, reason: Reason = "") -> Response:
        """Files and registries may write this name again, and do so at once."""
        done = await ledger().unpin([asking.key_of(kind, id)], asking.by(request, reason))
        return answer(Unpinned(revision=done.revision, pins=done.pins))

    return router


async def _synced(ledger: Ledger, by: By, once: Once | None) -> Response:
    answers = ledger.store.answers
    if once and (first := await answers.begin(once)):
        return replayed(first)
    try:
        done = await ledger.sync(by)
    except BaseException:
        if once:
            await answers.forget(once)
        raise
    shown = SyncedView(revision=done.revision, sources=tuple(map(_source, done.sources)))
    if once:
        await answers.finish(once, Answer(200, shown.model_dump_json()))
    return answer(shown)


def _source(one: SourceState) -> SourceView:
    times = {name: when(at) if (at := getattr(one, name)) else None for name in ("last_success", "next")}
    return SourceView(**{**asdict(one), **times})
